"""Tools, the choice among them, their calls, and the format of answers, in both APIs."""

from regrade.core.errors import InvalidError
from regrade.types.json import JsonObject, JsonValue


def chat_tools(tools: list[JsonObject], *, at: str = "tools") -> list[JsonObject]:
    """Tools in the form of chat completions; raises InvalidError for kinds that only the responses API has."""
    return [_chat_tool(tool, f"{at}[{index}]") for index, tool in enumerate(tools)]


def _chat_tool(tool: JsonObject, at: str) -> JsonObject:
    match tool:
        case {"type": "function", "function": dict()} | {"type": "custom", "custom": dict()}:
            return tool
        case {"type": "function"}:
            function = _given(tool, "name", "description", "parameters")
            # False is the default here, and some endpoints know no 'strict'.
            return {
                "type": "function",
                "function": {**function, "strict": True} if tool.get("strict") else function,
            }
        case {"type": "custom"}:
            custom = _given(tool, "name", "description", "format")
            match custom.get("format"):
                case {"type": "grammar", "definition": definition, "syntax": syntax}:
                    grammar = {"definition": definition, "syntax": syntax}
                    custom["format"] = {"type": "grammar", "grammar": grammar}
            return {"type": "custom", "custom": custom}
        case _:
            raise InvalidError(
                f"A tool of type '{tool.get('type')}' cannot be offered by chat completions, which take 'function' "
                "and 'custom' tools alone; it needs an endpoint that speaks the responses API.",
                param=f"{at}.type",
            )


def responses_tools(tools: list[JsonObject]) -> list[JsonObject]:
    """Tools in the form of the responses API; kinds of its own stay as they are."""
    return [_responses_tool(tool) for tool in tools]


def _responses_tool(tool: JsonObject) -> JsonObject:
    match tool:
        case {"type": "function", "function": dict(function)}:
            # Where it is left out, the responses API takes 'strict' for true and chat completions for false.
            defaults = {"parameters": None, "strict": False}
            return {"type": "function", **defaults, **_given(function, *function)}
        case {"type": "custom", "custom": {"format": {"type": "grammar", "grammar": dict(grammar)}}}:
            return {"type": "custom", **tool["custom"], "format": {"type": "grammar", **grammar}}
        case {"type": "custom", "custom": dict(custom)}:
            return {"type": "custom", **custom}
        case _:
            return tool


def chat_choice(choice: JsonValue, *, at: str = "tool_choice") -> JsonValue:
    """A choice of tools in the form of chat completions."""
    match choice:
        case {"type": "function", "name": name}:
            return {"type": "function", "function": {"name": name}}
        case {"type": "custom", "name": name}:
            return {"type": "custom", "custom": {"name": name}}
        case {"type": "allowed_tools", "mode": mode, "tools": list(tools)}:
            allowed = [chat_choice(tool, at=f"{at}.tools[{index}]") for index, tool in enumerate(tools)]
            return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": allowed}}
        case str() | {"function": dict()} | {"custom": dict()} | {"allowed_tools": dict()}:
            return choice
        case {"type": kind}:
            raise InvalidError(
                f"A tool of type '{kind}' cannot be chosen by chat completions, which know 'function' and 'custom' "
                "tools alone; it needs an endpoint that speaks the responses API.",
                param=at,
            )
        case _:
            raise InvalidError("A 'tool_choice' is a string, or an object with a 'type'.", param=at)


def responses_choice(choice: JsonValue) -> JsonValue:
    """A choice of tools in the form of the responses API."""
    match choice:
        case {"type": "function", "function": dict(named)} | {"type": "custom", "custom": dict(named)}:
            return {"type": choice["type"], **named}
        case {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": list(tools)}}:
            return {"type": "allowed_tools", "mode": mode, "tools": [responses_choice(tool) for tool in tools]}
        case _:
            return choice


def chat_call(item: JsonObject) -> JsonObject:
    """A `function_call` or `custom_tool_call` item as a tool call of a chat message."""
    if item["type"] == "function_call":
        function = {"name": item.get("name"), "arguments": item.get("arguments")}
        return {"id": item.get("call_id"), "type": "function", "function": function}
    custom = {"name": item.get("name"), "input": item.get("input")}
    return {"id": item.get("call_id"), "type": "custom", "custom": custom}


def responses_call(call: JsonObject) -> JsonObject:
    """A tool call of a chat message as an item of the responses API, without an id of its own."""
    match call:
        case {"type": "custom", "custom": dict(custom)}:
            return {
                "type": "custom_tool_call",
                "call_id": call.get("id"),
                "name": custom.get("name"),
                "input": custom.get("input") or "",
            }
        case _:
            function = call.get("function") or {}
            return {
                "type": "function_call",
                "call_id": call.get("id"),
                "name": function.get("name"),
                "arguments": function.get("arguments") or "",
            }


def chat_format(text_format: JsonValue) -> JsonValue:
    """`text.format` as a `response_format`."""
    match text_format:
        case {"type": "json_schema", "json_schema": dict()}:
            return text_format
        case {"type": "json_schema"}:
            return {
                "type": "json_schema",
                "json_schema": _given(text_format, "name", "description", "schema", "strict"),
            }
        case _:
            return text_format


def responses_format(response_format: JsonValue) -> JsonValue:
    """A `response_format` as `text.format`."""
    match response_format:
        case {"type": "json_schema", "json_schema": dict(json_schema)}:
            return {"type": "json_schema", **json_schema}
        case _:
            return response_format


def _given(fields: JsonObject, *names: str) -> JsonObject:
    return {name: fields[name] for name in names if fields.get(name) is not None}
