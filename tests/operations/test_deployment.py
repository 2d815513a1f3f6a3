"""The Dockerfile, compose.yaml and the Kubernetes example: by a linter, by their structure, and by running."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import httpx2
import pytest
import yaml

from regrade import settings
from regrade.cli import app

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile"
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
KUBERNETES = [each for each in yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text()) if each]
KNOWN = {f"REGRADE_{name.upper()}" for name in settings.options()} | {"REGRADE_CONFIG"}
COMMANDS = {command.name or command.callback.__name__ for command in app.registered_commands}


def instructions():
    """(instruction, rest) of the Dockerfile, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    joined = re.sub(r"\\\n\s*", "", text)
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def stages():
    """The instructions of each stage."""
    found = []
    for name, rest in instructions():
        if name == "FROM":
            found.append([])
        found[-1].append((name, rest))
    return found


def of(stage, name):
    return [rest for instruction, rest in stage if instruction == name]


def variables_of(stage):
    return dict(pair.split("=", 1) for rest in of(stage, "ENV") for pair in shlex.split(rest))


def test_the_linter_has_nothing_against_the_dockerfile():
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    done = subprocess.run([hadolint, "--no-color", DOCKERFILE], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_runs_as_nobody_in_particular_and_has_no_compiler():
    build, final = stages()
    assert of(final, "USER") == ["10001:10001"]
    assert all(" AS build" in rest or rest.endswith("-slim") for rest in of(build, "FROM") + of(final, "FROM"))
    assert not any(re.search(r"\b(apt|apt-get|gcc|build-essential|pip)\b", rest) for rest in of(final, "RUN"))
    assert of(final, "HEALTHCHECK")
    assert set(variables_of(final)) - {"PATH", "PYTHONUNBUFFERED"} <= KNOWN
    assert json.loads(of(final, "CMD")[0])[0] in COMMANDS


def test_what_the_image_is_built_of_is_what_docker_may_see():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = [part for rest in of(stages()[0], "COPY") for part in rest.split()[:-1]]
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == set(copied)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    [default] = [rest.split("=")[1] for rest in of(stages()[0], "ARG")]
    assert set(default.split(",")) <= set(extras)


def test_compose_has_a_server_two_workers_and_a_database_that_share_what_they_must():
    services = COMPOSE["services"]
    assert set(services) == {"server", "worker", "postgres"}
    server, worker = services["server"], services["worker"]
    assert worker["deploy"]["replicas"] == 2
    for service in (server, worker):
        assert set(service["environment"]) <= KNOWN
        assert service["command"][0] in COMMANDS
        assert "blobs:/blobs" in service["volumes"]
        assert {name.split(":")[0] for name in service["volumes"]} <= set(COMPOSE["volumes"])
    shared = ("REGRADE_DATABASE_URL", "REGRADE_BLOBS", "REGRADE_CONFIG")
    assert all(server["environment"][name] == worker["environment"][name] for name in shared)
    secret = Path(server["environment"]["REGRADE_ADMIN_KEY_FILE"]).name
    assert secret in server["secrets"]
    assert secret in COMPOSE["secrets"]
    assert not any("KEY" in name for name in worker["environment"])


def test_compose_can_put_its_configs_and_secrets_into_the_containers():
    """Compose refuses those that are not files where the root is read-only."""
    given = [*COMPOSE["secrets"].values(), *COMPOSE["configs"].values()]
    assert all("file" in each for each in given) or not any(
        each.get("read_only") for each in COMPOSE["services"].values()
    )


def test_the_settings_of_compose_are_valid(tmp_path):
    (tmp_path / "regrade.toml").write_text(COMPOSE["configs"]["regrade.toml"]["content"])
    for service in ("server", "worker"):
        given = COMPOSE["services"][service]["environment"]
        variables = {name: re.sub(r"\$\{.*?\}", "interpolated", value) for name, value in given.items()}
        variables["REGRADE_CONFIG"] = str(tmp_path / "regrade.toml")
        found = settings.load(environ=variables)
        assert found.on_postgres
        assert found.shutdown_seconds < int(COMPOSE["services"][service]["stop_grace_period"].removesuffix("s"))


def kubernetes(kind, name):
    [found] = [each for each in KUBERNETES if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


@pytest.mark.parametrize("name", ["server", "worker"])
def test_pods_are_confined_and_given_settings_that_exist(name):
    pod = kubernetes("Deployment", f"regrade-{name}")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["args"][0] in COMMANDS
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    given = {variable["name"] for variable in container["env"]}
    for source in container["envFrom"]:
        if "configMapRef" in source:
            given |= set(kubernetes("ConfigMap", source["configMapRef"]["name"])["data"])
    assert given <= KNOWN
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    [config] = [volume["configMap"]["name"] for volume in volumes.values() if "configMap" in volume]
    assert set(kubernetes("ConfigMap", config)["data"]) == {"regrade.toml"}
    before = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])
    assert pod["terminationGracePeriodSeconds"] > int(before[1]) + settings.load(environ={}).shutdown_seconds


def test_probes_and_services_lead_to_the_server():
    deployment = kubernetes("Deployment", "regrade-server")
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/health"
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
    [port] = container["ports"]
    assert port["containerPort"] == settings.load(environ={}).port
    service = kubernetes("Service", "regrade")["spec"]
    assert service["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert service["ports"][0]["targetPort"] == port["name"]
    scaled = kubernetes("HorizontalPodAutoscaler", "regrade-worker")["spec"]["scaleTargetRef"]["name"]
    assert kubernetes("Deployment", scaled)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_what_the_dockerfile_does_works_in_a_fresh_environment(tmp_path):
    build, final = stages()
    context, opt = tmp_path / "context", tmp_path / "opt"
    for rest in of(build, "COPY"):
        *sources, _ = rest.split()
        for source in sources:
            copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy2
            (context / source).parent.mkdir(parents=True, exist_ok=True)
            copy(ROOT / source, context / source)
    plain = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    [extras] = [rest.split("=")[1] for rest in of(build, "ARG")]
    for command in of(build, "RUN"):
        ours = command.replace("/opt/regrade", str(opt)).replace("python -m venv", f"{sys.executable} -m venv")
        subprocess.run(["sh", "-ec", ours], cwd=context, env={**plain, **kept, "EXTRAS": extras}, check=True)

    variables = variables_of(final)
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "key").write_text("sk-the-operators-own-key")
    environment = {
        **plain,
        **variables,
        "PATH": f"{opt}/bin:{plain['PATH']}",
        "REGRADE_DATA_DIR": str(folder),
        "REGRADE_PORT": "0",
        "REGRADE_ADMIN_KEY_FILE": str(tmp_path / "key"),
    }
    [entry], [command], [health] = (of(final, name) for name in ("ENTRYPOINT", "CMD", "HEALTHCHECK"))
    with subprocess.Popen(
        [opt / "bin" / json.loads(entry)[0], *json.loads(command)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            url = next(line.split()[1] for line in server.stdout if line.startswith("ready"))
            probe = json.loads(health.split(" CMD ")[1])
            probe[-1] = probe[-1].replace("http://127.0.0.1:8000", url)
            subprocess.run([opt / "bin" / probe[0], *probe[1:]], env=environment, check=True)
            broken = [opt / "bin" / probe[0], *probe[1:-1], probe[-1].replace("/ready", "/no-such-page")]
            assert subprocess.run(broken, env=environment, stderr=subprocess.DEVNULL).returncode != 0
            key = {"authorization": "Bearer sk-the-operators-own-key"}
            assert httpx2.get(f"{url}/v1/evals", headers=key).status_code == 200
            assert httpx2.get(f"{url}/v1/evals").status_code == 401
        finally:
            server.terminate()
    assert server.returncode == 0
