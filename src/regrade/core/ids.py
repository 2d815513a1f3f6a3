"""Ids of objects: opaque to clients, ordered by time for us."""

from regrade.core.errors import InvalidError

_ROW_HEX = 8
_RUN_HEX = 24
ITEM_PREFIX = "outputitem_"

# Prefix of each kind of object; the rest is 32 hex digits that sort by time of creation.
PREFIXES = {
    "eval": "eval_",
    "run": "evalrun_",
    "file": "file-",
    "upload": "upload_",
    "part": "part_",
    "key": "key_",
    "request": "req_",
    "chat": "chatcmpl-",
    "response": "resp_",
    "job": "ftjob-",
    "event": "ftevent-",
    "checkpoint": "ftckpt_",
    "permission": "cp_",
    "worker": "worker_",
    "webhook": "we_",
    "delivery": "wh_",
    "occurrence": "evt_",
}


def time_ordered(prefix: str, nanoseconds: int, random_bits: int) -> str:
    """`prefix` + 8 hex of the second + 8 hex of the nanosecond in it + 16 hex of randomness.

    The first eight digits equal `created_at`, as in hosted ids, so sorting by id is sorting by time of creation.
    """
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{prefix}{seconds:08x}{rest:08x}{random_bits & (2**64 - 1):016x}"


def output_item_id(run_id: str, index: int) -> str:
    """The id of a run's row `index`: 24 hex of the run, 8 of the row. Nothing needs to be stored to know it."""
    return f"{output_item_prefix(run_id)}{index:08x}"


def output_item_prefix(run_id: str) -> str:
    """What the ids of all output items of a run begin with."""
    return ITEM_PREFIX + run_id.removeprefix(PREFIXES["run"])[:_RUN_HEX]


def output_item_index(run_id: str, item_id: str) -> int | None:
    """The row that an output item's id names, or None where the id is not one of this run's."""
    prefix = output_item_prefix(run_id)
    digits = item_id.removeprefix(prefix)
    if not item_id.startswith(prefix) or len(digits) != _ROW_HEX:
        return None
    try:
        index = int(digits, 16)
    except ValueError:
        return None
    return index if output_item_id(run_id, index) == item_id else None


def own_blob(run_id: str) -> str:
    """The blob of a run's own rows: inline content, or what was selected from stored objects."""
    return f"runs/{run_id}"


def secrets_blob(run_id: str) -> str:
    """The blob of a run's secrets, which goes when the run ends."""
    return f"secrets/{run_id}"


def result_blob(job_id: str) -> str:
    """The blob of a fine-tuning job's result file."""
    return f"files/{job_id[-2:]}/{job_id}"


def item_key(run_number: int, index: int) -> int:
    """One 64-bit key for (run, row), so that a run's items lie together and in row order."""
    if index >= 2**32:
        raise InvalidError(f"A run can have at most {2**32} rows; this one has a row {index}.")
    return run_number << 32 | index
