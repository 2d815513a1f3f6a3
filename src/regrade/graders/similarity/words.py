"""Words as nltk sees them, for BLEU, GLEU and METEOR."""

from functools import cache
from typing import Any

from regrade.core.errors import RowError
from regrade.graders.similarity.limits import at_most

MAX_CHARACTERS = 100_000


def words(text: str, metric: str) -> list[str]:
    """Raises RowError for texts that take too long; the tokenizer needs no data files."""
    at_most(MAX_CHARACTERS, len(text), metric, "characters in one text")
    try:
        tokens: list[str] = _tokenizer().tokenize(text)
    except TimeoutError as error:  # nltk's own guard against its regular expressions
        raise RowError(f"The text took too long to split into words for {metric}.") from error
    return tokens


@cache
def _tokenizer() -> Any:
    from nltk.tokenize.destructive import NLTKWordTokenizer  # heavy: 0.3 s, and not every server scores by words

    return NLTKWordTokenizer()
