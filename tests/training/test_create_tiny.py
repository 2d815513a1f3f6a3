"""`regrade models create-tiny`."""

import subprocess
import sys
import tomllib

from training.jobs import log, make, metrics, run, supervised


def create(place, *flags):
    command = [sys.executable, "-m", "regrade", "models", "create-tiny", *flags, "--data-dir", "data"]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=110)


def test_a_tiny_model_is_named_in_the_configuration_and_can_be_trained(tmp_path):
    (tmp_path / "regrade.toml").write_text("port = 8010  # ours\n")
    made = create(tmp_path, "tiny", "--layers", "1", "--width", "32", "--seed", "3")
    assert made.returncode == 0, made.stderr
    text = (tmp_path / "regrade.toml").read_text()
    (entry,) = tomllib.loads(text)["base_models"]
    assert entry == {"name": "tiny", "path": str(tmp_path / "data/models/tiny")}
    assert text.startswith("port = 8010  # ours\n")
    folder = make(tmp_path, tmp_path / "data/models/tiny", [supervised(n) for n in range(16)], n_epochs=1)
    assert run(folder) == 0, log(folder)
    assert sorted(metrics(folder)) == [1]
    again = create(tmp_path, "tiny")
    assert again.returncode == 2
    assert "names must differ" in again.stderr


def test_the_same_seed_makes_the_same_model(tmp_path):
    from regrade.training.tiny import create_tiny

    for name in ("one", "two"):
        create_tiny(tmp_path / name, texts=["a few words"], layers=1, width=32, seed=5)
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two
