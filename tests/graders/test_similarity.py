"""Text similarity equals the packages that define it, and takes bounded time."""

import random
import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nltk.stem.porter import PorterStemmer
from nltk.tokenize.destructive import NLTKWordTokenizer
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from nltk.translate.gleu_score import sentence_gleu
from nltk.translate.meteor_score import single_meteor_score
from rapidfuzz import fuzz, utils
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenize import tokenize as rouge_tokenize

from regrade.core.errors import RowError
from regrade.graders import similarity
from regrade.graders.similarity import meteor, rouge

CLOSE = 1e-9
METRICS = [
    "fuzzy_match",
    "bleu",
    "gleu",
    "meteor",
    "rouge_1",
    "rouge_2",
    "rouge_3",
    "rouge_4",
    "rouge_5",
    "rouge_l",
]
WORDS = [
    "the",
    "cat",
    "Cats",
    "sat",
    "sitting",
    "on",
    "a",
    "mat.",
    "it's",
    "can't",
    "$3.50",
    "Zürich",
    "10,000",
    "(so)",
]

# What tokenizers stumble over by case, width or script: dotted and dotless i, long s, Kelvin's sign, sharp s,
# Chinese, and quotes of every kind.
ODD = "\u0130\u0131\u017f\u212a\u00df\u00e9\u6f22\u201c\u201d\u2018\u2019\u00ab\u00bb\u2026\u2014'\"`"

# Random words share runs with each other; the rest is what tokenizers stumble over.
sentences = st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join)
awkward = st.text(
    alphabet=st.one_of(st.characters(), st.sampled_from(string.printable + ODD)),
    max_size=80,
)
texts = st.one_of(sentences, awkward, st.sampled_from(["", " ", "one", *ODD, "\x00", "'", "``"]))


def score(metric, text, reference):
    return similarity.metric(metric).score(text, reference)


@given(texts, texts)
@example("\u0130stanbul \u212a \u017f", "istanbul k s")
def test_rouge_equals_rouge_score(text, reference):
    names = {"rouge_l": "rougeL"} | {f"rouge_{n}": f"rouge{n}" for n in range(1, 6)}
    expected = RougeScorer(list(names.values())).score(reference, text)
    for ours, theirs in names.items():
        assert score(ours, text, reference) == pytest.approx(expected[theirs].fmeasure, abs=CLOSE)


@given(st.text())
def test_rouge_splits_text_as_rouge_score_does(text):
    assert [token.decode() for token in rouge.tokenize(text)] == rouge_tokenize(text, None)


def test_every_character_is_a_letter_or_a_separator_as_for_rouge_score():
    every = "".join(f"a{chr(code)}b" for code in range(0x110000) if not 0xD800 <= code < 0xE000)
    assert [token.decode() for token in rouge.tokenize(every)] == rouge_tokenize(every, None)


@given(texts, texts)
def test_fuzzy_match_is_the_weighted_ratio_of_rapidfuzz(text, reference):
    expected = fuzz.WRatio(text, reference, processor=utils.default_process) / 100
    assert score("fuzzy_match", text, reference) == pytest.approx(expected, abs=CLOSE)


@given(texts, texts)
def test_bleu_equals_nltk(text, reference):
    hypothesis, wanted = words(text), words(reference)
    expected = 0.0
    if hypothesis and wanted:
        expected = sentence_bleu([wanted], hypothesis, smoothing_function=SmoothingFunction().method1)
    assert score("bleu", text, reference) == pytest.approx(expected, abs=CLOSE)


@given(texts, texts)
def test_gleu_equals_nltk(text, reference):
    expected = sentence_gleu([words(reference)], words(text))
    assert score("gleu", text, reference) == pytest.approx(expected, abs=CLOSE)


@given(texts, texts)
def test_meteor_equals_nltk_with_and_without_synonyms(text, reference):
    hypothesis, wanted = words(text), words(reference)
    expected = 0.0
    if hypothesis and wanted:
        options = {} if "wordnet" in meteor.stages() else {"wordnet": NoWordNet()}
        expected = single_meteor_score(wanted, hypothesis, stemmer=PorterStemmer(), **options)
    assert score("meteor", text, reference) == pytest.approx(expected, abs=CLOSE)


class NoWordNet:
    def synsets(self, word):
        return []


def words(text):
    return NLTKWordTokenizer().tokenize(text)


@settings(max_examples=10)
@given(st.integers(0, 2**32))
def test_long_texts_score_as_in_the_packages(seed):
    pick = random.Random(seed)
    text, reference = (" ".join(pick.choices(WORDS, k=pick.randint(1, 330)))[:2000] for _ in range(2))
    expected = RougeScorer(["rouge2", "rougeL"]).score(reference, text)
    assert score("rouge_2", text, reference) == pytest.approx(expected["rouge2"].fmeasure, abs=CLOSE)
    assert score("rouge_l", text, reference) == pytest.approx(expected["rougeL"].fmeasure, abs=CLOSE)
    assert score("gleu", text, reference) == pytest.approx(
        sentence_gleu([words(reference)], words(text)), abs=CLOSE
    )
    weighted = fuzz.WRatio(text, reference, processor=utils.default_process) / 100
    assert score("fuzzy_match", text, reference) == pytest.approx(weighted, abs=CLOSE)


@pytest.mark.parametrize("metric", METRICS)
@given(text=texts, reference=texts)
@settings(max_examples=25)
def test_every_score_is_between_0_and_1(metric, text, reference):
    assert 0.0 <= score(metric, text, reference) <= 1.0 + CLOSE


@pytest.mark.parametrize("metric", METRICS)
def test_equal_texts_score_high_and_an_empty_side_scores_0(metric):
    text = "The quick brown fox jumps over the lazy dog today."
    assert score(metric, text, text) > 0.99
    assert score(metric, "", text) == score(metric, text, "") == score(metric, "", "") == 0.0


def test_beyond_2000_characters_fuzzy_match_leaves_partial_comparisons_out():
    text = "needle " + "hay " * 600
    reference = "needle " * 20
    a, b = utils.default_process(text), utils.default_process(reference)
    expected = max(fuzz.ratio(a, b), 0.95 * fuzz.token_ratio(a, b)) / 100
    assert score("fuzzy_match", text, reference) == pytest.approx(expected, abs=CLOSE)
    assert score("fuzzy_match", "!" * 3000, "?" * 3000) == 0.0


@pytest.mark.parametrize("metric", METRICS)
def test_texts_of_a_megabyte_are_refused_rather_than_scored_for_long(metric):
    pick = random.Random(7)
    text, reference = (" ".join(pick.choices(WORDS, k=200_000))[:1_000_000] for _ in range(2))
    with pytest.raises(RowError, match=f"too long for {metric}.* at most "):
        score(metric, text, reference)
