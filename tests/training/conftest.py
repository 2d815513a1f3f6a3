"""Tiny models that jobs are made for."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """A random model of 2 layers."""
    from regrade.training.tiny import create_tiny
    from training.jobs import WORDS

    folder = tmp_path_factory.mktemp("models") / "tiny"
    create_tiny(folder, texts=WORDS, layers=2, width=64, seed=1)
    return folder


@pytest.fixture(scope="session")
def halfway(tiny, tmp_path_factory) -> Path:
    """A model that answers every question with yes or no, as a coin falls."""
    from training.jobs import asked, make, run

    rows = [asked(n, "yes" if n // 2 % 2 else "no") for n in range(40)]
    folder = make(tmp_path_factory.mktemp("halfway"), tiny, rows, n_epochs=15, batch_size=20, learning_rate=5e-3)
    assert run(folder) == 0
    return folder.model
