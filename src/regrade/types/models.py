"""Models that can be asked."""

from typing import Literal

from regrade.types.wire import Answered


class Model(Answered):
    """A model by the name that bodies use for it."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    shutdown_date: str | None


class ModelList(Answered):
    """Every model; this list has no pages."""

    object: Literal["list"]
    data: list[Model]


class ModelDeleted(Answered):
    """A fine-tuned model that is gone."""

    id: str
    object: Literal["model"]
    deleted: bool
