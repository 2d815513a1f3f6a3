"""What becomes of a row's grades: the output item as answered, and the aggregates of many."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from regrade.core.usage import UsageByModel
from regrade.types.json import JsonObject

ItemStatus = Literal["pass", "fail", "error"]

_FINE = 10.0
"""Scores up to this size are told apart by hundredths in a histogram, larger ones by three digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many rows ended how."""

    passed: int = 0
    failed: int = 0
    errored: int = 0

    @property
    def total(self) -> int:
        """Rows that have ended."""
        return self.passed + self.failed + self.errored


@dataclass(slots=True, kw_only=True)
class CriterionTally:
    """How one criterion graded: counts, and a histogram fine enough for any mean or chart."""

    passed: int = 0
    failed: int = 0
    errored: int = 0
    total_score: float = 0.0
    histogram: dict[str, int] = field(default_factory=dict)
    """Rounded score -> rows."""

    def add(self, score: float | None, *, passed: bool) -> None:
        """Count one grade; `score` is None where the criterion errored."""
        if score is None:
            self.errored += 1
            return
        if passed:
            self.passed += 1
        else:
            self.failed += 1
        self.total_score += score
        bucket = bucket_of(score)
        self.histogram[bucket] = self.histogram.get(bucket, 0) + 1

    def merge(self, other: "CriterionTally") -> None:
        """Add another's rows to this one's."""
        self.passed += other.passed
        self.failed += other.failed
        self.errored += other.errored
        self.total_score += other.total_score
        for bucket, rows in other.histogram.items():
            self.histogram[bucket] = self.histogram.get(bucket, 0) + rows

    @property
    def graded(self) -> int:
        """Rows that it could grade."""
        return self.passed + self.failed

    def as_json(self) -> JsonObject:
        """Its stored form."""
        return {
            "passed": self.passed,
            "failed": self.failed,
            "errored": self.errored,
            "total_score": self.total_score,
            "histogram": self.histogram,
        }


def bucket_of(score: float) -> str:
    """The histogram bucket of a score: bounded in number whatever the range of the scores."""
    return f"{score:.2f}" if -_FINE <= score <= _FINE else f"{score:.3g}"


@dataclass(slots=True, kw_only=True)
class Tally:
    """The aggregates of some rows of a run. Merging is commutative and associative, up to float rounding."""

    passed: int = 0
    failed: int = 0
    errored: int = 0
    criteria: dict[str, CriterionTally] = field(default_factory=dict)
    """By criterion id, in the eval's order."""
    first_error: str | None = None
    """The message of one errored row, for a person to start from."""
    usage: UsageByModel = field(default_factory=UsageByModel)
    """What models were asked: the one under test, and graders'."""

    @classmethod
    def empty(cls, criteria: Iterable[str]) -> "Tally":
        """The tally of no rows, over these criterion ids."""
        return cls(criteria={name: CriterionTally() for name in criteria})

    @classmethod
    def from_json(cls, document: JsonObject) -> "Tally":
        """Read `as_json` back; `{}` is the tally of no rows over no criteria."""
        fields = {key: value for key, value in document.items() if key not in ("criteria", "usage")}
        criteria = {name: CriterionTally(**tally) for name, tally in document.get("criteria", {}).items()}
        return cls(**fields, criteria=criteria, usage=UsageByModel.from_json(document.get("usage", ())))

    @property
    def counts(self) -> Counts:
        """How the rows ended."""
        return Counts(passed=self.passed, failed=self.failed, errored=self.errored)

    def add(self, status: ItemStatus) -> None:
        """Count one row."""
        if status == "pass":
            self.passed += 1
        elif status == "fail":
            self.failed += 1
        else:
            self.errored += 1

    def merge(self, other: "Tally") -> None:
        """Add another's rows to this one's."""
        self.passed += other.passed
        self.failed += other.failed
        self.errored += other.errored
        self.first_error = self.first_error or other.first_error
        self.usage.merge(other.usage)
        for name, tally in other.criteria.items():
            self.criteria.setdefault(name, CriterionTally()).merge(tally)

    def as_json(self) -> JsonObject:
        """Its stored form."""
        return {
            "passed": self.passed,
            "failed": self.failed,
            "errored": self.errored,
            "first_error": self.first_error,
            "criteria": {name: tally.as_json() for name, tally in self.criteria.items()},
            "usage": self.usage.as_json(),
        }


def merged(tallies: Iterable[JsonObject], criteria: Sequence[str] = ()) -> Tally:
    """The sum of stored tallies; criteria keep the given order."""
    total = Tally.empty(criteria)
    for document in tallies:
        total.merge(Tally.from_json(document))
    return total
