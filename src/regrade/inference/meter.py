"""What becomes of the requests of one model of one endpoint, counted."""

from regrade.core.metrics import MODEL_REQUESTS, MODEL_RETRIES, Metrics, Series
from regrade.inference.failures import Failure

_ANSWERED = "answered"


class Meter:
    """Finds each series once, so that a request costs no look-up by labels."""

    __slots__ = ("_endpoint", "_metrics", "_model", "_outcomes", "_retries")

    def __init__(self, metrics: Metrics, endpoint: str, model: str) -> None:
        self._metrics = metrics
        self._endpoint = endpoint
        self._model = model
        self._outcomes: dict[str, Series] = {}
        self._retries = metrics.of(MODEL_RETRIES, endpoint, model)

    def note(self, result: object, seconds: float, attempt: int) -> None:
        """One attempt has ended, with a Failure or with an answer."""
        outcome = result.kind.name.lower() if isinstance(result, Failure) else _ANSWERED
        series = self._outcomes.get(outcome)
        if series is None:
            series = self._outcomes[outcome] = self._metrics.of(
                MODEL_REQUESTS, self._endpoint, self._model, outcome
            )
        series.observe(seconds)
        if attempt > 1:
            self._retries.add()
