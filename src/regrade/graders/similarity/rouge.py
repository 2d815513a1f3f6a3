"""ROUGE-N and ROUGE-L: the F-measures of the rouge-score package without its stemmer, some twenty times faster."""

from collections import Counter
from collections.abc import Callable, Sequence

from rapidfuzz.distance import LCSseq

from regrade.graders.similarity.limits import at_most

MAX_TOKENS = 200_000
MAX_TOKEN_PAIRS = 2_000_000_000
"""For ROUGE-L, whose cost is the product of the lengths."""

# Everything but the letters and digits of ASCII separates tokens. Case is folded before, as by rouge-score: some
# characters beyond ASCII have lower-case forms within it.
_SEPARATED = bytes(byte if chr(byte).isalnum() and byte < 128 else 32 for byte in range(256))  # noqa: PLR2004


def tokenize(text: str) -> list[bytes]:
    """Lower-case runs of ASCII letters and digits."""
    return text.lower().encode("ascii", "replace").translate(_SEPARATED).split()


def score_l(text: str, reference: str) -> float:
    """By the longest common subsequence of tokens."""
    tokens, wanted = tokenize(text), tokenize(reference)
    if not tokens or not wanted:
        return 0.0
    at_most(MAX_TOKEN_PAIRS, len(tokens) * len(wanted), "rouge_l", "pairs of tokens")
    return _f_measure(LCSseq.similarity(tokens, wanted), len(tokens), len(wanted))


def score_n(n: int) -> Callable[[str, str], float]:
    """By the runs of `n` tokens that both texts have."""

    def score(text: str, reference: str) -> float:
        tokens, wanted = tokenize(text), tokenize(reference)
        at_most(MAX_TOKENS, len(tokens) + len(wanted), f"rouge_{n}", "tokens")
        found, sought = _runs(tokens, n), _runs(wanted, n)
        return _f_measure(overlap(found, sought), len(found), len(sought))

    return score


def overlap(found: Sequence[object], sought: Sequence[object]) -> int:
    """How many elements two multisets share."""
    if len(found) > len(sought):
        found, sought = sought, found
    counts = Counter(sought)
    shared = 0
    for element in found:
        left = counts.get(element)
        if left:
            counts[element] = left - 1
            shared += 1
    return shared


def _runs(tokens: list[bytes], n: int) -> Sequence[object]:
    return tokens if n == 1 else list(zip(*(tokens[start:] for start in range(n)), strict=False))


def _f_measure(shared: int, found: int, sought: int) -> float:
    if not shared:
        return 0.0
    precision, recall = shared / found, shared / sought
    return 2 * precision * recall / (precision + recall)
