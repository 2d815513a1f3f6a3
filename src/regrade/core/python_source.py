"""What a python grader's source says about itself, without running it."""

import ast

_EXECUTORS = frozenset(
    ("exec", "eval", "compile", "__import__", "importlib", "runpy", "pickle", "code", "ctypes", "subprocess")
)
"""Names by which a grader runs code that it was given: the answer of a model, most likely."""


def runs_code(source: str) -> bool:
    """Whether the source names anything by which code in a row could run, and change how others are graded."""
    for node in ast.walk(_parse(source)):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                names = [name]
            case ast.Import(names=aliases):
                names = [alias.name.partition(".")[0] for alias in aliases]
            case ast.ImportFrom(module=module, names=aliases):
                names = [(module or "").partition(".")[0], *(alias.name for alias in aliases)]
            case _:
                continue
        if not _EXECUTORS.isdisjoint(names):
            return True
    return False


def imported(source: str) -> frozenset[str]:
    """The modules that the source imports anywhere, by their full names; `from a import b` counts as a and a.b."""
    found: set[str] = set()
    for node in ast.walk(_parse(source)):
        match node:
            case ast.Import(names=aliases):
                found.update(alias.name for alias in aliases)
            case ast.ImportFrom(module=str(module), names=aliases, level=0):
                found.add(module)
                found.update(f"{module}.{alias.name}" for alias in aliases)
    return frozenset(found)


def _parse(source: str) -> ast.Module:
    """The source was checked when its grader was created; another version of Python may still refuse it."""
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module(body=[ast.Expr(ast.Name("exec", ast.Load()))], type_ignores=[])
