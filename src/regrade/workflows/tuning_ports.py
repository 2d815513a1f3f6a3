"""What the workflows of fine-tuning need of the outside."""

from dataclasses import dataclass

from regrade.ports.blobs import Blobs
from regrade.ports.engine import Engine
from regrade.ports.fine_tuning import FineTunedModelStore, FineTuningStore, Trainers
from regrade.ports.models import ModelPort
from regrade.ports.outbound import Outbound
from regrade.ports.store import RunStore
from regrade.ports.system import Clock, Ids


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningPorts:
    """Handed in by the worker."""

    jobs: FineTuningStore
    tuned: FineTunedModelStore
    trainers: Trainers
    runs: RunStore
    blobs: Blobs
    images: Outbound
    """Fetches images of rows."""
    engine: Engine
    models: ModelPort
    ids: Ids
    clock: Clock
