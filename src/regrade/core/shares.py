"""How processes share what an endpoint allows: by need, between projects by weight, never more than there is."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from math import floor
from typing import NamedTuple, TypeVar

from regrade.core.endpoints import Endpoint
from regrade.types.json import JsonObject

K = TypeVar("K", bound=Hashable)

_PERIOD_S = 5.0
"""How long who got the larger half of what cannot be halved keeps it."""
_CALLS_A_PERIOD = 5.0
_BLIND = 0.1
"""The part of a limit that all processes together use that do not know of each other."""
_GOLDEN = 0x9E379
_PHASES = 1 << 20
_ROUNDING = 1e-9


class Amounts(NamedTuple):
    """Of an endpoint's model: requests at once, requests a second, tokens a second."""

    turns: float = 0.0
    requests: float = 0.0
    tokens: float = 0.0


NOTHING = Amounts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What all processes together may use of one model of one endpoint; rates are by the second."""

    turns: int
    requests: float | None = None
    tokens: float | None = None

    @classmethod
    def of(cls, endpoint: Endpoint) -> "Limits":
        """Those of each of the endpoint's models."""
        requests, tokens = endpoint.requests_per_minute, endpoint.tokens_per_minute
        return cls(
            turns=endpoint.max_concurrency,
            requests=requests / 60 if requests else None,
            tokens=tokens / 60 if tokens else None,
        )

    def whole(self) -> Amounts:
        """Everything, for a process that shares with nobody."""
        return Amounts(self.turns, self.requests or 0.0, self.tokens or 0.0)

    def blind(self, processes: int) -> Amounts:
        """What each of so many processes may use that has not heard of the others for too long."""
        part = _BLIND / max(1, processes)
        return Amounts(max(1, floor(self.turns * part)), (self.requests or 0.0) * part, (self.tokens or 0.0) * part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What one process says of one lane (a model of an endpoint) to the others."""

    needs: Mapping[str, Amounts]
    """By project: what its calls, waiting ones included, would use now."""
    held: Amounts
    """What nobody else may use: its part, and what it has not given back yet of a larger one."""
    call_tokens: float = 0.0
    """About how many tokens a call takes."""

    def as_json(self) -> JsonObject:
        """For the ledger."""
        return {
            "needs": {project: [*need] for project, need in self.needs.items()},
            "held": [*self.held],
            "call_tokens": self.call_tokens,
        }

    @classmethod
    def from_json(cls, document: JsonObject) -> "Claim":
        """The opposite of `as_json`."""
        return cls(
            needs={project: Amounts(*need) for project, need in document["needs"].items()},
            held=Amounts(*document["held"]),
            call_tokens=document["call_tokens"],
        )


class Settlement(NamedTuple):
    """A process's part of one lane."""

    claim: Claim
    part: Amounts
    """What it may use from now on."""
    due: Amounts
    """What it may use once others have given back what is not theirs any more."""


def settle(
    process: str,
    mine: Claim,
    others: Mapping[str, Claim],
    limits: Limits,
    weights: Mapping[str, float],
    now: float,
) -> Settlement:
    """The process's part, told what the others hold; `mine.held` is what it uses, or may still use, already.

    All decide by turns, each seeing what the one before has said. So the sum of what is held is never more than the
    limits: who is to have more waits until others have said that they have less.
    """
    claims = {**others, process: mine}
    due, part = [], []
    for kind, (units, size, call_s) in enumerate(_units(limits, claims)):
        if not units:
            due.append(0.0)
            part.append(0.0)
            continue
        needs = {
            name: {project: need[kind] / size for project, need in claim.needs.items()}
            for name, claim in claims.items()
        }
        turn = phase(now, max(_PERIOD_S, _CALLS_A_PERIOD * call_s))
        wanted = divide(units, needs, weights, turn)[process]
        free = floor(units - sum(claim.held[kind] for claim in others.values()) / size + _ROUNDING)
        due.append(wanted * size)
        part.append(max(0, min(wanted, free)) * size)
    held = Amounts(*(max(pair) for pair in zip(part, mine.held, strict=True)))
    claim = Claim(needs=mine.needs, held=held, call_tokens=mine.call_tokens)
    return Settlement(claim, Amounts(*part), Amounts(*due))


def _units(limits: Limits, claims: Mapping[str, Claim]) -> Iterator[tuple[int, float, float]]:
    """Of turns, requests and tokens: how many parts there are, how large each is, how long a call takes up one.

    A part of a rate is worth a call a second where that can be: of many smaller ones each could save up for a call,
    and all calls come at once.
    """
    yield limits.turns, 1.0, 0.0
    call_tokens = max(1.0, *(claim.call_tokens for claim in claims.values()))
    for rate, call in ((limits.requests, 1.0), (limits.tokens, call_tokens)):
        if rate is None:
            yield 0, 1.0, 0.0
        else:
            units = max(1, floor(rate / call))
            yield units, rate / units, call * units / rate


def divide(
    units: int, needs: Mapping[str, Mapping[str, float]], weights: Mapping[str, float], turn: float
) -> dict[str, int]:
    """Whole parts for each process, of its projects' needs.

    Projects share by weight and processes within a project alike, but none gets more than it needs. Of what is left
    then, a tenth at least, half goes to all alike, so that they can begin at once when they need it; half stays for
    processes to come.
    """
    by_project: dict[str, dict[str, float]] = {}
    for process, projects in needs.items():
        for project, need in projects.items():
            by_project.setdefault(project, {})[process] = need
    totals = {project: sum(wanted.values()) for project, wanted in by_project.items()}
    parts = dict.fromkeys(needs, 0.0)
    for project, amount in fair(units - units // 10, totals, weights).items():
        for process, part in fair(amount, by_project[project], {}).items():
            parts[process] += part
    left = max(0.0, units - sum(parts.values()))
    spare = (left - floor(left / 2)) / len(parts)
    return _wholes({process: part + spare for process, part in parts.items()}, turn)


def fair(total: float, needs: Mapping[K, float], weights: Mapping[K, float]) -> dict[K, float]:
    """Nobody gets more than it needs, and who gets less has as much by its weight (1 unless given) as anybody."""
    parts: dict[K, float] = {}
    weight_left = sum(weights.get(name, 1.0) for name in needs)
    # Those who need the least for their weight first: what they leave is for the others.
    for name in sorted(needs, key=lambda each: needs[each] / weights.get(each, 1.0)):
        weight = weights.get(name, 1.0)
        parts[name] = min(needs[name], max(0.0, total) * min(1.0, weight / weight_left))
        total -= parts[name]
        weight_left -= weight
    return parts


def phase(now: float, period: float) -> float:
    """A number in [0, 1), the same for all processes, that moves on every period and visits all places alike."""
    return int(now / period) * _GOLDEN % _PHASES / _PHASES


def _wholes(parts: Mapping[str, float], turn: float) -> dict[str, int]:
    """Each part rounded up or down, with the same sum; over many phases everybody has its part on average."""
    wholes: dict[str, int] = {}
    total, before = turn, 0
    for process in sorted(parts):
        total += parts[process]
        upto = floor(total + _ROUNDING)
        wholes[process], before = upto - before, upto
    return wholes
