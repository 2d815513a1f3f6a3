import time

import pytest

from regrade.core.endpoints import Endpoint
from regrade.core.errors import ConfigurationError, InvalidError
from upstream import upstream


def eventually(read, wanted):
    """What `read` gives once it is `wanted`, or at last."""
    for _ in range(500):
        if (found := read()) == wanted:
            return found
        time.sleep(0.02)
    return read()


def names(registry):
    return [each.name for each in registry.served()]


@pytest.fixture(scope="module")
def listing():
    with upstream("--models", "Qwen/Qwen3-8B,phi,llama3.2:latest") as running:
        yield running


def test_without_a_file_there_are_no_models_and_the_refusal_says_what_to_do(world):
    registry = world.registry()
    assert registry.served() == []
    with pytest.raises(InvalidError, match="regrade models add"):
        registry.require("gpt-4o", param="model")


def test_a_file_that_comes_later_is_found(world, listing):
    registry = world.registry()
    world.write(listing.url)
    assert eventually(lambda: names(registry), ["Qwen/Qwen3-8B", "llama3.2:latest", "phi"])


def test_patterns_stand_for_what_the_upstream_lists(world, listing):
    world.write({"base_url": listing.url, "models": ["Qwen/*", "mine"]}, listing.url, aliases={"o3": "phi"})
    served = {each.name: each.endpoint for each in world.registry().served()}
    assert served == {"mine": "e0", "Qwen/Qwen3-8B": "e0", "llama3.2:latest": "e1", "phi": "e1", "o3": "e1"}


def test_an_unknown_model_is_refused_with_the_close_ones(world, listing):
    world.write(listing.url, aliases={"old": "ph"})
    with pytest.raises(InvalidError) as caught:
        world.registry().require("qwen3-8b", param="data_source.model")
    assert caught.value.message == "The model 'qwen3-8b' does not exist. Close to it: Qwen/Qwen3-8B."
    assert (caught.value.code, caught.value.param) == ("model_not_found", "data_source.model")
    with pytest.raises(InvalidError, match=r"'old' \(an alias of 'ph'\) does not exist. Close to it: phi"):
        world.registry().require("old", param="model")


def test_an_upstream_that_cannot_be_reached_is_listed_as_the_file_names_it(world):
    world.write({"base_url": "http://127.0.0.1:9/v1", "models": ["named", "Qwen/*"]})
    registry = world.registry()
    assert names(registry) == ["named"]
    assert registry.route("Qwen/anything").model == "Qwen/anything"
    assert registry.route("other") is None


def test_an_upstream_that_dies_keeps_what_it_listed(world, own):
    own.kill()
    with upstream("--models", "phi") as running:
        world.write(running.url)
        registry = world.registry()
        assert names(registry) == ["phi"]
    assert registry.route("phi").model == "phi"
    assert names(registry) == ["phi"]


def test_a_change_is_seen_and_so_is_its_version(world, listing):
    world.write({"base_url": listing.url, "models": ["a"]})
    registry = world.registry()
    before = registry.version()
    world.write({"base_url": listing.url, "models": ["a", "b"]})
    assert eventually(lambda: names(registry), ["a", "b"]) == ["a", "b"]
    assert registry.version() != before


def test_a_broken_edit_changes_nothing_and_is_told(world, listing):
    world.write({"base_url": listing.url, "models": ["a"]})
    registry = world.registry()
    for text, told in (("[[endpoints", "cannot be read as TOML"), ("[[endpoints]]\nname = 'x'", "has no base_url")):
        world.config.write_text(text)
        assert eventually(lambda told=told: registry.version() >= 0 and told in (registry.problem or ""), True)
        assert names(registry) == ["a"]
    world.config.unlink()
    assert eventually(lambda: registry.version() >= 0 and "No such file" in (registry.problem or ""), True)
    assert names(registry) == ["a"]
    world.write({"base_url": listing.url, "models": ["b"]})
    assert eventually(lambda: names(registry), ["b"]) == ["b"]
    assert registry.problem is None


def test_a_file_that_is_not_right_at_the_start_is_refused_by_its_name(world):
    world.config.write_text("[[endpoints]]\nname = 'x'\n")
    with pytest.raises(ConfigurationError, match=rf"{world.config}: endpoints\[0\] has no base_url"):
        world.registry()


def test_the_server_itself_is_refused(world):
    world.write("http://localhost:8000/v1")
    with pytest.raises(ConfigurationError, match="this server itself"):
        world.registry(own_urls=["http://127.0.0.1:8000"])


def test_the_list_is_asked_for_with_the_key_which_is_kept_nowhere(world):
    with upstream("--models", "phi", "--key", "planted") as running:
        world.write({"base_url": running.url, "api_key_env": "KEY"})
        assert names(world.registry()) == []
        world.secrets["KEY"] = "planted"
        registry = world.registry()
        assert names(registry) == ["phi"]
        assert "planted" not in repr(vars(registry))


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_a_key_file_that_holds_none_is_told(world, content):
    world.write({"base_url": "http://127.0.0.1:9/v1", "api_key_file": "key"})
    if content is not None:
        (world.config.parent / "key").write_text(content)
    registry = world.registry()
    with pytest.raises(ConfigurationError, match="cannot be read or is empty"):
        registry.secret(registry.table().endpoints[0])


LOCAL = Endpoint(name="built-in", base_url="http://built-in/v1", models=(), socket="/run/engine.sock")
BASES = '[[base_models]]\nname = "tiny"\npath = "models/tiny"\n[[base_models]]\nname = "phi"\npath = "models/phi"\n'


def test_base_models_answer_on_the_built_in_engine(world):
    world.config.write_text(BASES + '[aliases]\n"old" = "tiny"\n')
    registry = world.registry(built_in=LOCAL)
    assert names(registry) == ["tiny", "phi"]
    for name in ("tiny", "old"):
        route = registry.require(name, param="model")
        assert (route.endpoint, route.model) == (LOCAL, "tiny")
        assert route.weights.path == str(world.config.parent / "models" / "tiny")


def test_an_endpoint_that_is_known_to_serve_a_base_model_is_asked_for_it(world, listing):
    world.write(listing.url)
    world.config.write_text(world.config.read_text() + "\n" + BASES)
    registry = world.registry(built_in=LOCAL)
    assert registry.route("phi").endpoint.name == "e0"  # it lists it
    assert registry.route("tiny").endpoint.name == "built-in"


def test_a_pattern_that_takes_anything_leaves_base_models_alone(world):
    world.write({"base_url": "http://127.0.0.1:9/v1", "models": ["*"]})
    world.config.write_text(world.config.read_text() + "\n" + BASES)
    assert world.registry(built_in=LOCAL).route("tiny").endpoint.name == "built-in"


def test_without_the_extra_base_models_are_refused_and_say_what_to_install(world):
    world.config.write_text(BASES)
    registry = world.registry()
    assert names(registry) == []
    with pytest.raises(InvalidError, match=r"pip install 'regrade\[local\]'") as caught:
        registry.require("tiny", param="model")
    assert (caught.value.code, caught.value.param) == ("missing_dependency", "model")


def test_no_endpoint_takes_the_name_of_the_built_in_engine(world):
    world.write({"base_url": "http://127.0.0.1:9/v1", "name": "built-in"})
    with pytest.raises(ConfigurationError, match="this server's own engine"):
        world.registry()
