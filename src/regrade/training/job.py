"""The job directory: all that passes between the server and the trainer of a job.

    spec.json            the job (core/training_job.Spec)
    train.jsonl          rows in the normal form of core/training_data
    valid.jsonl          the same, where there is a validation file
    events.jsonl         what the trainer tells, append-only, one core/training_job.Event a line
    processes.lock       locked by every process that trains, for as long as it lives
    PAUSE                a file by which the server asks as SIGTERM does, where signals do not reach
    rewards.json         what the server tells: validation rewards by step, which say the best checkpoints
    validation/step-N.jsonl   samples of a validation of a reinforcement job, for the server to grade
    checkpoints/step-N/  with a file COMPLETE, written last
    model/               the tuned model, there as a whole or not at all
    log                  what the trainer printed, where the launcher sends it there

Files appear as a whole (written beside, synced, renamed), but for events.jsonl, where a line counts once it has its
newline. The trainer may be ended at any moment and started again in the same directory: it goes on from the newest
complete checkpoint. SIGTERM asks it to save at the end of the step and to leave: the last event says `paused`, and
the exit code is 75 where one process trains (launchers of several have codes of their own).
"""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from regrade.core.jsontext import dumps, loads
from regrade.core.training_job import Event, Spec, event
from regrade.types.json import JsonObject

COMPLETE = "COMPLETE"
RECOVERY = "RECOVERY"
"""Lies in a checkpoint that only makes up for a crash."""
_STEP = re.compile(r"step-(\d+)")
_READ_AT_ONCE = 1 << 24


class Told(NamedTuple):
    """Events that were read, and the offset to read on from."""

    events: list[Event]
    offset: int


class JobFolder:
    """One job directory, as both sides use it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.train_file = path / "train.jsonl"
        self.valid_file = path / "valid.jsonl"
        self.events_file = path / "events.jsonl"
        self.log_file = path / "log"
        self.checkpoints = path / "checkpoints"
        self.model = path / "model"
        self._processes = path / "processes.lock"

    # -- the job ---------------------------------------------------------------------------------------------

    def write_spec(self, spec: Spec) -> None:
        """Tell the trainer what to do; the token in it makes the file private."""
        self.path.mkdir(parents=True, exist_ok=True)
        _replace(self.path / "spec.json", dumps(spec.to_json()), mode=0o600)

    def spec(self) -> Spec:
        """What to do."""
        return Spec.from_json(loads((self.path / "spec.json").read_bytes()))

    # -- what the trainer tells ------------------------------------------------------------------------------

    def append(self, events: Iterable[Event]) -> None:
        """Tell the server. Only one process of a job may do this."""
        lines = b"".join(dumps(each.to_json()) + b"\n" for each in events)
        descriptor = os.open(self.events_file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            if _torn(descriptor):  # of a trainer that was killed while it wrote
                lines = b"\n" + lines
            os.write(descriptor, lines)
        finally:
            os.close(descriptor)

    def told(self, offset: int = 0) -> Told:
        """Whole lines from `offset` on, up to some megabytes, and where to go on; torn lines are passed over."""
        try:
            with self.events_file.open("rb") as stream:
                stream.seek(offset)
                text = stream.read(_READ_AT_ONCE)
        except FileNotFoundError:
            return Told([], offset)
        whole = text[: text.rfind(b"\n") + 1]
        found = (_event(line) for line in whole.splitlines())
        return Told([each for each in found if each is not None], offset + len(whole))

    def samples_file(self, step: int) -> str:
        """The name, in this directory, of the rows that a validation of a reinforcement job sampled."""
        return f"validation/step-{step}.jsonl"

    def write_samples(self, step: int, rows: Iterable[JsonObject]) -> str:
        """Give a validation's samples to the server to grade; the file's name in this directory."""
        name = self.samples_file(step)
        (self.path / name).parent.mkdir(exist_ok=True)
        _replace(self.path / name, b"".join(dumps(row) + b"\n" for row in rows))
        return name

    # -- who trains ------------------------------------------------------------------------------------------

    def enter(self) -> None:
        """Let everybody know that this process trains the job, until it ends, however it ends."""
        # Never closed. Launchers of several processes let none of them inherit a lock of theirs.
        fcntl.flock(os.open(self._processes, os.O_RDWR | os.O_CREAT, 0o600), fcntl.LOCK_SH)

    @property
    def entered(self) -> bool:
        """Whether a process that trains the job lives, on this machine or on another one that shares the folder."""
        with suppress(FileNotFoundError):
            lock = os.open(self._processes, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            finally:
                os.close(lock)
        return False

    # -- what the server tells -------------------------------------------------------------------------------

    def ask_pause(self) -> None:
        """Ask the trainer to save and leave."""
        (self.path / "PAUSE").touch()

    def withdraw_pause(self) -> None:
        """Forget that a pause was asked for; to be called before the trainer is started again."""
        (self.path / "PAUSE").unlink(missing_ok=True)

    def pause_is_asked(self) -> bool:
        """Whether the trainer is to save and leave."""
        return (self.path / "PAUSE").exists()

    def write_rewards(self, rewards: Mapping[int, float]) -> None:
        """Tell the trainer the validation rewards by step that are known by now."""
        _replace(self.path / "rewards.json", dumps({str(step): reward for step, reward in rewards.items()}))

    def rewards(self) -> dict[int, float]:
        """The validation rewards by step that the server knows by now."""
        try:
            document = loads((self.path / "rewards.json").read_bytes())
        except FileNotFoundError:
            return {}
        return {int(step): float(reward) for step, reward in document.items()}

    # -- checkpoints -----------------------------------------------------------------------------------------

    def checkpoint(self, step: int) -> Path:
        """Where the checkpoint of a step is, or would be."""
        return self.checkpoints / f"step-{step}"

    def complete_checkpoints(self) -> list[int]:
        """Steps whose checkpoints are complete, the oldest first."""
        try:
            found = [
                _STEP.fullmatch(each.name) for each in self.checkpoints.iterdir() if (each / COMPLETE).is_file()
            ]
        except FileNotFoundError:
            return []
        return sorted(int(match[1]) for match in found if match)

    def mark_complete(self, step: int) -> None:
        """Make what lies in a checkpoint's folder durable, then say that it is whole."""
        folder = self.checkpoint(step)
        sync_tree(folder)
        _replace(folder / COMPLETE, b"")

    def remove_checkpoint(self, step: int) -> None:
        """Forget a checkpoint; what is left of it after a crash is not complete."""
        folder = self.checkpoint(step)
        (folder / COMPLETE).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def remove_torn(self) -> None:
        """Remove checkpoints that were never completed."""
        complete = set(self.complete_checkpoints())
        for folder in self.checkpoints.glob("step-*"):
            match = _STEP.fullmatch(folder.name)
            if match and int(match[1]) not in complete:
                shutil.rmtree(folder, ignore_errors=True)

    # -- the model -------------------------------------------------------------------------------------------

    def publish_model(self, folder: Path) -> None:
        """Make a finished folder the tuned model, as a whole."""
        sync_tree(folder)
        shutil.rmtree(self.model, ignore_errors=True)
        folder.rename(self.model)
        _sync(self.path)


def sync_tree(folder: Path) -> None:
    """Make all files of a folder durable."""
    for place, _, names in os.walk(folder):
        for name in names:
            _sync(Path(place) / name)
        _sync(Path(place))


def _replace(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _torn(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def _event(line: bytes) -> Event | None:
    try:
        document = json.loads(line)
        return event(document) if isinstance(document, dict) else None
    except (ValueError, TypeError):  # torn by a kill, then closed by the next trainer's newline
        return None
