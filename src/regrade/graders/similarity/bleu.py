"""Sentence BLEU by nltk, smoothed by its method 1 so that a missing long run does not make all of it 0."""

from functools import cache
from typing import Any

from regrade.graders.similarity.words import words


def score(text: str, reference: str) -> float:
    """0 where one side has no words."""
    hypothesis, wanted = words(text, "bleu"), words(reference, "bleu")
    if not hypothesis or not wanted:
        return 0.0
    sentence_bleu, smoothing = _nltk()
    return float(sentence_bleu([wanted], hypothesis, smoothing_function=smoothing))


@cache
def _nltk() -> tuple[Any, Any]:
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu  # heavy, as in words.py

    return sentence_bleu, SmoothingFunction().method1
