"""Stored chat completions and responses as they are answered, with their messages and input items."""

from regrade.core.entities import Page, PageRequest, StoredObject
from regrade.core.errors import InvalidError
from regrade.core.jsontext import loads
from regrade.core.translation import responses_items
from regrade.types.json import JsonObject, JsonValue

# What a stored completion says of its request, beside what the answer says.
_ECHOED = (
    *("tools", "tool_choice", "response_format", "seed", "temperature", "top_p"),
    *("presence_penalty", "frequency_penalty"),
)


def chat_document(stored: StoredObject) -> JsonObject:
    """A stored completion as answered."""
    request, answer = loads(stored.request), loads(stored.answer)
    echoed = {name: request.get(name) for name in _ECHOED}
    return {**echoed, "input_user": request.get("user"), **answer, "metadata": stored.metadata}


def response_document(stored: StoredObject) -> JsonObject:
    """A stored response as answered."""
    return {**loads(stored.answer), "metadata": stored.metadata}


def chat_messages(stored: StoredObject) -> list[JsonObject]:
    """The messages that were asked, each with an id."""
    messages = loads(stored.request).get("messages") or []
    return [_message(f"{stored.id}-{index}", message) for index, message in enumerate(messages)]


def _message(message_id: str, message: JsonObject) -> JsonObject:
    content = message.get("content")
    parts = content if isinstance(content, list) else None
    if parts is not None:
        texts = [part.get("text") for part in parts if isinstance(part, dict)]
        content = "".join(text for text in texts if isinstance(text, str))
    return {
        "name": None,
        "refusal": None,
        **message,
        "id": message_id,
        "content": content,
        "content_parts": parts,
    }


def input_items(stored: StoredObject) -> list[JsonObject]:
    """What a response was asked, in order, each with an id."""
    suffix = stored.id.removeprefix("resp_")
    items = responses_items(loads(stored.request).get("input") or [])
    return [_item(item, f"msg_{suffix}_{index}") for index, item in enumerate(items)]


def _item(item: JsonObject, item_id: str) -> JsonObject:
    if item.get("type") not in (None, "message"):
        return {"id": item_id, **item}
    content = item.get("content")
    if isinstance(content, str):
        spoken = {"type": "output_text", "annotations": []} if item.get("role") == "assistant" else {}
        content = [{"type": "input_text", **spoken, "text": content}]
    return {"id": item_id, "status": "completed", **item, "type": "message", "content": content}


def page_of(objects: list[JsonObject], page: PageRequest) -> Page[JsonObject]:
    """One page of a list that is at hand. Raises InvalidError (param `after`) where the cursor is none of it."""
    ordered = objects if page.order == "asc" else objects[::-1]
    start = 0
    if page.after is not None:
        at: JsonValue = next((n for n, each in enumerate(ordered) if each["id"] == page.after), None)
        if at is None:
            raise InvalidError(f"Nothing found with id '{page.after}' to page after.", param="after")
        start = at + 1
    rest = ordered[start : start + page.limit]
    return Page(data=rest, has_more=len(ordered) > start + page.limit)
