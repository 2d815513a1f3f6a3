"""Why a job failed, in words for the person who made it."""

import errno

from regrade.core.training_job import FailureCode

_NO_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "defaultcpuallocator")
_NO_DISK = "no space left on device"
_SHOWN = 500


class TrainingError(Exception):
    """The job cannot go on, for a reason that is known."""

    def __init__(self, code: FailureCode, message: str) -> None:
        super().__init__(message)
        self.code: FailureCode = code
        self.message = message


def explained(error: BaseException) -> TrainingError:
    """What an exception means for the job."""
    if isinstance(error, TrainingError):
        return error
    text = str(error)
    if isinstance(error, MemoryError) or any(sign in text.lower() for sign in _NO_MEMORY):
        return TrainingError(
            "out_of_memory",
            "The trainer ran out of memory. Let fewer rows be in memory at once (rows_at_once), cut long rows "
            "(max_length), or train LoRA adapters instead of the full model.",
        )
    if (isinstance(error, OSError) and error.errno == errno.ENOSPC) or _NO_DISK in text.lower():
        return TrainingError("disk_full", "The trainer found no room on the disk for a checkpoint.")
    first = text.strip().splitlines()[0][:_SHOWN] if text.strip() else "no message"
    return TrainingError("server_error", f"The trainer failed with {type(error).__name__}: {first}")
