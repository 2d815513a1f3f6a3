"""Whether answers take much longer than they did."""

_SLOW_S = 1.0  # answers faster than this never slow us down
_SLOW_FACTOR = 3.0  # how much slower than usual means that there are too many at once
_WINDOW = 16


class Latency:
    """Tells when answers take much longer than they did, and whether a cut was the cure."""

    __slots__ = ("_count", "_mean_at_cut", "_sum", "_usual")

    def __init__(self) -> None:
        self._count = 0
        self._sum = 0.0
        self._usual: float | None = None
        self._mean_at_cut: float | None = None

    def too_much(self, seconds: float, limit: float) -> bool:
        """Learn of one answer; True at the end of a window of answers that were too slow."""
        self._count += 1
        self._sum += seconds
        if self._count < max(_WINDOW, limit):
            return False
        mean = self._sum / self._count
        self._count, self._sum = 0, 0.0
        if self._mean_at_cut is not None and mean > 0.9 * self._mean_at_cut:
            self._usual = mean  # fewer at once did not help: the questions are longer, not the queue
        self._mean_at_cut = None
        self._usual = mean if self._usual is None else min(mean, self._usual * 1.02)
        if mean < _SLOW_S or mean < _SLOW_FACTOR * self._usual:
            return False
        self._mean_at_cut = mean
        return True
