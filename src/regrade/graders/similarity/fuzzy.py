"""fuzzy_match: rapidfuzz's weighted ratio of the two texts without case and punctuation."""

from rapidfuzz import fuzz
from rapidfuzz.utils import default_process

from regrade.graders.similarity.limits import at_most

MAX_WHOLE = 2_000
"""Characters up to which partial comparisons are made: their cost is about cubic where lengths differ."""

MAX_CHARACTERS = 200_000
"""In both texts together."""

MAX_PAIRS = 1_000_000_000
"""The product of the lengths, to which the cost of longer texts is proportional; slowest in large alphabets."""

_TOKEN_WEIGHT = 0.95  # that of WRatio


def score(text: str, reference: str) -> float:
    """WRatio; for longer texts its rule for texts of like length."""
    if len(text) <= MAX_WHOLE and len(reference) <= MAX_WHOLE:
        return fuzz.WRatio(text, reference, processor=default_process) / 100
    at_most(MAX_CHARACTERS, len(text) + len(reference), "fuzzy_match", "characters")
    at_most(MAX_PAIRS, len(text) * len(reference), "fuzzy_match", "pairs of characters")
    text, reference = default_process(text), default_process(reference)
    if not text or not reference:
        return 0.0
    whole = fuzz.ratio(text, reference)
    return max(whole, _TOKEN_WEIGHT * fuzz.token_ratio(text, reference)) / 100
