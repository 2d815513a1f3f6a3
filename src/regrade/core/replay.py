"""A whole response as the events that it might have come in."""

from collections.abc import Iterator
from typing import Any

from regrade.types.json import JsonObject

_TEXTS = {
    "output_text": ("text", "response.output_text"),
    "refusal": ("refusal", "response.refusal"),
    "reasoning_text": ("text", "response.reasoning_text"),
}
_INPUTS = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
}


def begun(response: JsonObject) -> list[JsonObject]:
    """The events before there is any output."""
    started = {**response, "status": "in_progress", "output": [], "usage": None, "error": None}
    started["incomplete_details"] = None
    return [
        {"type": name, "sequence_number": number, "response": started}
        for number, name in enumerate(("response.created", "response.in_progress"))
    ]


def ended(response: JsonObject) -> Iterator[JsonObject]:
    """The events after those, of a response that has ended; each text comes in one piece."""
    number = 2
    for index, item in enumerate(response.get("output") or []):
        for event in _item(item):
            yield {"sequence_number": number, "output_index": index, **event}
            number += 1
    yield {"type": f"response.{response['status']}", "sequence_number": number, "response": response}


def _item(item: JsonObject) -> Iterator[JsonObject]:
    kind = item.get("type")
    started = {**item, **({"status": "in_progress"} if "status" in item else {})}
    if isinstance(item.get("content"), list):
        started["content"] = []
    place = {"item_id": item.get("id")}
    if kind in _INPUTS:
        field, name = _INPUTS[kind]
        yield {"type": "response.output_item.added", "item": {**started, field: ""}}
        yield {"type": f"{name}.delta", **place, "delta": item[field]}
        named = {"name": item.get("name")} if kind == "function_call" else {}
        yield {"type": f"{name}.done", **place, field: item[field], **named}
    else:
        yield {"type": "response.output_item.added", "item": started}
        for index, part in enumerate(item.get("content") or []):
            yield from _part(part, {**place, "content_index": index})
    yield {"type": "response.output_item.done", "item": item}


def _part(part: JsonObject, place: dict[str, Any]) -> Iterator[JsonObject]:
    kind = part.get("type")
    if kind not in _TEXTS:
        yield {"type": "response.content_part.added", **place, "part": part}
    else:
        field, name = _TEXTS[kind]
        more = {"logprobs": part.get("logprobs") or []} if kind == "output_text" else {}
        nothing: JsonObject = {"annotations": [], "logprobs": []} if kind == "output_text" else {}
        yield {"type": "response.content_part.added", **place, "part": {"type": kind, field: "", **nothing}}
        yield {"type": f"{name}.delta", **place, "delta": part[field], **more}
        yield {"type": f"{name}.done", **place, field: part[field], **more}
    yield {"type": "response.content_part.done", **place, "part": part}
