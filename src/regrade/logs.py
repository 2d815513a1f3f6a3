"""The log: lines on standard error, for people or as JSON for programs."""

import logging
import os
import re
import sys
from datetime import UTC, datetime
from typing import Literal

from regrade.core import log_context
from regrade.core.jsontext import dumps
from regrade.types.json import JsonObject

LogFormat = Literal["text", "json"]


class TextLines(logging.Formatter):
    """Records begin at the margin and nothing else does, so that no text of a client's passes for one."""

    _CONTROL = re.compile("[\\x00-\\x09\\x0b-\\x1f\\x7f-\\x9f\\u2028\\u2029]")

    def format(self, record: logging.LogRecord) -> str:
        """The record, further lines indented."""
        text = self._CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), super().format(record))
        return text.replace("\n", "\n    ")


class JsonLines(logging.Formatter):
    """One object a line, with the ids of what the record is about where they are known."""

    def format(self, record: logging.LogRecord) -> str:
        """The record; its traceback is the field `error`."""
        entry: JsonObject = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "pid": os.getpid(),
            **log_context.known(),
        }
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return dumps(entry).decode()


def configure(level: str, form: LogFormat = "text") -> None:
    """Log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonLines() if form == "json" else TextLines("%(asctime)s %(levelname)s %(name)s: %(message)s")
    )
    logging.basicConfig(level=level.upper(), handlers=[handler])
    # Libraries that speak of their every step.
    for name in ("alembic", "asyncio", "dbos", "uvicorn"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of what is answered with a 400
