"""`python -m regrade.training JOBDIR`: the trainer of one job, alone or as one of several processes of torchrun."""

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from regrade.core.training_job import EXIT_DONE, Failed
from regrade.training.job import JobFolder

_ARGUMENTS = 2
_EXIT_FAILED = 1
_LOOK_SECONDS = 0.2

# Before torch is imported. Threads that spin while they wait take the processor from other processes of the
# machine, the server's among them: on a busy one a step took ten times as long.
_ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRL_EXPERIMENTAL_SILENCE": "1",
}


def main() -> int:
    """Train, and end with the exit code that the server waits for."""
    if len(sys.argv) != _ARGUMENTS:
        sys.stderr.write("usage: python -m regrade.training JOBDIR\n")
        return 2
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)  # noqa: TID251 - for libraries of this process
    folder = JobFolder(Path(sys.argv[1]))
    folder.enter()
    if "RANK" in os.environ:  # noqa: TID251 - as torchrun, accelerate and srun's users say it
        threading.Thread(target=_end_with_launcher, args=(os.getppid(),), daemon=True).start()
    if Path(folder.spec().base_path).is_dir():
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # noqa: TID251 - everything is here; nothing is to be asked for
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    signal.signal(signal.SIGINT, lambda *_: asked.set())
    return _train(folder, lambda: asked.is_set() or folder.pause_is_asked())


def _end_with_launcher(launcher: int) -> None:
    """A launcher that is killed takes none of its processes along, and they would train on."""
    while os.getppid() == launcher:
        time.sleep(_LOOK_SECONDS)
    os._exit(_EXIT_FAILED)


def _train(folder: JobFolder, asked_to_pause: Callable[[], bool]) -> int:
    import torch
    from accelerate import PartialState
    from transformers.utils.logging import disable_progress_bar

    from regrade.system import SystemClock
    from regrade.training.failures import explained
    from regrade.training.reporting import Teller
    from regrade.training.run import train

    disable_progress_bar()
    # Without being told, it takes no notice of other processes where there is no GPU.
    state = PartialState(cpu=not torch.cuda.is_available())
    teller = Teller(folder, SystemClock(), tells=state.is_main_process)
    try:
        code = train(folder, teller, asked_to_pause)
    except Exception as error:  # noqa: BLE001 - whatever it was, the job's error says it
        traceback.print_exc()
        failure = explained(error)
        # The process that fails may not be the one that tells; the others only end because it did.
        Teller(folder, SystemClock(), tells=True).tell(Failed, code=failure.code, message=failure.message)
        return _EXIT_FAILED
    # torchrun takes any other code for a failure and ends the other processes; the events say that it paused.
    return EXIT_DONE if state.num_processes > 1 else code


if __name__ == "__main__":
    sys.exit(main())
