"""Schemas that would keep the server busy for ever, or eat its memory, before anybody could stop them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals import CONFIG, EXACT, inline_source
from regrade.core.errors import InvalidError
from regrade.core.item_schema import MAX_WORK, ItemSchema

SELF = {"$ref": "#"}
LEAF = {"type": ["object", "string"]}


def nested(depth, leaf):
    for _ in range(depth):
        leaf = {"a": leaf}
    return leaf


RECURSIVE = {
    "alternatives": {**LEAF, "properties": {"a": {"anyOf": [SELF, SELF]}}},
    "one of": {**LEAF, "properties": {"a": {"oneOf": [SELF, {"allOf": [SELF, {"required": ["q"]}]}]}}},
    "two objects": {**LEAF, "anyOf": [{"properties": {"a": SELF}}, {"properties": {"a": SELF}}]},
    "two definitions": {
        "$ref": "#/$defs/n",
        "$defs": {
            name: {**LEAF, "properties": {"a": {"anyOf": [{"$ref": "#/$defs/n"}, {"$ref": "#/$defs/m"}]}}}
            for name in ("n", "m")
        },
    },
    "dynamic": {
        "$dynamicAnchor": "n",
        **LEAF,
        "properties": {"a": {"anyOf": [{"$dynamicRef": "#n"}, {"$dynamicRef": "#n"}]}},
    },
    "unevaluated": {
        **LEAF,
        "anyOf": [{"properties": {"a": SELF}}, {"properties": {"a": SELF}}],
        "unevaluatedProperties": False,
    },
}


@pytest.mark.parametrize("schema", RECURSIVE.values(), ids=RECURSIVE)
def test_a_deep_item_of_a_schema_that_branches_into_itself_is_refused(schema):
    compiled = ItemSchema(schema)
    assert compiled.check({"a": "x"}) is None or "oneOf" in str(schema)
    assert "in bounded time" in compiled.check(nested(100, 1))


@pytest.mark.parametrize("schema", RECURSIVE.values(), ids=RECURSIVE)
@given(depth=st.integers(1, 127), leaf=st.sampled_from([1, "x"]))
def test_no_depth_lies_between_quick_and_refused(schema, depth, leaf):
    ItemSchema(schema).check(nested(depth, leaf))


def test_many_values_against_many_alternatives_are_refused():
    schema = ItemSchema({"properties": {"a": {"items": {"enum": [{"k": number} for number in range(3000)]}}}})
    assert "in bounded time" in schema.check({"a": [{"k": 2999}] * 30_000})
    assert schema.check({"a": [{"k": 2999}] * 100}) is None


def test_a_long_text_against_a_pattern_of_many_states_is_refused():
    schema = ItemSchema({"properties": {"a": {"pattern": "(?:[a-c]?){4000}[xyz]\\d"}}})
    assert "in bounded time" in schema.check({"a": "abc" * 30_000})
    assert "does not match" in schema.check({"a": "abc"})


def test_alternatives_too_many_to_explain_are_not_explained():
    alternatives = {"type": "string"}
    for _ in range(14):
        alternatives = {"anyOf": [alternatives, alternatives]}
    assert "too many to say where" in ItemSchema(alternatives).check({})


def test_doubling_hidden_behind_addresses_is_refused():
    doubling = {f"a{n}": {"$id": f"http://x/{n}", "anyOf": [{"$ref": f"http://x/{n + 1}"}] * 2} for n in range(60)}
    with pytest.raises(InvalidError, match=r"'\$id' of its own"):
        ItemSchema({"$defs": {**doubling, "a60": {"$id": "http://x/60"}}, "$ref": "http://x/0"})


@pytest.mark.parametrize(
    "schema",
    [
        SELF,
        {"allOf": [SELF]},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    ],
)
def test_a_schema_that_turns_in_place_is_refused(schema):
    with pytest.raises(InvalidError, match="refers to itself without going into the item"):
        ItemSchema(schema)


def test_schemas_as_people_write_them_are_affordable():
    step = {"type": "object", "properties": {"text": {"type": "string"}, "kind": {"enum": ["a", "b"]}}}
    anything = {
        "anyOf": [
            {"type": ["string", "number", "null"]},
            {"type": "array", "items": {"$ref": "#/$defs/any"}},
            {"type": "object", "additionalProperties": {"$ref": "#/$defs/any"}},
        ]
    }
    optional = {f"p{n}": {"anyOf": [{"type": "string"}, {"type": "null"}]} for n in range(100)}
    schema = ItemSchema(
        {
            "$id": "https://example.com/item.json",
            "$defs": {"step": step, "any": anything},
            "properties": {
                **optional,
                "steps": {"type": "array", "items": {"$ref": "https://example.com/item.json#/$defs/step"}},
                "more": {"$ref": "#/$defs/any"},
                "day": {"pattern": r"^\d{4}-\d{2}-\d{2}$"},
            },
        }
    )
    assert schema.check({"steps": [{"text": "x" * 1000, "kind": "a"}] * 2000, "more": nested(100, [1, 2])}) is None
    assert schema.check({"p3": 5}).startswith("item.p3: 5 is not valid under any")
    assert schema.check({"day": "x" * 100_000}).startswith("item.day: ")
    assert ItemSchema(CONFIG["item_schema"]).work({"answer": "x" * 16_000_000, "reference": ""}) < MAX_WORK


def test_rows_too_many_for_their_schema_are_refused_inline(client):
    enum = {"enum": [{"k": number} for number in range(2000)]}
    config = {"type": "custom", "item_schema": {"properties": {"a": {"items": enum}}}}
    made = client.evals.create(data_source_config=config, testing_criteria=[{**EXACT, "input": "{{item.a}}"}])
    rows = [{"item": {"a": [{"k": 1999}] * 1000}}] * 10
    with pytest.raises(Exception, match="Upload them as a file") as refused:
        client.evals.runs.create(made.id, data_source=inline_source(rows))
    assert refused.value.status_code == 400
    assert refused.value.param == "data_source.source.content"
