"""Which models an engine has in memory."""

import shutil
import time

import pytest

from inference.local.conftest import MIB, Place, chat, said
from regrade.core.errors import ModelError
from tiny_models import make_tiny

ROOM = 4 * MIB  # three quarters of it are for models: there is room for two of three


def loaded(place):
    return sorted(model["weights"]["path"].rsplit("/", 1)[-1] for model in place.status()["models"])


def eventually(read, wanted):
    for _ in range(400):
        if (found := read()) == wanted:
            return found
        time.sleep(0.05)
    return read()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Three models of about a mebibyte, and one of more than there is room for."""
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate("abc"):
        make_tiny(folder / name, seed=seed, width=128)
    make_tiny(folder / "huge", width=512)
    return folder


@pytest.fixture
def full(tmp_path, models):
    place = Place(tmp_path)
    place.name(**{name: models / name for name in ("a", "b", "c", "huge")})
    with place.engine(memory=ROOM):
        yield place


def test_the_model_that_was_asked_longest_ago_makes_room(full):
    size = None
    for name in ("a", "b", "a"):
        full.ask(chat(model=name))
        size = size or full.status()["models"][0]["bytes"]
    assert 2 * size <= ROOM * 3 // 4 < 3 * size
    assert loaded(full) == ["a", "b"]
    full.ask(chat(model="c"))
    assert loaded(full) == ["a", "c"]


def test_models_that_do_not_fit_together_take_turns(full):
    calls = [chat(f"Hello {n}", model="abc"[n % 3], seed=n) for n in range(30)]
    answers = full.ask(*calls)
    assert [answer.model for answer in answers] == [call.model for call in calls]
    assert len(loaded(full)) == 2


def test_a_model_that_is_too_large_is_refused(full):
    with pytest.raises(ModelError, match="local_models_memory") as caught:
        full.ask(chat(model="huge"))
    assert (caught.value.status, caught.value.code) == (400, "model_too_large")


def test_an_unused_model_is_put_away_while_another_is_asked(tmp_path, models):
    place = Place(tmp_path)
    place.name(a=models / "a", b=models / "b")
    with place.engine(idle_s=2.0):
        place.ask(chat(model="a"), chat(model="b"))

        def left():
            place.ask(chat(model="b"))
            return loaded(place)

        assert eventually(left, ["b"]) == ["b"]


def test_new_files_are_a_new_model(tmp_path, tiny):
    place = Place(tmp_path)
    place.name(mine=tmp_path / "mine")
    shutil.copytree(tiny, tmp_path / "mine")
    with place.engine():
        before = said(place.ask(chat(model="mine", temperature=0))[0])
        shutil.rmtree(tmp_path / "mine")
        assert eventually(lambda: loaded(place), []) == []
        make_tiny(tmp_path / "mine", seed=5)
        assert said(place.ask(chat(model="mine", temperature=0))[0]) != before


def test_a_folder_without_a_model_is_refused(tmp_path):
    place = Place(tmp_path)
    place.name(empty=tmp_path, broken=tmp_path / "broken")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text('{"model_type": "nothing we know"}')
    with place.engine():
        with pytest.raises(ModelError, match="there is no config.json") as caught:
            place.ask(chat(model="empty"))
        assert caught.value.status == 400
        with pytest.raises(ModelError, match="cannot be run by the built-in engine") as caught:
            place.ask(chat(model="broken"))
        assert caught.value.code == "model_not_loadable"
