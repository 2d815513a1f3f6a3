"""The attention's memory of a running batch, which rows can join and leave between any two steps."""

from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

_COLUMNS_AT_ONCE = 64


class Columns:
    """Which part of the buffers is in use: rows [0, rows), columns [first, end).

    All rows end at the same column, so a step writes one column for everybody; shorter rows begin later. That keeps
    distances within a row what they are, also for models that attend to a window only.
    """

    __slots__ = ("end", "first", "room", "rows", "rows_room")

    def __init__(self) -> None:
        self.rows = 0
        self.first = 0
        self.end = 0
        self.rows_room = 0
        self.room = 0

    @property
    def width(self) -> int:
        """Columns in use."""
        return self.end - self.first


class _Layer(CacheLayerMixin):
    """One layer's keys and values in buffers that are larger than what is in use."""

    is_sliding = False

    def __init__(self, columns: Columns) -> None:
        super().__init__()
        self._columns = columns

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing: `KeysValues.join` brings the first rows."""

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any) -> Any:
        """Write the step's column for every row; what the rows have attended to, with it."""
        at = self._columns
        self.keys[: at.rows, :, at.end : at.end + 1] = key_states
        self.values[: at.rows, :, at.end : at.end + 1] = value_states
        return self.keys[: at.rows, :, at.first : at.end + 1], self.values[: at.rows, :, at.first : at.end + 1]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """How long a mask has to be."""
        return self._columns.width + query_length, 0

    def get_seq_length(self) -> int:
        """Columns before this step's."""
        return self._columns.width

    def get_max_length(self) -> int:
        """No limit."""
        return -1


class KeysValues:
    """Keys and values of all layers, for rows that end at the same column."""

    def __init__(self, bytes_per_cell: int) -> None:
        """`bytes_per_cell` is what a token of a row takes in all layers together."""
        self.bytes_per_cell = bytes_per_cell
        self.columns = Columns()
        self.cache = Cache(layers=[])
        self._widths: list[int] = []
        """The length of each row."""

    @property
    def bytes(self) -> int:
        """What the buffers take."""
        return self.columns.rows_room * self.columns.room * self.bytes_per_cell

    def bytes_with(self, widths: list[int]) -> int:
        """What the buffers would take with further rows of these lengths, and room for a step."""
        rows, width = self.columns.rows + len(widths), max([self.columns.width, *widths])
        if not self._too_small(rows, width):
            return self.bytes
        return _rounded_rows(rows) * _rounded(width) * self.bytes_per_cell

    def join(self, layers: list[Any], widths: list[int]) -> None:
        """Take in rows that a model has just read into `layers`, where every row ends at the last column."""
        at = self.columns
        if not self.cache.layers:
            self.cache.layers = [_Layer(at) for _ in layers]
        rows, width = at.rows + len(widths), max(at.width, *widths)
        if self._too_small(rows, width):
            self._make_room(layers, rows, width)
        for mine, new in zip(self.cache.layers, layers, strict=True):
            read = new.keys.shape[2]
            for buffer, states in ((mine.keys, new.keys), (mine.values, new.values)):
                keep = min(read, at.end)
                buffer[at.rows : rows, :, at.end - keep : at.end] = states[:, :, read - keep :]
        self._widths += widths
        at.rows = rows
        at.first = at.end - width

    def step_taken(self) -> None:
        """The column that a step has written belongs to every row now."""
        self.columns.end += 1
        self._widths = [width + 1 for width in self._widths]

    def make_room_for_step(self) -> None:
        """See to it that the next column can be written."""
        if self._too_small(self.columns.rows, self.columns.width):
            self._make_room(self.cache.layers, self.columns.rows, self.columns.width)

    def leave(self, index: int) -> None:
        """Forget a row; the last one takes its place."""
        at = self.columns
        last = at.rows - 1
        if index != last:
            begin = at.end - self._widths[last]
            for layer in self.cache.layers:
                for buffer in (layer.keys, layer.values):
                    buffer[index, :, begin : at.end] = buffer[last, :, begin : at.end]
            self._widths[index] = self._widths[last]
        self._widths.pop()
        at.rows = last
        at.first = at.end - max(self._widths, default=0)
        if not last:
            self._forget_all()

    def mask(self) -> torch.Tensor:
        """What each row may attend to in the next step, its new column included: true where it may."""
        width = self.columns.width
        begins = torch.tensor([width - each for each in self._widths])
        return torch.arange(width + 1) >= begins[:, None]

    def _too_small(self, rows: int, width: int) -> bool:
        """Whether so many rows of at most this length do not fit as the buffers are, with a column to write."""
        at = self.columns
        return rows > at.rows_room or width > at.end or at.end >= at.room

    def _forget_all(self) -> None:
        for layer in self.cache.layers:
            layer.keys = layer.values = None
            layer.is_initialized = False
        at = self.columns
        at.first = at.end = at.rows_room = at.room = 0

    def _make_room(self, like: list[Any], rows: int, width: int) -> None:
        """Move what is in use into buffers for at least so many rows, and columns after `width` of them."""
        at = self.columns
        rows_room, room = _rounded_rows(rows), _rounded(width)
        for layer, shape in zip(self.cache.layers, like, strict=True):
            for name in ("keys", "values"):
                old, model = getattr(layer, name), getattr(shape, name)
                # Zeros: what a mask hides is multiplied by nothing, and nothing times NaN is NaN.
                new = model.new_zeros((rows_room, model.shape[1], room, model.shape[3]))
                if at.rows:
                    new[: at.rows, :, width - at.width : width] = old[: at.rows, :, at.first : at.end]
                setattr(layer, name, new)
            layer.is_initialized = True
        at.rows_room, at.room = rows_room, room
        at.first, at.end = width - at.width, width


def _rounded(width: int) -> int:
    """A number of columns with room for growth, so that buffers move seldom."""
    return -(-(width + 1 + width // 4) // _COLUMNS_AT_ONCE) * _COLUMNS_AT_ONCE


def _rounded_rows(rows: int) -> int:
    return 1 << (rows - 1).bit_length()
