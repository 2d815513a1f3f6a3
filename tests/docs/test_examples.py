import subprocess
import sys
from pathlib import Path

import pytest

from cli.commands import environment, regrade

EXAMPLES = Path(__file__).parents[2] / "examples"
SAYS = {
    "quickstart.py": ["completed: 3 of 5 rows passed", "failed: Australia", "failed: Canada"],
    "graders.py": ["reward 0.8", "'exact': 1.0"],
    "python_grader.py": ["completed: 2 of 3 rows passed", "off by 60"],
    "azure.py": ["/evals/eval_"],
}


def test_every_example_is_tested():
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SAYS)


@pytest.mark.parametrize("name", SAYS)
def test_the_example_runs_as_it_is(server, name):
    variables = environment(
        OPENAI_BASE_URL=f"{server.url}/v1",
        OPENAI_API_KEY="unused",
        AZURE_OPENAI_ENDPOINT=server.url,
        AZURE_OPENAI_API_KEY="unused",
        OPENAI_API_VERSION="2025-04-01-preview",
    )
    if name == "azure.py":
        del variables["OPENAI_BASE_URL"]  # the SDK refuses both
    done = subprocess.run([sys.executable, EXAMPLES / name], capture_output=True, text=True, env=variables)
    assert done.returncode == 0, done.stderr
    for text in SAYS[name]:
        assert text in done.stdout


def test_the_example_eval_file_meets_its_gate(server):
    answer = regrade("run", EXAMPLES / "capitals.yaml", "--server", server.url)
    assert answer.returncode == 0, answer.stderr
    assert "Pass rate  60.0 % (3 of 5 rows), 95 % interval 23.1 to 88.2 %" in answer.stdout
