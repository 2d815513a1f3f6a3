"""Secrets inside tools leave a document and come back into it."""

import copy
import json

from hypothesis import given
from hypothesis import strategies as st

from regrade.core.tool_secrets import REDACTED, split_secrets, with_secrets

MCP = {"type": "mcp", "server_label": "s", "authorization": "tok-1", "headers": {"X-Key/a~b": "tok-2"}}
SHELL = {
    "type": "shell",
    "environment": {"network_policy": {"domain_secrets": [{"domain": "d", "name": "n", "value": "tok-3"}]}},
}


def test_every_kind_of_secret_is_taken_out_and_put_back():
    source = {"type": "responses", "sampling_params": {"tools": [MCP, {"type": "namespace", "tools": [SHELL]}]}}
    before = copy.deepcopy(source)
    redacted, secrets = split_secrets(source)
    assert sorted(secrets.values()) == ["tok-1", "tok-2", "tok-3"]
    assert "tok-" not in json.dumps(redacted)
    assert redacted["sampling_params"]["tools"][0]["headers"] == {"X-Key/a~b": REDACTED}
    assert with_secrets(redacted, secrets) == source == before


def test_words_of_schemas_rows_and_messages_are_no_secrets():
    schema = {"type": "object", "properties": {"authorization": "x", "headers": {"a": "b"}}}
    document = {
        "source": {"content": [{"item": {"tools": [MCP]}}]},
        "authorization": "not a tool's",
        "sampling_params": {
            "tools": [
                {"type": "function", "name": "f", "parameters": schema},
                {"type": "function", "function": {"name": "f", "parameters": schema}},
                {"type": "mcp", "authorization": None, "headers": None},
            ]
        },
    }
    assert split_secrets(document) == (document, {})


trees = st.recursive(
    st.none() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["tools", "authorization", "headers", "domain_secrets", "value", "a/b", "~"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["tools", "other"]), trees))
def test_what_is_taken_out_comes_back(document):
    redacted, secrets = split_secrets(document)
    assert with_secrets(redacted, secrets) == document
    assert set(split_secrets(redacted)[1].values()) <= {REDACTED}
