"""Data source configs: what a client may send, and what it is answered."""

from regrade.core.errors import InvalidError
from regrade.core.item_schema import ItemSchema
from regrade.types.json import JsonObject, JsonValue

# What an eval says of samples where `include_sample_schema` was asked for.
SAMPLE_SCHEMA: JsonObject = {
    "type": "object",
    "required": ["model", "choices"],
    "properties": {
        "model": {"type": "string"},
        "choices": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "message", "finish_reason"],
                "properties": {
                    "index": {"type": "integer"},
                    "finish_reason": {"type": "string"},
                    "message": {
                        "type": "object",
                        "required": ["role"],
                        "properties": {
                            "role": {"type": "string", "enum": ["assistant"]},
                            "content": {"type": ["string", "array", "null"]},
                            "refusal": {"type": ["boolean", "null"]},
                            "tool_calls": {
                                "type": ["array", "null"],
                                "items": {
                                    "type": "object",
                                    "required": ["type", "function", "id"],
                                    "properties": {
                                        "type": {"type": "string", "enum": ["function"]},
                                        "id": {"type": "string"},
                                        "function": {
                                            "type": "object",
                                            "required": ["name", "arguments"],
                                            "properties": {
                                                "name": {"type": "string"},
                                                "arguments": {"type": "string"},
                                            },
                                        },
                                    },
                                },
                            },
                            "function_call": {
                                "type": ["object", "null"],
                                "properties": {"name": {"type": "string"}, "arguments": {"type": "string"}},
                            },
                        },
                    },
                },
            },
        },
        "output_text": {"type": "string"},
        "output_json": {"type": "object"},
        "output_tools": {"type": "array", "items": {"type": "object"}},
        "output_reasoning_summary": {"type": ["string", "null"]},
        "output_audio": {"type": ["object", "null"]},
        "input_tools": {"type": "array", "items": {"type": "object"}},
    },
}


def normalise(config: JsonObject, *, at: str = "data_source_config") -> JsonObject:
    """A config as answered, from one whose shape has been checked.

    A config as answered is accepted too: `schema` with an `item` property stands for `item_schema`. Raises
    InvalidError where the schema is none.
    """
    if config["type"] != "custom":
        anything = {"item": {"type": "object"}, "sample": {"type": "object"}}
        return {**config, "metadata": config.get("metadata"), "schema": _row_schema(anything)}
    item_schema, sample_schema = _asked_schemas(config, at)
    ItemSchema(item_schema, at=f"{at}.item_schema")
    properties = {"item": item_schema}
    if sample_schema is not None:
        properties["sample"] = sample_schema
    kept = {key: value for key, value in config.items() if key not in ("item_schema", "include_sample_schema")}
    return {**kept, "schema": _row_schema(properties)}


def _asked_schemas(config: JsonObject, at: str) -> tuple[JsonObject, JsonObject | None]:
    """The schema of `item`, and that of `sample` where it was asked for."""
    item_schema: JsonValue = config.get("item_schema")
    sample_schema = SAMPLE_SCHEMA if config.get("include_sample_schema") else None
    if item_schema is None:
        match config.get("schema"):
            case {"properties": {"item": dict(item_schema), **others}}:
                sample_schema = sample_schema or (SAMPLE_SCHEMA if "sample" in others else None)
            case _:
                raise InvalidError(
                    f"Missing required parameter: '{at}.item_schema'.",
                    param=f"{at}.item_schema",
                    code="missing_required_parameter",
                )
    return item_schema, sample_schema


def _row_schema(properties: JsonObject) -> JsonObject:
    return {"type": "object", "properties": properties, "required": list(properties)}
