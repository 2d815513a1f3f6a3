import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrade.core.endpoints import Endpoint, Price, close_names, read
from regrade.core.errors import ConfigurationError

OFFICE = {"name": "office", "base_url": "http://127.0.0.1:9000/v1/", "models": ["Qwen/*", "gpt-4o-mini"]}

NAMES = st.text("abcQ3/:.-_@ é", min_size=1, max_size=12)
LISTS = st.lists(NAMES, max_size=5, unique=True)
PATTERNS = st.sampled_from(["*", "a*", "*/b", "?", "[ab]*", "Q3"])


def table(*endpoints, aliases=None):
    entries = [{**OFFICE, "name": f"e{n}", **endpoint} for n, endpoint in enumerate(endpoints)]
    return read({"endpoints": entries, "aliases": aliases or {}})


def test_an_entry_is_read_with_its_defaults():
    (endpoint,) = read({"endpoints": [OFFICE]}).endpoints
    assert endpoint == Endpoint(
        name="office", base_url="http://127.0.0.1:9000/v1", models=("Qwen/*", "gpt-4o-mini"), api=("chat",)
    )


def test_every_key_is_read():
    (endpoint,) = read(
        {
            "endpoints": [
                {
                    **OFFICE,
                    "api": ["embeddings", "responses"],
                    "api_key_file": "key.txt",
                    "azure": True,
                    "api_version": "v1",
                    "max_concurrency": 3,
                    "requests_per_minute": 4,
                    "tokens_per_minute": 5,
                    "structured_outputs": False,
                    "tools": False,
                    "seed": True,
                    "max_tokens_key": "max_tokens",
                    "timeout_seconds": 6,
                    "price": {"input": 0.1, "output": 2},
                }
            ]
        }
    ).endpoints
    assert endpoint.api == ("responses", "embeddings")
    assert endpoint.price == Price(input=0.1, output=2.0)
    assert (endpoint.max_concurrency, endpoint.requests_per_minute, endpoint.tokens_per_minute) == (3, 4, 5)
    assert (endpoint.structured_outputs, endpoint.tools, endpoint.seed) == (False, False, True)
    assert (endpoint.max_tokens_key, endpoint.timeout_seconds, endpoint.api_version) == ("max_tokens", 6, "v1")


@pytest.mark.parametrize(
    ("change", "param", "message"),
    [
        ({"name": "a b"}, "endpoints[0].name", "'a b'; it must be up to 64 letters"),
        ({"base_url": "127.0.0.1:9000"}, "endpoints[0].base_url", "it must be a URL such as"),
        ({"base_url": "http://x:99999/v1"}, "endpoints[0].base_url", "a valid host and port"),
        ({"models": []}, "endpoints[0].models", "a list of names and patterns"),
        ({"models": "gpt-4o"}, "endpoints[0].models", "a list of names and patterns"),
        ({"api": ["chat", "audio"]}, "endpoints[0].api", "a list of chat, responses, embeddings"),
        ({"max_concurrency": 0}, "endpoints[0].max_concurrency", "0; it must be a whole number from 1"),
        ({"max_concurrency": True}, "endpoints[0].max_concurrency", "it must be a whole number"),
        ({"tools": 1}, "endpoints[0].tools", "true or false"),
        ({"price": {"input": -1}}, "endpoints[0].price", "amounts per million tokens"),
        ({"max_tokens_key": "limit"}, "endpoints[0].max_tokens_key", "max_completion_tokens or max_tokens"),
        ({"max_concurency": 1}, "endpoints[0].max_concurency", "Did you mean max_concurrency"),
        ({"colour": 1}, "endpoints[0].colour", "The keys are name, base_url"),
        ({"api_key_env": "A", "api_key_file": "b"}, "endpoints[0].api_key_env", "a key is in one place"),
    ],
)
def test_what_is_wrong_is_told_with_its_table_and_key(change, param, message):
    with pytest.raises(ConfigurationError) as caught:
        read({"endpoints": [{**OFFICE, **change}]})
    assert caught.value.param == param
    assert message in caught.value.message


@pytest.mark.parametrize("key", ["name", "base_url", "models"])
def test_what_an_endpoint_needs_is_told_where_it_is_missing(key):
    with pytest.raises(ConfigurationError, match=f"has no {key}"):
        read({"endpoints": [{k: v for k, v in OFFICE.items() if k != key}]})


@pytest.mark.parametrize(
    "change",
    [{"api_key": "sk-secret"}, {"api_key_env": "sk-secret"}, {"base_url": "http://user:sk-secret@host/v1"}],
)
def test_a_key_in_the_file_is_refused_and_not_repeated(change):
    with pytest.raises(ConfigurationError) as caught:
        read({"endpoints": [{**OFFICE, **change}]})
    assert "sk-secret" not in caught.value.message


@pytest.mark.parametrize(
    "tables", [{"endpoints": {}}, {"endpoints": ["x"]}, {"aliases": []}, {"aliases": {"a": 1}}]
)
def test_tables_of_another_shape_are_refused(tables):
    with pytest.raises(ConfigurationError):
        read(tables)


def test_names_of_endpoints_differ():
    with pytest.raises(ConfigurationError, match=r"endpoints\[1\].name"):
        read({"endpoints": [OFFICE, OFFICE]})


@pytest.mark.parametrize(
    ("base_url", "own_url"),
    [
        ("http://localhost:8000/v1", "http://127.0.0.1:8000"),
        ("http://[::1]:8000/openai/v1", "http://0.0.0.0:8000"),
        ("https://evals.example.com:443/v1", "https://evals.example.com"),
        ("https://example.com/regrade/v1", "https://example.com/regrade"),
    ],
)
def test_a_server_does_not_ask_itself(base_url, own_url):
    with pytest.raises(ConfigurationError, match="this server itself"):
        read({"endpoints": [{**OFFICE, "base_url": base_url}]}, own_urls=["http://other", own_url])


@pytest.mark.parametrize(
    "base_url", ["http://127.0.0.1:8001/v1", "http://other:8000/v1", "http://127.0.0.1:8000/llm/v1"]
)
def test_another_port_host_or_path_is_another_server(base_url):
    assert read({"endpoints": [{**OFFICE, "base_url": base_url}]}, own_urls=["http://127.0.0.1:8000"]).endpoints


def test_the_first_entry_that_serves_a_model_wins_by_name_or_by_pattern():
    found = table({"models": ["a*"]}, {"models": ["abc", "*"]})
    assert found.route("abc", {}).endpoint.name == "e0"
    assert found.route("b/c:1", {}).endpoint.name == "e1"


def test_a_pattern_takes_what_its_upstream_lists_and_everything_that_fits_where_that_is_not_known():
    found = table({"models": ["*"]}, {"models": ["gpt-*"]})
    listed = {"e0": frozenset({"llama3.2:latest", "phi"})}
    assert found.route("phi", listed).endpoint.name == "e0"
    assert found.route("llama3.2", listed).endpoint.name == "e0"  # as Ollama names its default tag
    assert found.route("gpt-4o", listed).endpoint.name == "e1"
    assert found.route("other", listed) is None
    assert found.route("other", {}).endpoint.name == "e0"


def test_aliases_come_before_everything_and_may_lead_to_aliases():
    found = table({"models": ["o3-mini", "Qwen/Qwen3-8B"]}, aliases={"old": "o3-mini", "o3-mini": "Qwen/Qwen3-8B"})
    assert found.route("old", {}).model == found.route("o3-mini", {}).model == "Qwen/Qwen3-8B"


@pytest.mark.parametrize("aliases", [{"a": "a"}, {"a": "b", "b": "a"}, {"x": "a", "a": "b", "b": "a"}])
def test_aliases_that_lead_in_a_circle_are_refused(aliases):
    with pytest.raises(ConfigurationError, match="leads back to itself"):
        table({}, aliases=aliases)


def test_what_is_served_is_named_listed_or_an_alias_of_such():
    found = table(
        {"models": ["a", "q*"]}, {"models": ["*"]}, aliases={"old": "a", "lost": "z", "older": "old", "kept": "q7"}
    )
    served = found.served({"e0": frozenset({"q1", "x"}), "e1": frozenset({"q1", "y"})})
    assert {name: endpoint.name for name, endpoint in served.items()} == {
        "a": "e0", "q1": "e0", "y": "e1", "old": "e0", "older": "e0",
    }  # fmt: skip


@given(st.lists(st.tuples(st.lists(st.one_of(NAMES, PATTERNS), min_size=1, max_size=3), LISTS), max_size=4), NAMES)
def test_everything_that_is_served_has_a_route_to_the_endpoint_that_it_names(entries, asked):
    found = table(*({"models": models} for models, _ in entries))
    listed = {f"e{n}": frozenset(names) for n, (_, names) in enumerate(entries)}
    served = found.served(listed)
    for name, endpoint in served.items():
        assert found.route(name, listed).endpoint == endpoint
    route = found.route(asked, listed)
    assert route is None or asked in served or f"{asked}:latest" in served


@pytest.mark.parametrize(
    ("asked", "first"),
    [("qwen3-8b", "Qwen/Qwen3-8B"), ("gpt4o-mini", "gpt-4o-mini"), ("Gpt-4o-Mini", "gpt-4o-mini")],
)
def test_close_names_hold_what_was_probably_meant(asked, first):
    assert close_names(asked, ["gpt-4o-mini", "Qwen/Qwen3-8B", "phi"])[0] == first


def test_no_name_is_close_to_something_else():
    assert close_names("zzz", ["gpt-4o-mini", "phi"]) == []


@given(NAMES, st.lists(NAMES, max_size=9))
def test_close_names_are_few_and_of_those_that_there_are(asked, names):
    found = close_names(asked, names)
    assert len(found) <= 5
    assert set(found) <= set(names)


def test_azure_has_its_own_paths_and_its_own_header():
    azure = Endpoint(name="a", base_url="https://x.openai.azure.com", models=("d/1",), azure=True)
    assert azure.url("chat", "d/1") == (
        "https://x.openai.azure.com/openai/deployments/d%2F1/chat/completions?api-version=2025-04-01-preview"
    )
    assert azure.url("responses", "d") == (
        "https://x.openai.azure.com/openai/responses?api-version=2025-04-01-preview"
    )
    assert azure.headers("k")["api-key"] == "k"
    assert "authorization" not in azure.headers("k")


def test_azures_v1_has_the_paths_of_everybody():
    azure = Endpoint(name="a", base_url="https://x.openai.azure.com/openai/v1", models=("d",), azure=True)
    assert azure.url("chat", "d") == "https://x.openai.azure.com/openai/v1/chat/completions"


def test_others_get_the_key_as_a_bearer_token_or_none():
    (endpoint,) = read({"endpoints": [OFFICE]}).endpoints
    assert endpoint.url("embeddings", "x/y") == "http://127.0.0.1:9000/v1/embeddings"
    assert endpoint.headers("k")["authorization"] == "Bearer k"
    assert set(endpoint.headers(None)) == {"content-type"}
