"""No request that our OpenAPI document allows, or forbids, brings the server down or gets an answer not in it."""

import subprocess
import sys
from pathlib import Path

import pytest

from servers import serving

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "allow_header_conformance",
)


def _attack(tmp_path, *flags):
    """Let schemathesis loose on a server of its own, which must still answer afterwards."""
    command = [SCHEMATHESIS, "run", "--no-color", "--no-shrink", "--generation-deterministic"]
    with serving(tmp_path / "data") as server:
        done = subprocess.run(
            [*command, "--checks", ",".join(CHECKS), *flags, f"{server.url}/openapi.json"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        with server.client() as client:
            client.evals.list()
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr


def test_a_quick_search_finds_no_fault(tmp_path):
    _attack(tmp_path, "--phases", "fuzzing", "--max-examples", "8")


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_long_search_finds_no_fault(tmp_path):
    _attack(tmp_path, "--phases", "examples,coverage,fuzzing", "--max-examples", "200")
