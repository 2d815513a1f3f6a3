"""Sentence GLEU as nltk defines it: shared runs of one to four words, over those of the side that has more."""

from regrade.graders.similarity.rouge import overlap
from regrade.graders.similarity.words import words

LONGEST_RUN = 4


def score(text: str, reference: str) -> float:
    """0 where one side has no words."""
    found, sought = _runs(words(text, "gleu")), _runs(words(reference, "gleu"))
    return overlap(found, sought) / max(len(found), len(sought)) if found and sought else 0.0


def _runs(tokens: list[str]) -> list[tuple[str, ...]]:
    return [run for n in range(1, LONGEST_RUN + 1) for run in zip(*(tokens[i:] for i in range(n)), strict=False)]
