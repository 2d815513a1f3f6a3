"""Templates: what they name, what they leave alone, and what they say when a row lacks it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrade.core.errors import InvalidError, RowError
from regrade.core.samples import namespace
from regrade.core.templates import (
    MAX_RENDERED,
    MissingVariableError,
    compile_reference,
    compile_template,
    referenced_messages,
)

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
plain = st.text().filter(lambda text: "{{" not in text and not text.endswith("{"))


def render(text, item=None, sample=None):
    return compile_template(text).render(item or {}, sample or {})


@given(names, st.text(), plain, st.text().filter(lambda text: "}}" not in text and not text.startswith("}")))
def test_a_string_is_inserted_as_it_is_and_never_expanded_again(name, value, before, after):
    inserted = value + "{{item.secret}}"
    assert render(f"{before}{{{{item.{name}}}}}{after}", {name: inserted}) == before + inserted + after


@given(names, json_values)
def test_whatever_is_no_string_is_inserted_as_json_and_null_as_nothing(name, value):
    text = render(f"{{{{ item.{name} }}}}", {name: value})
    if value is None or isinstance(value, str):
        assert text == (value or "")
    else:
        assert json.loads(text) == value


@given(st.text())
def test_any_text_compiles_or_is_refused_with_a_reason(text):
    match compiled(text):
        case InvalidError() as error:
            assert error.param == "input"
            assert error.message.startswith("The template names {{")
        case template:
            assert template.variables or template.render({}, {}) == text


def compiled(text):
    try:
        return compile_template(text, at="input")
    except InvalidError as error:
        return error


@given(st.text(alphabet="{}item.x[0] \"'|"))
def test_texts_of_braces_compile_or_are_refused(text):
    template = compiled(text)
    assert isinstance(template, InvalidError) or template.variables or template.render({}, {}) == text


def test_whole_numbers_floats_and_large_integers_keep_their_look():
    item = {"a": 1, "b": 1.0, "c": True, "d": 2**80, "e": {"k": ["é"]}}
    assert (
        render("{{item.a}} {{item.b}} {{item.c}} {{item.d}} {{item.e}}", item)
        == f'1 1.0 true {2**80} {{"k":["é"]}}'
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("item.a.b[1].c", "found"),
        ("item.a.b[-1].c", "found"),
        ("item.a.b.1.c", "found"),
        ('item["a"].b[1]["c"]', "found"),
        ("item['odd key.x']", "odd"),
        ("item.two words", "2"),
        ("item.my-key", "dash"),
        ("item.größe", "XL"),
        ("item.2nd", "second"),
        ("item.json.deep[0].x", "inside"),
    ],
)
def test_paths_lead_through_objects_arrays_and_json_in_strings(path, value):
    item = {
        "a": {"b": [0, {"c": "found"}]},
        "odd key.x": "odd",
        "two words": 2,
        "my-key": "dash",
        "größe": "XL",
        "2nd": "second",
        "json": '{"deep": [{"x": "inside"}]}',
    }
    assert render("{{" + path + "}}", item) == value
    assert render("<{{ " + path + " }}>", item) == f"<{value}>"


def test_the_arguments_of_a_recorded_tool_call_can_be_walked_into():
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"symbols": ["A", "B"]}'}}
    sample = namespace({"choices": [{"message": {"content": None, "tool_calls": [call]}}]})
    assert render("{{sample.output_tools[0].function.arguments.symbols}}", sample=sample) == '["A","B"]'


@pytest.mark.parametrize(
    "text",
    [
        "{{sample.output_text}",
        "{{ item.a",
        "{{input}}",
        "{{item}}",
        "{{}}",
        "{{ }}",
        '{{"a": 1}}',
        "{{e.g. this}}",
        "}} {{",
        "{ {item.a} }",
        "{{item}.a}}",
    ],
)
def test_braces_that_name_no_path_stay(text):
    assert render(text, {"a": 1}) == text


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ('{"a": {"b": "{{item.a}}"}}', '{"a": {"b": "1"}}'),
        ("{{{item.a}}}", "{1}"),
        ("{{{{item.a}}}}", "{{1}}"),
        ("{{sample.output_text} and {{item.a}}", "{{sample.output_text} and 1"),
        ("{{item.a}}{{item.a}}", "11"),
        ('{{"x"}} {{item.a}}', '{{"x"}} 1'),
    ],
)
def test_the_innermost_pair_of_braces_counts(text, filled):
    assert render(text, {"a": 1}) == filled


@pytest.mark.parametrize(
    "text", ["{{foo.bar}}", "{{ items.name }}", "{{item.a | upper}}", "{{item.}}", "{{item.a..b}}", "{{sample[x]}}"]
)
def test_an_unknown_namespace_or_a_broken_path_is_refused(text):
    with pytest.raises(InvalidError, match="The template names") as caught:
        compile_template(f"Say {text}.", at="testing_criteria[0].input")
    assert caught.value.param == "testing_criteria[0].input"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("item.c", "item has no 'c': its fields are 'a', 'b', 'n'."),
        ("item.a.x", "item.a has no 'x': it holds no JSON object or array."),
        ("item.b[5]", "item.b has no '5': it is an array of length 1."),
        ("item.b.x", "item.b has no 'x': it is an array of length 1."),
        ("item.b[0].y", "item.b[0] has no 'y': its fields are 'z'."),
        ("item.n.x", "item.n has no 'x': it is null."),
        ("item.a[0]", "item.a has no '0': it holds no JSON object or array."),
        ("sample.output_text", "sample has no 'output_text': it has no fields."),
    ],
)
def test_a_missing_path_is_named_together_with_what_there_is(path, reason):
    with pytest.raises(MissingVariableError) as caught:
        render("{{" + path + "}}", {"a": "text", "b": [{"z": 1}], "n": None})
    assert caught.value.message == f"The template names {{{{{path}}}}}, but {reason}"


def test_a_row_with_many_fields_is_not_listed_in_full():
    with pytest.raises(MissingVariableError, match="'f19' and 980 more"):
        render("{{item.nothing}}", {f"f{n}": n for n in range(1000)})


def test_a_short_template_cannot_multiply_a_long_field():
    template = compile_template("{{item.long}}" * 200)
    with pytest.raises(RowError, match=f"more than {MAX_RENDERED} characters"):
        template.render({"long": "x" * 100_000}, {})


def test_a_template_of_a_million_braces_compiles():
    for text in ("{" * 1_000_000, "{{" * 500_000 + "}}", "{{item.a " * 100_000, "{{ x }}" * 100_000):
        assert compile_template(text).render({}, {}) == text


@pytest.mark.parametrize("text", ["item.input", " item.input ", "{{item.input}}", "{{ item.input }}"])
def test_an_item_reference_stands_for_messages_with_or_without_braces(text):
    messages = [{"role": "user", "content": "Hi"}]
    reference = compile_reference(text)
    assert referenced_messages(reference, {"input": messages}, {}) == messages
    assert referenced_messages(reference, {"input": "Hi"}, {}) == messages


def test_an_item_reference_to_anything_else_is_an_error():
    with pytest.raises(InvalidError, match="not a path"):
        compile_reference("the input", at="data_source.input_messages.item_reference")
    with pytest.raises(RowError, match=r"item\.input must hold a list of messages"):
        referenced_messages(compile_reference("item.input"), {"input": 5}, {})
