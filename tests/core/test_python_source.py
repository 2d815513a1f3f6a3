"""What a python grader's source says about itself."""

import pytest

from regrade.core.python_source import runs_code


@pytest.mark.parametrize(
    "line",
    [
        "exec(sample['output_text'])",
        "eval('1')",
        "__builtins__['ex' + 'ec']('1')",
        "import builtins",
        "import pickle as p",
        "from sympy import sympify",
        "from sympy.parsing.sympy_parser import parse_expr",
        "import importlib.util",
        "frame.eval('a + b')",
        "yaml.unsafe_load(text)",
        "import ctypes",
        "compile(text, '', 'exec')",
        "from yaml import unsafe_load",
        "broken(",
    ],
)
def test_code_in_a_row_could_run(line):
    assert runs_code(f"def grade(sample, item):\n    {line}\n    return 1.0")


@pytest.mark.parametrize(
    "line",
    [
        "import ast; ast.literal_eval('1')",
        "import json, re, math",
        "re.match('a', 'b')",
        "'exec'",
        "import numpy",
        "code = item['code']",
        "re.compile('a')",
    ],
)
def test_no_code_of_a_row_runs(line):
    assert not runs_code(f"def grade(sample, item):\n    {line}\n    return 1.0")
