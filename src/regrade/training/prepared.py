"""The rows of a job, read from its directory and made ready for its method."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from regrade.core.errors import RowError
from regrade.core.jsontext import loads
from regrade.core.training_job import Spec
from regrade.training.encoding import Encoder
from regrade.training.failures import TrainingError
from regrade.training.job import JobFolder
from regrade.training.loading import LoadedBase
from regrade.training.plan import Plan
from regrade.training.reporting import Teller, Translate
from regrade.types.json import JsonObject

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What every method prepares from."""

    spec: Spec
    folder: JobFolder
    base: LoadedBase
    encoder: Encoder
    teller: Teller


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Rows as a method takes them, and what to know of them before its numbers are decided."""

    make: Callable[[Plan], tuple[Any, Translate]]
    """Makes TRL's trainer, and says what its numbers are called in the API."""
    rows: int
    valid_rows: int
    tokens: int
    rows_cut: int
    longest: int
    """Tokens of the longest row, with its answer."""


def read_encoded(job: Job, path: Path, encode: Callable[[JsonObject], T]) -> list[T]:
    """Every row of a file of the job directory, encoded; none where there is no such file.

    Raises TrainingError that names the first row which the base model's template cannot say.
    """
    if not path.exists():
        return []
    found = []
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                found.append(encode(loads(line)))
            except RowError as error:
                training = path == job.folder.train_file
                raise TrainingError(
                    "invalid_training_file" if training else "invalid_validation_file",
                    f"Row {number} of the {'training' if training else 'validation'} file: {error.message}",
                ) from error
    return found


def lengths(rows: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Tokens of all rows, and of the longest."""
    sizes = [len(row) for row in rows]
    return sum(sizes), max(sizes, default=0)
