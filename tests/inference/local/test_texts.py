import codecs

from hypothesis import given
from hypothesis import strategies as st

from regrade.inference.local.texts import Text


def decode(tokens):
    """Tokens are bytes here, as in byte-level vocabularies."""
    return bytes(tokens).decode("utf-8", "replace")


texts = st.text(st.sampled_from("ab é日😀"), max_size=30)
stops = st.lists(st.text(st.sampled_from("ab é日"), min_size=1, max_size=3), max_size=3)


def until(text, stops):
    """What stands before the stop string that is complete first."""
    for end in range(len(text) + 1):
        places = [text.index(stop) for stop in stops if stop in text[:end]]
        if places:
            return text[: min(places)]
    return text


@given(texts, stops)
def test_a_stream_shows_whole_characters_up_to_the_first_stop_string(whole, stops):
    text, shown = Text(decode, stops, streams=True), ""
    taken = []
    for token in whole.encode():
        taken.append(token)
        stopped = text.add(token)
        assert text.whole[: text.safe].startswith(shown)
        shown = text.whole[: text.safe]
        if stopped:
            break
    text.finish(taken)
    assert text.whole.startswith(shown)
    assert text.whole == until(whole, stops)


@given(st.binary(max_size=20))
def test_bytes_that_are_no_text_hold_nothing_up(wild):
    text = Text(decode, [], streams=True)
    for token in wild:
        text.add(token)
    text.finish(list(wild))
    assert text.whole == codecs.decode(wild, "utf-8", "replace")


def test_an_answer_that_nobody_watches_is_decoded_at_the_end():
    text = Text(decode, [], streams=False)
    assert not text.wants_tokens
    text.finish(list(b"hello"))
    assert text.whole == "hello"
