"""`regrade doctor`: what could keep a server from working here, each finding with the command that mends it."""

import importlib.metadata
import os
import platform
import resource
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from regrade import __version__, server_lock, settings
from regrade.cli.failures import ExitCode
from regrade.cli.options import Config, DatabaseUrl, DataDir
from regrade.core.errors import ConfigurationError, RegradeError
from regrade.settings import GIB, Settings

_PACKAGES = ("aiohttp", "dbos", "fastapi", "orjson", "pydantic", "rich", "sqlalchemy", "typer", "uvicorn")
_MIN_FREE_BYTES = GIB
_MIN_OPEN_FILES = 1024
_DATABASE_CHECK_S = 10.0
_SOUND, _SOUND_SO_FAR = "ok", f"ok as far as {_DATABASE_CHECK_S:.0f} s of checking show"
_HTTP_OK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str
    fix: str | None = None
    """A command to try; None where all is well."""


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Answer one JSON object.")] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
) -> None:
    """Check this machine, the data directory and the server on it. Exit code 1 where a check failed."""
    findings = [_versions(), _open_files()]
    try:
        found = settings.load({"data_dir": data_dir, "database_url": database_url, "config": config})
    except ConfigurationError as error:
        findings.append(Finding(name="Settings", ok=False, detail=error.message, fix="regrade serve --help"))
    else:
        findings += [check(found) for check in _CHECKS]
    ok = all(finding.ok for finding in findings)
    if json:
        from regrade.core import jsontext

        report = {"ok": ok, "version": __version__, "checks": [asdict(finding) for finding in findings]}
        typer.echo(jsontext.dumps(report).decode())
    else:
        for line in _lines(findings):
            typer.echo(line)
    raise typer.Exit(ExitCode.OK if ok else ExitCode.GATE_NOT_MET)


def _lines(findings: list[Finding]) -> Iterator[str]:
    for finding in findings:
        yield f"{'ok  ' if finding.ok else 'FAIL'}  {finding.name:<15} {finding.detail}"
        if finding.fix:
            yield f"      {'':<15} Try: {finding.fix}"


def _versions() -> Finding:
    versions, missing = [f"Python {platform.python_version()}", f"regrade {__version__}"], []
    for package in _PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(package)
    if missing:
        detail = f"{', '.join(missing)} not installed for {sys.executable}"
        return Finding(name="Versions", ok=False, detail=detail, fix=f"{sys.executable} -m pip install regrade")
    return Finding(name="Versions", ok=True, detail=", ".join(versions))


def _open_files() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    ok = soft == resource.RLIM_INFINITY or soft >= _MIN_OPEN_FILES
    limit = "no limit" if soft == resource.RLIM_INFINITY else f"up to {soft:,}"
    return Finding(name="Open files", ok=ok, detail=limit, fix=None if ok else f"ulimit -n {_MIN_OPEN_FILES}")


def _data_directory(found: Settings) -> Finding:
    name = "Data directory"
    try:
        folder = server_lock.open_data_dir(found.data_dir)
        probe = folder / "doctor.probe"
        started = time.perf_counter()
        with probe.open("wb") as file:
            file.write(b"0" * 4096)
            file.flush()
            os.fsync(file.fileno())
        milliseconds = 1000 * (time.perf_counter() - started)
        probe.unlink()
    except (ConfigurationError, OSError) as error:
        return Finding(name=name, ok=False, detail=str(error), fix="regrade serve --data-dir ./regrade-data")
    free = shutil.disk_usage(folder).free
    detail = f"{folder}, {free / GIB:,.1f} GiB free, {milliseconds:.1f} ms to write safely"
    fix = None if free >= _MIN_FREE_BYTES else f"du -sh {folder}"
    return Finding(name=name, ok=fix is None, detail=detail, fix=fix)


def _databases(found: Settings) -> Finding:
    if found.on_postgres:
        return _postgres(found)
    answers = {path: _check_database(path) for path in sorted(found.data_dir.glob("*.sqlite3"))}
    for path, answer in answers.items():
        if answer not in (_SOUND, _SOUND_SO_FAR):
            fix = f"cp -a {found.data_dir} {found.data_dir}.copy && sqlite3 {path} .recover"
            return Finding(name="Database", ok=False, detail=f"{path}: {answer}", fix=fix)
    told = ", ".join(f"{path.name} {answer}" for path, answer in answers.items())
    return Finding(name="Database", ok=True, detail=told or "none yet; the server makes it")


def _postgres(found: Settings) -> Finding:
    from regrade import outside

    try:
        return Finding(name="Database", ok=True, detail=f"PostgreSQL {outside.look_at_database(found)}")
    except RegradeError as error:
        fix = "see docs/postgresql.md for what the database and its role need"
        return Finding(name="Database", ok=False, detail=error.message, fix=fix)


def _check_database(path: Path) -> str:
    deadline = time.monotonic() + _DATABASE_CHECK_S

    def out_of_time() -> bool:
        return time.monotonic() > deadline

    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            connection.set_progress_handler(out_of_time, 100_000)
            return str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.DatabaseError as error:
        return _SOUND_SO_FAR if out_of_time() else str(error)


def _python_graders(found: Settings) -> Finding:
    name = "Python graders"
    from regrade import outside

    with closing(outside.open_sandbox(found)) as sandbox:
        packages = {
            "installed": "with the packages of regrade graders install",
            "light": "with a light set of packages (regrade graders install has more)",
        }[sandbox.environment]
        match sandbox.level:
            case "refuse":
                return Finding(name=name, ok=False, detail=f"refused: {sandbox.reason}", fix="less docs/sandbox.md")
            case "unsafe":
                detail = "NOT CONFINED, as --unsafe-python-graders asks"
                return Finding(name=name, ok=False, detail=detail, fix="regrade serve")
            case level:
                better = f"; not better because {sandbox.reason}" if sandbox.reason else ""
                return Finding(name=name, ok=True, detail=f"confined at the level {level}, {packages}{better}")


def _server(found: Settings) -> Finding:
    name = "Server"
    running = server_lock.find(found.data_dir)
    if running is None:
        return _port(found)
    import http.client
    from urllib.parse import urlsplit

    where = f"{running.url}, process {running.pid}, version {running.version}"
    connection = http.client.HTTPConnection(urlsplit(running.url).netloc, timeout=5)
    try:
        connection.request("GET", "/health")
        status = connection.getresponse().status
    except OSError as error:
        return Finding(name=name, ok=False, detail=f"{where} does not answer: {error}", fix=f"kill {running.pid}")
    finally:
        connection.close()
    ok = status == _HTTP_OK
    return Finding(name=name, ok=ok, detail=f"{where}, health {status}", fix=None if ok else f"kill {running.pid}")


def _port(found: Settings) -> Finding:
    from regrade.cli.demo import is_free

    if is_free(found.host, found.port):
        return Finding(name="Server", ok=True, detail=f"not running; {found.host}:{found.port} is free")
    detail = f"not running, and {found.host}:{found.port} is taken by another program"
    return Finding(name="Server", ok=False, detail=detail, fix=f"regrade serve --port {found.port + 1}")


_CHECKS: tuple[Callable[[Settings], Finding], ...] = (_data_directory, _databases, _python_graders, _server)
