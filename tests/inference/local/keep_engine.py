"""A process that hosts an engine until it is killed."""

import sys
from pathlib import Path

from regrade.inference.local.host import EngineHost, Options
from regrade.settings import engine_environment

EngineHost(
    Path(sys.argv[1]), Options(memory=1 << 29, idle_s=600.0, threads=1, log_level="info"), engine_environment()
).start()
sys.stdin.read()
