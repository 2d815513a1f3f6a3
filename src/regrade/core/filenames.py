"""Names of uploaded files: something to show, never something to open."""

import re
import unicodedata

from regrade.core.errors import InvalidError

MAX_LENGTH = 255


def display_name(name: str, *, param: str) -> str:
    """What a client calls a file, without the folders that some clients send along. Raises InvalidError."""
    base = re.split(r"[/\\]", name)[-1].strip()
    if base in ("", ".", ".."):
        raise InvalidError(
            f"'{name[:MAX_LENGTH]}' does not name a file. Send a file name, like 'rows.jsonl'.", param=param
        )
    if len(base) > MAX_LENGTH:
        raise InvalidError(
            f"A file name can have at most {MAX_LENGTH} characters; this one has {len(base)}.", param=param
        )
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in base):
        raise InvalidError("A file name cannot contain control characters.", param=param)
    return base
