"""The files of a fine-tuning job: read line by line, and laid where its trainer finds them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from regrade.core.entities import FineTuningJob
from regrade.core.errors import NotFoundError, RegradeError
from regrade.core.training_data import Base, RowProblem, TrainingRow, count_problem, read_rows
from regrade.core.training_job import Method
from regrade.ports.blobs import Blobs
from regrade.ports.fine_tuning import Trainers
from regrade.ports.outbound import Outbound
from regrade.types.json import JsonObject
from regrade.workflows.training_images import RemoteImages

_PROBLEMS_TOLD = 20
_LINES_BETWEEN_LOOKS = 5_000


class InvalidFilesError(RegradeError):
    """The files are not what the method learns from; `problems` has a line for each of the first rows at fault."""

    def __init__(self, message: str, *, code: str, param: str, problems: list[str]) -> None:
        super().__init__(message, code=code, param=param)
        self.problems = problems


class NotWantedError(RegradeError):
    """The job was ended while its files were read."""


@dataclass(slots=True)
class _Reading:
    """What was found in one file by now."""

    rows: int = 0
    image_rows: int = 0
    wrong: int = 0
    problems: list[str] = field(default_factory=list)


class TrainingFiles:
    """Checks both files of a job and keeps their rows in normal form. Memory does not grow with them."""

    def __init__(self, blobs: Blobs, trainers: Trainers, outbound: Outbound) -> None:
        """`outbound` fetches images that rows name by their addresses."""
        self._blobs = blobs
        self._outbound = outbound
        self._trainers = trainers

    def read(self, job: FineTuningJob, base: Base, wanted: Callable[[], bool]) -> int:
        """How many rows the training file has. Raises InvalidFilesError; NotWantedError once it is not `wanted`."""
        rows = self._read_one(job, base, wanted, validation=False)
        if job.validation_blob is not None:
            self._read_one(job, base, wanted, validation=True)
        return rows

    def _read_one(self, job: FineTuningJob, base: Base, wanted: Callable[[], bool], *, validation: bool) -> int:
        blob = job.validation_blob if validation else job.training_blob
        param = "validation_file" if validation else "training_file"
        method: Method = job.method["type"]
        found = _Reading()
        try:
            with self._blobs.open(blob or "") as lines:
                rows = RemoteImages(self._outbound).fetched(read_rows(iter(lines), method, base))
                right = _right_rows(rows, found, wanted)
                self._trainers.write_rows(job.id, right, validation=validation)
        except NotFoundError as error:
            raise InvalidFilesError(
                f"The {_words(param)} was deleted before it was read.",
                code=f"invalid_{param}",
                param=param,
                problems=[],
            ) from error
        if found.wrong:
            raise InvalidFilesError(
                f"The job failed due to an invalid {_words(param)}. {found.problems[0]}"
                + (f" {found.wrong - 1} more rows are wrong." if found.wrong > 1 else ""),
                code=f"invalid_{param}",
                param=param,
                problems=found.problems,
            )
        problem = count_problem(found.rows, found.image_rows, method, validation=validation)
        if problem is not None:
            raise InvalidFilesError(problem, code="invalid_n_examples", param=param, problems=[])
        return found.rows


def _right_rows(
    rows: Iterator[TrainingRow | RowProblem], found: _Reading, wanted: Callable[[], bool]
) -> Iterator[JsonObject]:
    """The rows that are right; the others are counted, and the first of them noted."""
    for number, each in enumerate(rows):
        if number % _LINES_BETWEEN_LOOKS == 0 and not wanted():
            raise NotWantedError("The job has ended.")
        if isinstance(each, RowProblem):
            found.wrong += 1
            if len(found.problems) < _PROBLEMS_TOLD:
                found.problems.append(each.message)
            continue
        found.rows += 1
        found.image_rows += bool(each.images)
        yield each.row


def _words(param: str) -> str:
    return param.replace("_", " ")
