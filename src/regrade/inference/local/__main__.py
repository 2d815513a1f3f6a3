"""The engine's process: `python -m regrade.inference.local`, started by `host` when somebody asks for a model.

It reads its options as one line of JSON from standard input, and ends when that input is closed: it cannot outlive
the server. It also ends by itself when nobody has asked for long; the next request starts it again.
"""

import asyncio
import logging
import os
import socket
import sys
import threading

import torch
from aiohttp import web
from transformers.utils import logging as transformers_logging

from regrade import logs
from regrade.core.jsontext import loads
from regrade.inference.local.generation import Generation
from regrade.inference.local.host import BACKLOG, Options
from regrade.inference.local.server import Engine
from regrade.inference.local.shelf import Shelf
from regrade.system import SystemClock, SystemIds

_SWEEP_EVERY_S = 1.0
_SHARE_OF_MODELS = 0.75
"""Of the memory; the rest is for the texts under way."""
_KEEP_ALIVE_S = 75.0


def main() -> None:
    """The whole life of an engine; it is given the listening socket as a file descriptor."""
    options = Options(**loads(_first_line()))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logs.configure(options.log_level, options.log_format)
    for name in ("aiohttp", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    # The thread that generates and the one that answers change often, and neither waits long for the other.
    sys.setswitchinterval(0.0005)
    if options.threads:
        torch.set_num_threads(options.threads)
    asyncio.run(_serve(socket.socket(fileno=int(sys.argv[1])), options))


async def _serve(listener: socket.socket, options: Options) -> None:
    for_models = int(options.memory * _SHARE_OF_MODELS)
    for_texts = options.memory - for_models
    generation = Generation(memory=for_texts, failed=lambda: os._exit(1))
    generation.start()
    shelf = Shelf(memory=for_models, for_texts=for_texts)
    clock = SystemClock()
    engine = Engine(shelf, generation, clock=clock, ids=SystemIds(clock))
    runner = web.AppRunner(engine.application(), keepalive_timeout=_KEEP_ALIVE_S, handler_cancellation=True)
    await runner.setup()
    listener.setblocking(False)
    await web.SockSite(runner, listener, backlog=BACKLOG).start()
    loop = asyncio.get_running_loop()
    while loop.time() - shelf.idle_since < options.idle_s:
        await asyncio.sleep(_SWEEP_EVERY_S)
        shelf.sweep(unused_s=options.idle_s)
    os._exit(0)  # the listening socket stays the host's: whoever connects now is answered by the next engine


def _first_line() -> bytes:
    """One line from standard input, read below sys.stdin, whose lock a waiting thread would hold for ever."""
    text = b""
    while not text.endswith(b"\n"):
        text += os.read(0, 1) or b"\n"
    return text


def _end_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
