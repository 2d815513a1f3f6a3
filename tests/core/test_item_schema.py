"""Item schemas: checked in linear time, never fetched."""

import socket

import pytest

from regrade.core.data_source_config import normalise
from regrade.core.errors import InvalidError
from regrade.core.item_schema import ItemSchema, compile_item_schema

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}}},
    "required": ["name"],
}


def test_an_item_that_fits_has_nothing_to_say():
    assert ItemSchema(PERSON).check({"name": "Ada", "tags": ["x"], "more": 1}) is None
    assert ItemSchema({}).check({"anything": None}) is None


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({}, 'item: "name" is a required property'),
        ({"name": 5}, 'item.name: 5 is not of type "string"'),
        ({"name": "Ada", "tags": ["x", None]}, 'item.tags[1]: null is not of type "string"'),
        ([], 'item: [] is not of type "object"'),
        (["\ud800"], "item: "),
    ],
)
def test_an_item_that_does_not_fit_is_told_where_and_why(item, reason):
    assert ItemSchema(PERSON).check(item).startswith(reason)


def test_a_reason_does_not_repeat_a_whole_document():
    assert len(ItemSchema({"type": "object", "properties": {"a": {"enum": [1]}}}).check({"a": "x" * 100_000})) < 600


def test_a_schema_as_pydantic_writes_it_works():
    schema = {
        "$defs": {"Step": {"properties": {"text": {"type": "string"}}, "required": ["text"], "type": "object"}},
        "properties": {"steps": {"items": {"$ref": "#/$defs/Step"}, "title": "Steps", "type": "array"}},
        "title": "Answer",
        "type": "object",
    }
    assert ItemSchema(schema).check({"steps": [{"text": "a"}]}) is None
    assert ItemSchema(schema).check({"steps": [{}]}) == 'item.steps[0]: "text" is a required property'


def test_a_file_is_never_opened_for_a_reference(tmp_path):
    planted = tmp_path / "planted.json"
    planted.write_text('{"type": "object"}')
    with pytest.raises(InvalidError, match=r"refers to something that is not part of it.*planted\.json") as caught:
        ItemSchema({"properties": {"a": {"$ref": planted.as_uri()}}})
    assert caught.value.param == "data_source_config.item_schema"


@pytest.mark.parametrize("keyword", ["$ref", "$dynamicRef"])
def test_no_connection_is_made_for_a_reference(keyword):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/schema.json"
        with pytest.raises(InvalidError, match=r"refers to something that is not part of it.*schema\.json"):
            ItemSchema({"$defs": {"a": {keyword: address}}, "$ref": "#/$defs/a"})
        with pytest.raises(TimeoutError):
            listener.accept()


@pytest.mark.parametrize("reference", ["#/$defs/nothing", "other.json", "file:///etc/hostname"])
def test_a_reference_that_leads_nowhere_is_refused(reference):
    with pytest.raises(InvalidError, match="never fetched"):
        ItemSchema({"$ref": reference})


@pytest.mark.parametrize(
    ("schema", "where"),
    [
        ({"type": "objekt"}, "data_source_config.item_schema.type"),
        ({"properties": 3}, "data_source_config.item_schema.properties"),
        ({"properties": {"a": {"minLength": -1}}}, "data_source_config.item_schema.properties.a.minLength"),
        ({"properties": {"a": {"pattern": "("}}}, "data_source_config.item_schema.properties.a.pattern"),
        ({"patternProperties": {"(?=a)": {}}}, "data_source_config.item_schema.patternProperties.(?=a)"),
    ],
)
def test_what_is_no_schema_is_refused_with_the_place(schema, where):
    with pytest.raises(InvalidError) as caught:
        ItemSchema(schema)
    assert f"'{where}'" in caught.value.message
    assert caught.value.param == "data_source_config.item_schema"


def test_a_pattern_takes_linear_time():
    schema = ItemSchema({"properties": {"a": {"pattern": "^(a+)+$"}}})
    assert "does not match" in schema.check({"a": "a" * 50_000 + "!"})


def test_a_schema_that_unfolds_to_millions_is_refused():
    doubling = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(60)}
    with pytest.raises(InvalidError, match="unfold"):
        ItemSchema({"$defs": {**doubling, "a60": {"type": "object"}}, "$ref": "#/$defs/a0"})


def test_a_recursive_schema_is_fine():
    tree = {
        "$defs": {"node": {"properties": {"children": {"items": {"$ref": "#/$defs/node"}}}, "required": ["id"]}}
    }
    schema = ItemSchema({**tree, "$ref": "#/$defs/node"})
    assert schema.check({"id": 1, "children": [{"id": 2, "children": []}]}) is None
    assert schema.check({"id": 1, "children": [{}]}) == 'item.children[0]: "id" is a required property'


def test_a_custom_config_is_answered_with_the_schema_of_its_rows():
    config = {"type": "custom", "item_schema": PERSON, "include_sample_schema": False, "note": "kept"}
    answer = normalise(config)
    assert answer == {
        "type": "custom",
        "note": "kept",
        "schema": {"type": "object", "properties": {"item": PERSON}, "required": ["item"]},
    }
    assert compile_item_schema(answer).check({}) == 'item: "name" is a required property'


def test_a_sample_schema_is_answered_where_it_was_asked_for():
    schema = normalise({"type": "custom", "item_schema": {}, "include_sample_schema": True})["schema"]
    assert schema["required"] == ["item", "sample"]
    assert schema["properties"]["sample"]["required"] == ["model", "choices"]


@pytest.mark.parametrize("include", [True, False])
def test_a_config_as_answered_can_be_sent_again(include):
    answer = normalise({"type": "custom", "item_schema": PERSON, "include_sample_schema": include})
    assert normalise(answer) == answer


@pytest.mark.parametrize("kind", ["logs", "stored_completions"])
def test_configs_of_stored_objects_keep_type_and_metadata(kind):
    anything = {"type": "object"}
    schema = {
        "type": "object",
        "properties": {"item": anything, "sample": anything},
        "required": ["item", "sample"],
    }
    assert normalise({"type": kind, "metadata": {"a": "b"}}) == {
        "type": kind,
        "metadata": {"a": "b"},
        "schema": schema,
    }
    assert normalise({"type": kind})["metadata"] is None


def test_a_custom_config_without_a_schema_or_with_a_wrong_one_is_refused():
    for config in (
        {"type": "custom"},
        {"type": "custom", "schema": {"properties": {}}},
        {"type": "custom", "item_schema": {"type": 5}},
    ):
        with pytest.raises(InvalidError) as caught:
            normalise(config)
        assert caught.value.param == "data_source_config.item_schema"


@pytest.mark.parametrize("text_bytes", [None, 20, 10**9])
def test_the_size_of_the_text_around_an_item_changes_nothing_but_the_time(text_bytes):
    schema = ItemSchema({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
    assert schema.check({"n": 1}, text_bytes=text_bytes) is None
    assert schema.check({"n": "x"}, text_bytes=text_bytes).startswith("item.n: ")
    assert schema.check({}, text_bytes=text_bytes).startswith("item: ")
