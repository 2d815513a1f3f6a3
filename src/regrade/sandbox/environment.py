"""What graders can import: the environment made for them, or a light set of the server's packages."""

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from regrade.core.errors import ConfigurationError
from regrade.sandbox.options import SandboxOptions

_SYSTEM = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache", "/usr/share/zoneinfo")
"""Shared libraries and time zones."""

_DEVICES = ("/dev/urandom",)

_LIGHT = (
    "numpy", "numpy.libs", "rapidfuzz", "rapidfuzz.libs", "nltk", "regex", "joblib", "click", "tqdm", "pydantic",
    "pydantic_core", "annotated_types", "typing_extensions.py", "typing_inspection", "yaml", "_yaml", "orjson",
)  # fmt: skip
"""What of the server's own packages graders may use where no environment was installed for them."""

_STANDING = ("json", "re", "math", "difflib", "string", "collections", "datetime", "statistics", "random", "typing")
_PRELOADED = ("numpy", "rapidfuzz", "rapidfuzz.fuzz", "rapidfuzz.distance")
_HEAVY = (
    "deepdiff", "jsonschema", "nltk", "nltk.translate.bleu_score", "pandas", "pydantic", "rdkit", "rdkit.Chem",
    "rouge_score", "scipy", "scipy.optimize", "scipy.spatial", "scipy.stats", "skbio", "sklearn", "sklearn.metrics",
    "sqlparse", "sympy", "yaml",
)  # fmt: skip
"""Slow to import, so a grader that needs them is forked from a process that has imported them already."""

_ASK_PATH = "import json, sys; print(json.dumps([each for each in sys.path if each]))"
_ASK_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """An interpreter, and what the graders that it runs see of the disk."""

    python: str
    path: tuple[str, ...]
    """sys.path of graders."""
    readable: tuple[str, ...]
    """All that they may read."""

    def preload(self, imports: Iterable[str]) -> tuple[str, ...]:
        """The modules to import before a grader with these imports is forked."""
        return (*_STANDING, *_PRELOADED, *sorted(set(imports).intersection(_HEAVY)))


def find(options: SandboxOptions, packages: Path) -> Environment:
    """The installed environment, or the light set, for which links are put into the empty folder `packages`.

    Raises ConfigurationError where what graders would see has something in it that they must not see.
    """
    python = options.environment / "bin" / "python"
    if python.exists():
        site = next((options.environment / "lib").glob("python3*/site-packages")).resolve()
        seen = [str(site)]
    else:
        python, site = Path(sys.executable), packages.resolve()
        seen = [str(site), *_link_light_set(packages)]
    standard = [each for each in _ask(python) if Path(each).exists()]
    readable = _without_nested([*_SYSTEM, *(str(Path(each).resolve()) for each in standard), *seen])
    for hidden in options.hidden:
        _refuse_to_show(hidden, readable)
    return Environment(python=str(python), path=(*standard, str(site)), readable=(*readable, *_DEVICES))


def _ask(python: Path) -> list[str]:
    """Where an interpreter keeps the standard library: its sys.path without any site-packages."""
    done = subprocess.run(  # noqa: S603 - the operator's interpreter and our own line
        [python, "-I", "-S", "-c", _ASK_PATH],
        capture_output=True,
        text=True,
        timeout=_ASK_SECONDS,
        check=True,
        env={},
    )
    path: list[str] = json.loads(done.stdout)
    return path


def _link_light_set(packages: Path) -> list[str]:
    """Put a link for each package of the light set into the folder; the paths that they lead to."""
    found = []
    for folder in [Path(each) for each in sys.path if each.endswith("site-packages")]:
        for name in _LIGHT:
            target, link = folder / name, packages / name
            if target.exists() and not link.is_symlink():
                link.symlink_to(target.resolve())
                found.append(str(target.resolve()))
    return found


def _without_nested(paths: Iterable[str]) -> list[str]:
    """Each path once, and none that lies within another."""
    kept: list[str] = []
    for path in sorted(dict.fromkeys(paths), key=len):
        if not any(Path(path) == Path(other) or Path(other) in Path(path).parents for other in kept):
            kept.append(path)
    return kept


def _refuse_to_show(hidden: Path, readable: Iterable[str]) -> None:
    for path in readable:
        if hidden.resolve().is_relative_to(path):
            raise ConfigurationError(
                f"{hidden} lies within {path}, which python graders can read. Move it to a folder of its own.",
                param="data_dir",
            )
