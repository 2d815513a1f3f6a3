"""regrade.toml as the commands change it: comments and order stay, and what would not be valid is never written."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrade.core.endpoints import EndpointTable, read
from regrade.core.errors import ConfigurationError
from regrade.core.local_models import read_base_models

if TYPE_CHECKING:
    from tomlkit import TOMLDocument


def load(path: Path) -> TOMLDocument:
    """The file as a document to edit; an empty one where there is none. Raises ConfigurationError."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        return tomlkit.parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return tomlkit.document()
    except (OSError, UnicodeDecodeError, TOMLKitError) as error:
        raise ConfigurationError(f"{path} cannot be read as TOML: {error}.", param="config") from error


def endpoints(document: TOMLDocument) -> EndpointTable:
    """What the document says of endpoints. Raises ConfigurationError where that is not right."""
    return read(document.unwrap())


def save(document: TOMLDocument, path: Path) -> None:
    """Write the file in one step, so that a server that reads it meanwhile sees the old or the new one."""
    check(document, path)
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(document.as_string())
        Path(draft).chmod(target.stat().st_mode & 0o777 if target.exists() else 0o644)
        Path(draft).replace(target)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def check(document: TOMLDocument, path: Path) -> None:
    """Raise ConfigurationError where the document would not be a valid file at this path."""
    endpoints(document)
    read_base_models(document.unwrap(), folder=path.parent)


def add_endpoint(document: TOMLDocument, entry: dict[str, Any]) -> None:
    """Append an [[endpoints]] table."""
    _append(document, "endpoints", entry)


def add_base_model(document: TOMLDocument, entry: dict[str, Any]) -> None:
    """Append a [[base_models]] table."""
    _append(document, "base_models", entry)


def _append(document: TOMLDocument, tables: str, entry: dict[str, Any]) -> None:
    import tomlkit

    table = tomlkit.table()
    for key, value in entry.items():
        table[key] = value
    if document.as_string().strip():
        table.trivia.indent = "\n"  # an empty line before it
    if tables not in document:
        document[tables] = tomlkit.aot()
    document[tables].append(table)


def remove_endpoint(document: TOMLDocument, name: str) -> bool:
    """Remove the [[endpoints]] table of this name; whether there was one."""
    tables: Any = document.get("endpoints", [])
    for index, table in enumerate(tables):
        if table.get("name") == name:
            del tables[index]
            if not tables:
                del document["endpoints"]
            return True
    return False
