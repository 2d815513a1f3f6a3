"""The server's half of training: job folders, and the processes that train in them. No torch.

What is started here inherits a lock on its job's folder, and every process that trains takes another one. So
whether a trainer runs is known for certain, by whoever asks and however the one that started it ended.
"""

import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from regrade.core.entities import FineTunedModel
from regrade.core.errors import ConfigurationError
from regrade.core.jsontext import dumps
from regrade.core.local_models import Weights
from regrade.core.training_data import Base
from regrade.core.training_job import Event, Spec
from regrade.core.training_options import TrainingOptions
from regrade.ports.fine_tuning import FineTunedModelStore
from regrade.ports.models import TunedModel
from regrade.training.base_model import describe, folder_of
from regrade.training.job import JobFolder
from regrade.types.json import JsonObject

MISSING_EXTRA = "This server cannot train models yet: its operator installs that with pip install 'regrade[train]'."

_LOCK = "trainer.lock"
_PID = "trainer.pid"
_MARK = "mark"
_ADAPTER = "adapter_config.json"
_LAST_BYTES = 4_000
_OF_TRAINERS = ("optimizer.pt", "scheduler.pt", "rng_state*.pth", "training_args.bin")
_LOCK_ATTEMPTS = 40
_LOCK_PAUSE_S = 0.05
# The shell writes its number and its machine's name, then becomes the trainer. What was installed with us is found.
_NOTE_AND_BECOME = 'echo "$$ $(uname -n)" > "$0" && export PATH="$PATH:$1" && shift && exec "$@"'


class Launcher:
    """ports.Trainers on this machine's processes."""

    def __init__(self, folder: Path, options: TrainingOptions) -> None:
        """`folder` holds one folder a job."""
        self._folder = folder
        self._options = options
        self._children: list[subprocess.Popen[bytes]] = []

    @property
    def missing(self) -> str | None:
        """Why nothing can be trained here; the operator's own command may bring its own interpreter."""
        return None if self._options.launch or find_spec("trl") else MISSING_EXTRA

    @property
    def machine(self) -> str:
        """What this machine is called."""
        return os.uname().nodename

    def mark(self, *, new: str) -> str:
        """What tells the folder of all jobs from those of other machines; `new` if it has no mark yet."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / _MARK
        with suppress(FileExistsError), TemporaryDirectory(dir=self._folder) as draft:
            (Path(draft) / _MARK).write_text(new, encoding="ascii")
            path.hardlink_to(Path(draft) / _MARK)  # appears as a whole, and of two only one
        return path.read_text(encoding="ascii")

    def has_rows(self, job_id: str) -> bool:
        """Whether the job's rows lie here: they are there from the reading of its files to its end."""
        return self._job(job_id).train_file.exists()

    @property
    def command(self) -> str | None:
        """The operator's own command that starts trainers, where there is one."""
        return shlex.join(self._options.launch).replace("'{job}'", "{job}") if self._options.launch else None

    def describe(self, weights: Weights) -> Base:
        """What a base model can learn from. Raises OSError where there is none."""
        return describe(folder_of(weights.path))

    def size(self, weights: Weights) -> int | None:
        """Bytes of a model's weights; None where they are not on this machine."""
        folder = Path(weights.path)
        return sum(file.stat().st_size for file in folder.glob("*.safetensors")) if folder.is_dir() else None

    def weights(self, model: FineTunedModel) -> Weights:
        """Where a model that was trained here lies."""
        folder = str(self._folder / model.folder)
        return Weights(path=folder) if model.adapter_of is None else Weights(path=model.adapter_of, adapter=folder)

    def write_rows(self, job_id: str, rows: Iterator[JsonObject], *, validation: bool) -> None:
        """Lay a file's rows where trainers find them."""
        job = self._job(job_id)
        job.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = job.valid_file if validation else job.train_file
        beside = file.with_name(f".{file.name}.new")
        try:
            with beside.open("wb") as stream:
                stream.writelines(dumps(row) + b"\n" for row in rows)
                stream.flush()
                os.fsync(stream.fileno())
            beside.replace(file)
        finally:
            beside.unlink(missing_ok=True)

    def prepare(self, spec: Spec) -> None:
        """Say what is to be done."""
        self._job(spec.job_id).write_spec(spec)

    def prepared(self, job_id: str) -> Spec:
        """What was last said."""
        return self._job(job_id).spec()

    def start(self, job_id: str, slot: int) -> None:
        """Start a trainer, unless there is one."""
        job = self._job(job_id)
        lock = os.open(job.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not _lock_patiently(lock) or job.entered:
                return
            (job.path / _PID).unlink(missing_ok=True)
            job.withdraw_pause()
            with job.log_file.open("ab") as log:
                self._children.append(
                    subprocess.Popen(  # noqa: S603 - the operator's command, or our own
                        ["/bin/sh", "-c", _NOTE_AND_BECOME, str(job.path / _PID), *self._command(job, slot)],
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        pass_fds=(lock,),
                        start_new_session=True,
                        cwd=job.path,
                    )
                )
        except OSError as error:
            raise ConfigurationError(f"The trainer of {job_id} cannot be started: {error}.") from error
        finally:
            os.close(lock)

    def running(self, job_id: str) -> bool:
        """Whether a trainer lives."""
        self._children = [child for child in self._children if child.poll() is None]  # so that none stays a zombie
        job = self._job(job_id)
        try:
            lock = os.open(job.path / _LOCK, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            return not _lock(lock, fcntl.LOCK_SH) or job.entered
        finally:
            os.close(lock)

    def told(self, job_id: str, offset: int) -> tuple[list[Event], int]:
        """What trainers have told beyond `offset`, and the offset to go on from."""
        events, offset = self._job(job_id).told(offset)
        return events, offset

    def rows(self, job_id: str, name: str) -> bytes:
        """A file of the job's folder that an event names."""
        return (self._job(job_id).path / name).read_bytes()

    def is_adapter(self, folder: str) -> bool:
        """Whether a folder holds an adapter alone."""
        return (self._folder / folder / _ADAPTER).is_file()

    def reward(self, job_id: str, rewards: Mapping[int, float]) -> None:
        """Let trainers know the rewards of validations by step."""
        self._job(job_id).write_rewards(rewards)

    def ask_to_save(self, job_id: str) -> None:
        """Let the trainer save at the end of its step and leave: by a file, which it finds on any machine."""
        self._job(job_id).ask_pause()

    def kill(self, job_id: str) -> None:
        """End the trainer and its children at once."""
        self._signal(job_id, signal.SIGKILL)

    def terminate(self, job_id: str) -> None:
        """Tell the trainer and its children to leave."""
        self._signal(job_id, signal.SIGTERM)

    def _signal(self, job_id: str, number: signal.Signals) -> None:
        """Signals reach the whole session that the trainer was started in; numbers of the dead are not used."""
        if not self.running(job_id):
            return
        with suppress(OSError, ValueError):
            session, machine = (self._job(job_id).path / _PID).read_text(encoding="utf-8").split()
            if machine == self.machine:
                os.killpg(int(session), number)
            else:
                self.ask_to_save(job_id)

    def last_words(self, job_id: str) -> str:
        """The end of what trainers printed."""
        try:
            with self._job(job_id).log_file.open("rb") as log:
                log.seek(-min(_LAST_BYTES, log.seek(0, os.SEEK_END)), os.SEEK_END)
                return log.read().decode("utf-8", "replace").strip()
        except FileNotFoundError:
            return ""

    def remove(self, folder: str) -> None:
        """Delete a folder; harmless where there is none."""
        shutil.rmtree(self._folder / folder, ignore_errors=True)

    def remove_rest(self, job_id: str) -> None:
        """Delete what an ended job needs no more: rows, samples, and what only a trainer reads of checkpoints."""
        job = self._job(job_id)
        for file in (job.train_file, job.valid_file):
            file.unlink(missing_ok=True)
        shutil.rmtree(job.path / "validation", ignore_errors=True)
        for pattern in _OF_TRAINERS:
            for file in job.checkpoints.glob(f"*/{pattern}"):
                file.unlink(missing_ok=True)

    def _job(self, job_id: str) -> JobFolder:
        return JobFolder(self._folder / job_id)

    def _command(self, job: JobFolder, slot: int) -> Sequence[str]:
        # Threads of torch that spin while they wait take the processor from those that work.
        variables = ["OMP_WAIT_POLICY=PASSIVE"]
        if self._options.gpus:
            variables.append(f"CUDA_VISIBLE_DEVICES={self._options.gpus[slot % len(self._options.gpus)]}")
        launch = self._options.launch or (sys.executable, "-m", "regrade.training", "{job}")
        found_here = str(Path(sys.executable).parent)
        return [found_here, "env", *variables, *(word.replace("{job}", str(job.path)) for word in launch)]


class TrainedHere:
    """ports.models.TunedModels: what the store knows, with the folders where it lies."""

    def __init__(self, models: FineTunedModelStore, trainers: Launcher) -> None:
        self._models = models
        self._trainers = trainers

    def version(self) -> int:
        """Another number after every change of `all`."""
        return self._models.version()

    def all(self) -> Sequence[TunedModel]:
        """Every model and checkpoint."""
        return [
            TunedModel(name=model.name, base=model.base, weights=self._trainers.weights(model))
            for model in self._models.all()
        ]


def _lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock_patiently(descriptor: int) -> bool:
    """Whoever looks whether a trainer runs holds the lock for an instant."""
    for _ in range(_LOCK_ATTEMPTS):
        if _lock(descriptor):
            return True
        time.sleep(_LOCK_PAUSE_S)
    return False
