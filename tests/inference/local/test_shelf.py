"""Which models are in memory."""

import asyncio
import shutil

import pytest

pytest.importorskip("torch", reason="the extra regrade[local] is not installed")

from regrade.core.errors import InvalidError
from regrade.core.local_models import Weights
from regrade.inference.local.shelf import Shelf
from tiny_models import make_tiny

NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of three models of one size, and of one that is larger than two of them."""
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(NAMES):
        make_tiny(folder / name, seed=seed)
    make_tiny(folder / "huge", width=256)
    return {name: Weights(path=str(folder / name)) for name in (*NAMES, "huge")}


def on_shelf(story, *, room=2.5, size):
    """Tell a story of a shelf on which there is room for so many models of a size."""

    async def told():
        return await story(Shelf(memory=int(room * size), for_texts=1 << 28))

    return asyncio.run(told())


@pytest.fixture(scope="module")
def size(models):
    async def measured(shelf):
        async with shelf.model("a", models["a"]) as model:
            return model.size

    return on_shelf(measured, size=1 << 28)


def loaded(shelf):
    return sorted(model["weights"]["path"].rsplit("/", 1)[-1] for model in shelf.status())


async def used(shelf, models, name, steps=0):
    async with shelf.model(name, models[name]) as model:
        for _ in range(steps):
            await asyncio.sleep(0)
        assert model.weights == models[name]


def test_the_model_that_was_used_longest_ago_makes_room(models, size):
    async def story(shelf):
        for name in ("a", "b", "a"):
            await used(shelf, models, name)
        assert loaded(shelf) == ["a", "b"]
        await used(shelf, models, "c")
        assert loaded(shelf) == ["a", "c"]

    on_shelf(story, size=size)


def test_models_that_do_not_fit_together_take_turns_and_nobody_starves(models, size):
    async def story(shelf):
        await asyncio.gather(*(used(shelf, models, NAMES[n % 3], steps=n) for n in range(30)))
        assert len(loaded(shelf)) == 2

    on_shelf(story, size=size)


def test_a_model_in_use_stays_until_it_is_given_back(models, size):
    async def story(shelf):
        async with shelf.model("a", models["a"]):
            other = asyncio.create_task(used(shelf, models, "b"))
            again = asyncio.create_task(used(shelf, models, "a"))
            await asyncio.sleep(0.3)
            assert not other.done()
            assert not again.done()  # else one model could keep another away for ever
        await asyncio.gather(other, again)

    on_shelf(story, room=1.5, size=size)


def test_who_waits_no_more_keeps_nothing(models, size):
    async def story(shelf):
        waiting = asyncio.create_task(used(shelf, models, "a", steps=10**9))
        await asyncio.sleep(0)
        waiting.cancel()
        await used(shelf, models, "b")
        assert all(model["users"] == 0 for model in shelf.status())

    on_shelf(story, size=size)


def test_a_model_that_is_too_large_is_refused(models, size):
    async def story(shelf):
        with pytest.raises(InvalidError, match="local_models_memory") as caught:
            await used(shelf, models, "huge")
        assert caught.value.code == "model_too_large"

    on_shelf(story, size=size)


def test_what_nobody_uses_is_put_away(models, size):
    async def story(shelf):
        await used(shelf, models, "a")
        async with shelf.model("b", models["b"]):
            shelf.sweep(unused_s=0.0)
            assert loaded(shelf) == ["b"]

    on_shelf(story, size=size)


def test_files_that_change_or_go_are_noticed(models, size, tmp_path):
    folder = tmp_path / "mine"
    mine = {"mine": Weights(path=str(folder))}

    async def story(shelf):
        shutil.copytree(models["a"].path, folder)
        await used(shelf, mine, "mine")
        shelf.sweep(unused_s=60.0)
        assert loaded(shelf) == ["mine"]
        (folder / "config.json").touch()
        shelf.sweep(unused_s=60.0)
        assert loaded(shelf) == []
        await used(shelf, mine, "mine")
        shutil.rmtree(folder)
        shelf.sweep(unused_s=60.0)
        assert loaded(shelf) == []

    on_shelf(story, size=size)


def test_a_folder_without_a_model_is_refused(tmp_path, size):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text('{"model_type": "nothing we know"}')
    folders = {"empty": Weights(path=str(tmp_path)), "broken": Weights(path=str(tmp_path / "broken"))}

    async def story(shelf):
        with pytest.raises(InvalidError, match=r"there is no config\.json") as caught:
            await used(shelf, folders, "empty")
        assert caught.value.code == "model_not_found"
        with pytest.raises(InvalidError, match="cannot be run by the built-in engine") as caught:
            await used(shelf, folders, "broken")
        assert caught.value.code == "model_not_loadable"

    on_shelf(story, size=size)
