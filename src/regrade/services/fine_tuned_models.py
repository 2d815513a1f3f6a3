"""Models that were trained here: whose they are, who may use them, and their end."""

import asyncio
import re
from collections.abc import Sequence

from regrade.core.entities import FineTunedModel
from regrade.core.errors import InvalidError, ModelError
from regrade.graders import build
from regrade.ports.fine_tuning import FineTunedModelStore
from regrade.ports.models import ModelPort
from regrade.ports.system import Clock
from regrade.types.json import JsonObject

_TUNED = re.compile(r"^ft:|\.ft-[0-9a-f]{32}")  # the forms of core/fine_tuning.model_name


class FineTunedModels:
    """A model of one project does not exist for others, unless a permission names them."""

    def __init__(self, store: FineTunedModelStore, models: ModelPort, clock: Clock) -> None:
        self._store = store
        self._models = models
        self._clock = clock

    def visible(self, project: str) -> list[JsonObject]:
        """The tuned models that this project may use, as /models answers them."""
        return [model_document(model) for model in self._store.visible(project)]

    def find(self, project: str, name: str) -> FineTunedModel | None:
        """The model, if it is a tuned one that this project may use."""
        model = self._store.get(name) if is_tuned(name) else None
        return model if model is not None and self._store.may_use(project, model) else None

    def delete(self, project: str, name: str) -> bool:
        """Let the project's own tuned model vanish at once; its files go with the next sweep."""
        model = self._store.get(name) if is_tuned(name) else None
        if model is None or model.project != project:
            return False
        return self._store.delete(name, now=self._clock.now())

    def check(self, project: str, name: str, *, param: str) -> None:
        """Raise InvalidError where this is a tuned model that does not exist for the project."""
        if is_tuned(name) and self.find(project, name) is None:
            raise InvalidError(
                f"The model '{name}' does not exist. GET /models lists those that do.",
                param=param,
                code="model_not_found",
            )

    async def check_call(self, project: str, name: str) -> None:
        """As `check`, for calls through the gateway. Raises ModelError (status 404)."""
        if not is_tuned(name):
            return
        try:
            await asyncio.to_thread(self.check, project, name, param="model")
        except InvalidError as error:
            raise ModelError(error.message, status=404, code=error.code, param=error.param) from error

    def check_graders(self, project: str, graders: Sequence[JsonObject], *, at: str) -> None:
        """`check` for every model that graders ask; `at` is the path of the first one."""
        for grader in graders:
            inner = list((grader.get("graders") or {}).values())
            for _, model, path in build.asked_models(grader, at):
                self.check(project, model, param=path)
            if inner:
                self.check_graders(project, inner, at=f"{at}.graders")

    def base_of(self, project: str, name: str) -> str:
        """The operator's base model that `name` is, or goes back to. Raises InvalidError."""
        target = self._models.target(name)
        bases = [model.name for model in self._models.base_models()]
        tuned = self.find(project, target)
        base = tuned.base if tuned else target
        if base in bases:
            return base
        if tuned is not None:
            raise InvalidError(
                f"The model '{name}' was trained from '{base}', which is no base model of this server any more.",
                param="model",
                code="model_not_found",
            )
        names = [*bases, *(model.name for model in self._store.visible(project))]
        hint = f"These are: {', '.join(names[:20])}." if names else "Its operator names some in [[base_models]]."
        raise InvalidError(
            f"Model {name} is not available for fine-tuning or does not exist. {hint}",
            param="model",
            code="model_not_found",
        )


def is_tuned(name: str) -> bool:
    """Whether a name has the form of those that were trained here."""
    return _TUNED.search(name) is not None


def model_document(model: FineTunedModel) -> JsonObject:
    """The model as /models answers it."""
    return {
        "id": model.name,
        "object": "model",
        "created": model.created_at,
        "owned_by": model.project,
        "shutdown_date": None,
    }
