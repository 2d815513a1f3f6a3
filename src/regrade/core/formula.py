"""The formula language of multi graders: arithmetic on scores, in floats only, so that nothing can grow."""

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from regrade.core.errors import InvalidError, RowError

MAX_LENGTH = 4_096
MAX_DEPTH = 64
MAX_VALUE = 1e100
"""What a formula may come to: sums and differences of any number of scores stay finite."""

Scores = Mapping[str, float]
Term = Callable[[Scores], float]

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<symbol>\*\*|[-+*/^(),]))"
)
_ONE_ARGUMENT: dict[str, Callable[[float], float]] = {
    "abs": abs,
    "floor": math.floor,
    "ceil": math.ceil,
    "exp": math.exp,
    "sqrt": math.sqrt,
    "log": math.log,
}
_MANY_ARGUMENTS: dict[str, Callable[[list[float]], float]] = {"min": min, "max": max}


class FormulaError(InvalidError):
    """The formula does not parse, or names something that does not exist."""


class FormulaValueError(RowError):
    """The formula has no value for these scores."""


@dataclass(frozen=True, slots=True)
class Formula:
    """A compiled formula."""

    source: str
    names: frozenset[str]
    """The names of scores that it uses."""
    term: Term

    def value(self, scores: Scores) -> float:
        """Raises FormulaValueError: a division by zero, a function outside its domain, a value beyond floats."""
        try:
            value = _finite(self.term(scores))
            if abs(value) > MAX_VALUE:
                raise OverflowError
            return value
        except ZeroDivisionError:
            reason = "it divides by zero"
        except OverflowError:
            reason = "a value in it is too large"
        except ValueError:
            reason = "a function or power in it has no value there"
        given = ", ".join(f"{name} = {scores[name]:g}" for name in sorted(self.names))
        raise FormulaValueError(f"The formula '{self.source}' has no value for {given or 'any scores'}: {reason}.")


def compile_formula(source: str, names: Collection[str], *, at: str | None = None) -> Formula:
    """Parse a formula over the scores called `names`; raises FormulaError, with param `at`."""
    if len(source) > MAX_LENGTH:
        raise FormulaError(f"The formula has {len(source)} characters; at most {MAX_LENGTH} are read.", param=at)
    try:
        parser = _Parser(source, names)
        term = parser.whole()
    except FormulaError as error:
        raise FormulaError(f"The formula '{source}' cannot be read: {error.message}", param=at) from None
    return Formula(source, frozenset(parser.used), term)


class _Parser:
    """Recursive descent, loosest binding first: sum, product, sign, power, atom."""

    def __init__(self, source: str, names: Collection[str]) -> None:
        self._tokens = _tokens(source)
        self._position = 0
        self._names = names
        self._depth = 0
        self.used: set[str] = set()

    def whole(self) -> Term:
        term = self._sum()
        if self._next() is not None:
            raise FormulaError(f"'{self._next()}' is not expected there.")
        return term

    def _sum(self) -> Term:
        # Chains are kept flat: a formula of a thousand terms must not need a thousand stack frames.
        first, rest = self._product(), []
        while (symbol := self._next()) in ("+", "-"):
            self._position += 1
            term = self._product()
            rest.append(term if symbol == "+" else _negative(term))
        return _total([first, *rest]) if rest else first

    def _product(self) -> Term:
        first, rest = self._sign(), []
        while (symbol := self._next()) in ("*", "/"):
            self._position += 1
            rest.append((symbol == "/", self._sign()))
        return _product(first, rest) if rest else first

    def _sign(self) -> Term:
        self._deeper()
        symbol = self._next()
        if symbol in ("-", "+"):
            self._position += 1
            term = self._sign()
            term = _negative(term) if symbol == "-" else term
        else:
            term = self._power()
        self._depth -= 1
        return term

    def _power(self) -> Term:
        base = self._atom()
        if self._next() not in ("^", "**"):
            return base
        self._position += 1
        exponent = self._sign()  # binds to the right, and may be negative
        return lambda scores: math.pow(base(scores), exponent(scores))

    def _atom(self) -> Term:
        found = self._next()
        if found is None:
            raise FormulaError("it ends too early.")
        self._position += 1
        if found == "(":
            term = self._sum()
            self._expect(")")
            return term
        if found[0].isdigit() or found[0] == ".":
            return _constant(found)
        if found[0].isalpha() or found[0] == "_":
            return self._call(found) if self._next() == "(" else self._score(found)
        raise FormulaError(f"'{found}' is not expected there.")

    def _score(self, name: str) -> Term:
        if name not in self._names:
            known = ", ".join(sorted(self._names)) or "none"
            raise FormulaError(f"there is no grader called '{name}'; the graders are: {known}.")
        self.used.add(name)
        return lambda scores: scores[name]

    def _call(self, name: str) -> Term:
        if name not in _ONE_ARGUMENT and name not in _MANY_ARGUMENTS:
            known = ", ".join([*_MANY_ARGUMENTS, *_ONE_ARGUMENT])
            raise FormulaError(f"there is no function '{name}'; the functions are: {known}.")
        self._position += 1
        arguments = [self._sum()]
        while self._next() == ",":
            self._position += 1
            arguments.append(self._sum())
        self._expect(")")
        if name in _MANY_ARGUMENTS:
            many = _MANY_ARGUMENTS[name]
            return lambda scores: many([argument(scores) for argument in arguments])
        if len(arguments) != 1:
            raise FormulaError(f"'{name}' takes one argument, not {len(arguments)}.")
        one, argument = _ONE_ARGUMENT[name], arguments[0]
        return lambda scores: float(one(argument(scores)))

    def _next(self) -> str | None:
        return self._tokens[self._position] if self._position < len(self._tokens) else None

    def _expect(self, symbol: str) -> None:
        if self._next() != symbol:
            raise FormulaError(f"a '{symbol}' is missing.")
        self._position += 1

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise FormulaError(f"it is nested more than {MAX_DEPTH} levels deep.")


def _tokens(source: str) -> list[str]:
    tokens, position, end = [], 0, len(source.rstrip())
    while position < end:
        match = _TOKEN.match(source, position, end)
        if match is None:
            raise FormulaError(f"'{source[position:end].lstrip()[0]}' is not part of the language.")
        tokens.append(match.group().lstrip())
        position = match.end()
    return tokens


def _constant(digits: str) -> Term:
    number = float(digits)
    if not math.isfinite(number):
        raise FormulaError(f"the number {digits[:40]} is too large.")
    return lambda _scores: number


def _negative(term: Term) -> Term:
    return lambda scores: -term(scores)


def _total(terms: list[Term]) -> Term:
    def total(scores: Scores) -> float:
        value = 0.0
        for term in terms:
            value = _finite(value + term(scores))
        return value

    return total


def _product(first: Term, rest: list[tuple[bool, Term]]) -> Term:
    def product(scores: Scores) -> float:
        value = first(scores)
        for divide, term in rest:
            value = _finite(value / term(scores) if divide else value * term(scores))
        return value

    return product


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise OverflowError
    return value
