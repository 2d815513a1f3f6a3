"""Reading a dump back: whether everything that it counts is there, whole, once, and in order."""

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from regrade.dump.layout import CONTENTS, lines, read_cursor, read_manifest
from regrade.dump.plan import DamagedDumpError, Plan
from regrade.dump.resources import Answer, Request, Scope
from regrade.dump.storage import counts_of
from regrade.types.json import JsonObject

_BLOCK = 1 << 20
_LISTED = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a dump turned out to be."""

    manifest: JsonObject
    plan: Plan
    problems: list[str]
    """Each a sentence about something that is not as it was written."""
    missing: list[Request]
    """What was never saved, or not to its end."""

    @property
    def whole(self) -> bool:
        """Whether all that the account held, as far as the scope goes, is here and unharmed."""
        return not self.problems and not self.missing


def sentences(report: Report) -> list[str]:
    """What to tell a person about a dump, beside its problems."""
    if report.problems:
        return ["The dump is damaged: what the lines above name is lost or cannot be trusted."]
    if report.whole:
        return ["The dump is whole."]
    reasons = {skip["path"]: skip["reason"] for skip in report.manifest["skipped"]}
    listed = [
        f"{request.path}: {reasons.get(request.path, 'not fetched yet')}" for request in report.missing[:_LISTED]
    ]
    if len(report.missing) > _LISTED:
        listed.append(f"... and {len(report.missing) - _LISTED:,} more.")
    return [
        *listed,
        f"The dump is unharmed and not whole: {len(report.missing):,} lists, objects or files are missing.",
        "The command that made it goes on with it.",
    ]


def scope_of(manifest: JsonObject) -> Scope:
    """The scope that a dump was begun with."""
    origin = manifest["origin"]
    return Scope(since=origin["since"], evals=tuple(origin["evals"]))


def check(root: Path) -> Report:
    """Read the whole dump. Raises ConfigurationError where there is none.

    A walk may be writing to it meanwhile: what is saved after the check began is not looked at.
    """
    manifest = read_manifest(root)
    plan = Plan(scope_of(manifest))
    for request in (request for stage in plan.scope.roots() for request in stage):
        plan.add(request)
    problems: list[str] = []
    seen: defaultdict[str, set[str]] = defaultdict(set)
    try:
        for answer in lines(root, read_cursor(root)):
            plan.record(answer)
            problems += _twice(answer, seen)
            if answer.request.kind == "bytes":
                problems += _content(root, answer)
    except DamagedDumpError as error:
        problems.append(error.message)
    else:
        problems += _miscounted(manifest, plan)
    return Report(manifest=manifest, plan=plan, problems=problems, missing=list(plan.open()))


def _twice(answer: Answer, seen: defaultdict[str, set[str]]) -> list[str]:
    if answer.request.kind != "page":
        return []
    path = answer.request.path
    twice = []
    for found in answer.objects:
        if found["id"] in seen[path]:
            twice.append(f"{found['id']} stands twice in {path}.")
        seen[path].add(found["id"])
    if not answer.has_more:
        seen.pop(path, None)
    return twice


def _content(root: Path, answer: Answer) -> list[str]:
    name = answer.request.path.split("/")[2]
    path = root / CONTENTS / name
    if not path.is_file():
        return [f"{path} is missing."]
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    if digest.hexdigest() != answer.value.get("sha256"):
        return [f"{path} is not what was saved: its SHA-256 differs."]
    return []


def _miscounted(manifest: JsonObject, plan: Plan) -> list[str]:
    if manifest["finished_at"] is None:
        return []
    saved = {resource: count["saved"] for resource, count in counts_of(plan).items()}
    return [
        f"The manifest counts {counts['saved']} saved {resource}, the data has {saved.get(resource)}."
        for resource, counts in manifest["counts"].items()
        if counts["saved"] != saved.get(resource)
    ]
