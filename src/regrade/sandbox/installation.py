"""The graders' own environment: an interpreter with the packages of the hosted graders' image."""

import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from regrade.core.errors import ConfigurationError
from regrade.sandbox.options import SandboxOptions

PINS = (
    "numpy==2.2.4",
    "scipy==1.15.2",
    "sympy==1.13.3",
    "pandas==2.2.3",
    "rapidfuzz==3.10.1",
    "scikit-learn==1.6.1",
    "rouge-score==0.1.2",
    "deepdiff==8.4.2",
    "jsonschema==4.23.0",
    "pydantic==2.10.6",
    "pyyaml==6.0.2",
    "nltk==3.9.1",
    "sqlparse==0.5.3",
    "rdkit==2024.9.6",
    "scikit-bio==0.6.3",
    "ast-grep-py==0.36.2",
)
"""The image of 2025-05-08, as its documentation lists it."""

_OWN = ("orjson",)
"""With which the jail reads rows; without it, the slower json of the standard library does."""

_LIST = (
    "import importlib.metadata as m, json; print(json.dumps([f'{d.name}=={d.version}' for d in m.distributions()]))"
)


@dataclass(frozen=True, slots=True)
class Installed:
    """What became of the packages of the image."""

    exact: list[str]
    other: list[str]
    """In another version, because the image's cannot be had for this Python."""
    missing: list[str]


def install(options: SandboxOptions, say: Callable[[str], None], *, python: str | None = None) -> Installed:
    """Make the environment anew; graders of running servers see it after their next start.

    `python` is an interpreter of 3.11 or newer, by default the server's. Raises ConfigurationError.
    """
    target = options.environment
    fresh = target.with_name(f"{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    say(f"Making {target} with {python or sys.executable}")
    _make(fresh, python)
    _pip(fresh, _OWN)
    if not _pip(fresh, PINS):
        say("Not all packages can be had in the image's versions; trying one after the other")
        for pin in PINS:
            name = pin.partition("==")[0]
            if not _pip(fresh, [pin]) and _pip(fresh, [name]):
                say(f"  {pin} is not to be had; another version is")
    found = {_normal(each.partition("==")[0]): each.partition("==")[2] for each in installed(fresh)}
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)  # an environment's interpreter finds its packages wherever it lies
    return _compared(found)


def installed(environment: Path) -> list[str]:
    """`name==version` of everything in an environment."""
    found: list[str] = json.loads(_run([environment / "bin" / "python", "-I", "-c", _LIST]).stdout)
    return found


def _make(folder: Path, python: str | None) -> None:
    try:
        if python is None:
            venv.create(folder, with_pip=True, symlinks=True)
        else:
            _run([python, "-m", "venv", folder])
    except (OSError, subprocess.CalledProcessError) as error:
        raise ConfigurationError(
            f"An environment for graders cannot be made with {python or sys.executable} ({error}). Name another "
            "interpreter with --python.",
            param="python",
        ) from error


def _pip(environment: Path, packages: Sequence[str]) -> bool:
    """Whether pip could install all of them, from wheels alone: nothing is built here."""
    command = [environment / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    try:
        _run([*command, "--only-binary", ":all:", *_built(packages), *packages])
    except subprocess.CalledProcessError:
        return False
    return True


def _built(packages: Sequence[str]) -> list[str]:
    """Pure Python packages that are published as source alone."""
    return ["--no-binary", "rouge-score"] if any(each.startswith("rouge-score") for each in packages) else []


def _run(command: Sequence[object]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(each) for each in command], capture_output=True, text=True, check=True)  # noqa: S603 - the operator's command


def _normal(name: str) -> str:
    return name.lower().replace("_", "-")


def _compared(found: dict[str, str]) -> Installed:
    result = Installed([], [], [])
    for pin in PINS:
        name, _, version = pin.partition("==")
        if name not in found:
            result.missing.append(pin)
        elif found[name] == version:
            result.exact.append(pin)
        else:
            result.other.append(f"{name}=={found[name]} (the image has {version})")
    return result
