"""What a python grader's source says about itself, without running it."""

import ast

_FUNCTIONS = frozenset(("exec", "eval", "compile", "__import__", "__builtins__"))
_METHODS = frozenset(("exec", "eval", "__import__", "unsafe_load", "UnsafeLoader", "read_pickle"))
"""Not compile: of all methods, that of `re` is the one that graders call."""
_MODULES = frozenset((
    "builtins", "cffi", "cloudpickle", "code", "codeop", "ctypes", "dill", "doctest", "importlib", "joblib",
    "marshal", "numexpr", "pickle", "runpy", "shelve", "subprocess", "sympy", "timeit",
))  # fmt: skip
"""sympy evaluates every text that it is handed as a formula."""


def runs_code(source: str) -> bool:
    """Whether the source names anything by which code in a row could run, and change how others are graded."""
    for node in ast.walk(_parse(source)):
        match node:
            case ast.Name(id=name):
                found = name in _FUNCTIONS
            case ast.Attribute(attr=name):
                found = name in _METHODS
            case ast.Import(names=aliases):
                found = any(alias.name.partition(".")[0] in _MODULES for alias in aliases)
            case ast.ImportFrom(module=module, names=aliases):
                imports = {alias.name for alias in aliases}
                found = (module or "").partition(".")[0] in _MODULES or not _METHODS.isdisjoint(imports)
            case _:
                continue
        if found:
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
