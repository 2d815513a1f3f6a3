"""Chat completions and the responses API, each in the other's words: requests, answers and streams."""

from regrade.core.translation.stream_to_chat import ResponsesToChatStream
from regrade.core.translation.stream_to_responses import ChatToResponsesStream
from regrade.core.translation.to_chat import chat_messages, responses_answer_to_chat, responses_request_to_chat
from regrade.core.translation.to_responses import (
    chat_answer_to_responses,
    chat_request_to_responses,
    responses_items,
)

__all__ = [
    "ChatToResponsesStream",
    "ResponsesToChatStream",
    "chat_answer_to_responses",
    "chat_messages",
    "chat_request_to_responses",
    "responses_answer_to_chat",
    "responses_items",
    "responses_request_to_chat",
]
