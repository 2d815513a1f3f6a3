"""METEOR by nltk: exact words, then stems, then synonyms where the operator has the WordNet corpus."""

from functools import cache, lru_cache
from typing import Any

from regrade.graders.similarity.words import words


def score(text: str, reference: str) -> float:
    """0 where one side has no words."""
    hypothesis, wanted = words(text, "meteor"), words(reference, "meteor")
    if not hypothesis or not wanted:
        return 0.0
    single_meteor_score, stemmer, wordnet = _nltk()
    return float(single_meteor_score(wanted, hypothesis, stemmer=stemmer, wordnet=wordnet))


def stages() -> list[str]:
    """Which of METEOR's stages run here; scores differ a little between servers with WordNet and without."""
    without_synonyms = isinstance(_nltk()[2], _NoSynonyms)
    return ["exact", "stem"] if without_synonyms else ["exact", "stem", "wordnet"]


class _NoSynonyms:
    """Stands for WordNet where there is none."""

    def synsets(self, _word: str) -> list[Any]:
        return []


class _CachedStemmer:
    """Stemming is most of METEOR's time, and words repeat."""

    def __init__(self, stemmer: Any) -> None:
        self.stem = lru_cache(maxsize=50_000)(stemmer.stem)


@cache
def _nltk() -> tuple[Any, _CachedStemmer, Any]:
    from nltk.corpus import wordnet  # heavy, as in words.py
    from nltk.stem.porter import PorterStemmer
    from nltk.translate.meteor_score import single_meteor_score

    try:
        wordnet.ensure_loaded()
    except LookupError:
        return single_meteor_score, _CachedStemmer(PorterStemmer()), _NoSynonyms()
    return single_meteor_score, _CachedStemmer(PorterStemmer()), wordnet
