"""The answers that one model is writing: a step adds a token to each; they join and leave between steps."""

from collections import deque
from typing import Any

import torch
from transformers import DynamicCache

from regrade.inference.local.grammars import Grammars
from regrade.inference.local.keys_values import KeysValues
from regrade.inference.local.rows import Row
from regrade.inference.local.sampling import choose, likely

MOST_ROWS = 64
_READ_AT_ONCE = 2048
"""Tokens of new prompts, padding included, between two steps of the others; a longer prompt is read alone."""


class Batch:
    """Rows that wait and rows that run. Belongs to the thread that generates, but for `waiting.append`."""

    def __init__(self, model: Any, grammars: Grammars, *, bytes_per_cell: int, plain_mask: bool) -> None:
        """`plain_mask` says that every layer attends to everything before, so one mask will do for all."""
        self._model = model
        self._grammars = grammars
        self._plain_mask = plain_mask
        self._memory = KeysValues(bytes_per_cell)
        self._running: list[Row] = []
        self.waiting: deque[Row] = deque()

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._running and not self.waiting

    @property
    def bytes(self) -> int:
        """What the running rows take."""
        return self._memory.bytes

    def advance(self, room: int) -> None:
        """Let rows that wait join, then write a token of every row; `room` is how many bytes they may take."""
        self._drop_ended()
        joining = self._next_to_join(room)
        if joining:
            self._read(joining)
        if self._running:
            self._step(room)

    # -- joining --------------------------------------------------------------------------------------------

    def _next_to_join(self, room: int) -> list[Row]:
        """The rows that come in now: in their order, as many as fit into a read, the batch and the memory."""
        joining: list[Row] = []
        while self.waiting and len(self._running) + len(joining) < MOST_ROWS:
            row = self.waiting[0]
            if row.ending is not None:
                self.waiting.popleft()
                continue
            widths = [len(each.prompt) + len(each.written) for each in (*joining, row)]
            alone = not joining and not self._running
            if joining and max(widths) * len(widths) > _READ_AT_ONCE:
                break
            if not alone and self._memory.bytes_with(widths) > room:
                break
            joining.append(self.waiting.popleft())
        return joining

    def _read(self, rows: list[Row]) -> None:
        """Read prompts, and write the first token after each."""
        texts = [row.tokens for row in rows]
        widths = [len(text) for text in texts]
        width = max(widths)
        device = self._model.device
        tokens = torch.tensor([[0] * (width - len(text)) + text for text in texts], device=device)
        mask = torch.tensor([[0] * (width - each) + [1] * each for each in widths], device=device)
        cache = DynamicCache()
        answer = self._model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self._memory.join(cache.layers, widths)
        self._running += rows
        self._write(rows, answer.logits[:, -1])
        self._leave()

    # -- a step ---------------------------------------------------------------------------------------------

    def _step(self, room: int) -> None:
        self._make_room(room)
        rows, device = self._running, self._model.device
        mask = self._memory.mask().to(device)
        answer = self._model(
            input_ids=torch.tensor([[row.written[-1]] for row in rows], device=device),
            attention_mask=mask[:, None, None, :] if self._plain_mask else mask,
            position_ids=torch.tensor([[len(row.prompt) + len(row.written) - 1] for row in rows], device=device),
            past_key_values=self._memory.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self._memory.step_taken()
        self._write(rows, answer.logits[:, -1])
        self._leave()

    def _make_room(self, room: int) -> None:
        """Where the next step would take too much, the youngest rows wait again; a single row always fits."""
        while len(self._running) > 1 and self._memory.bytes_with([]) > room:
            row = self._running[-1]
            self._memory.leave(len(self._running) - 1)
            self._running.pop()
            self.waiting.appendleft(row)
        self._memory.make_room_for_step()

    def _write(self, rows: list[Row], logits: torch.Tensor) -> None:
        tastes = [row.taste for row in rows]
        thought = logits
        constrained = [(index, row.matcher) for index, row in enumerate(rows) if row.matcher is not None]
        if constrained:
            forbidden = self._grammars.mask([matcher for _, matcher in constrained]).to(logits.device)
            places = [index for index, _ in constrained]
            logits = logits.clone()
            logits[places] = logits[places].masked_fill(forbidden, float("-inf"))
        chosen = choose(logits, tastes, [row.chance for row in rows])
        reports = likely(thought, chosen, tastes)
        for row, token, report in zip(rows, chosen, reports, strict=True):
            row.take(token, report)

    def _leave(self) -> None:
        """Rows that have ended make room."""
        for index in range(len(self._running) - 1, -1, -1):
            if self._running[index].ending is not None:
                self._memory.leave(index)
                last = self._running.pop()
                if index < len(self._running):
                    self._running[index] = last

    def _drop_ended(self) -> None:
        if any(row.ending is not None for row in self._running):
            self._leave()
