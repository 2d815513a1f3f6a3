"""What a base model can learn from, read off its files; no torch."""

import json
from pathlib import Path
from typing import Any

from regrade.core.training_data import Base


def folder_of(path: str) -> Path:
    """Where the model of a folder or of a name on the hub lies, without its weights in the latter case.

    Raises OSError where there is none.
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(path, allow_patterns=["*.json", "*.jinja", "*.model"]))


def describe(folder: Path) -> Base:
    """Whether the model in a folder chats, and whether it sees. Raises OSError where it is no model's folder."""
    config = _read(folder / "config.json")
    if config is None:
        raise FileNotFoundError(f"{folder} has no config.json.")
    tokenizer = _read(folder / "tokenizer_config.json") or {}
    processor = _read(folder / "processor_config.json") or {}
    chat = bool(tokenizer.get("chat_template") or processor.get("chat_template"))
    chat = chat or any((folder / name).is_file() for name in ("chat_template.jinja", "chat_template.json"))
    return Base(chat=chat, vision="vision_config" in config)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return document if isinstance(document, dict) else None
