from pathlib import Path

import pytest

from regrade.core.errors import ConfigurationError
from regrade.core.local_models import BaseModel, Weights, read_base_models

FOLDER = Path("/etc/regrade")


def read(*entries):
    return read_base_models({"base_models": list(entries)}, folder=FOLDER)


def test_paths_are_relative_to_the_file_and_names_of_the_hub_stay():
    found = read(
        {"name": "tiny", "path": "models/tiny"},
        {"name": "q", "hub": "Qwen/Qwen3-0.6B"},
        {"name": "a", "path": "/m"},
    )
    assert found == (
        BaseModel(name="tiny", weights=Weights(path="/etc/regrade/models/tiny")),
        BaseModel(name="q", weights=Weights(path="Qwen/Qwen3-0.6B")),
        BaseModel(name="a", weights=Weights(path="/m")),
    )


@pytest.mark.parametrize(
    ("entries", "param"),
    [
        ([{"path": "x"}], "base_models[0].name"),
        ([{"name": "a", "path": "x"}, {"name": "a", "path": "y"}], "base_models[1].name"),
        ([{"name": "ft:a", "path": "x"}], "base_models[0].name"),
        ([{"name": "a"}], "base_models[0].path"),
        ([{"name": "a", "path": "x", "hub": "y"}], "base_models[0].path"),
        ([{"name": "a", "pth": "x"}], "base_models[0].pth"),
        ([{"name": "", "path": "x"}], "base_models[0].name"),
        ([{"name": "a", "path": 1}], "base_models[0].path"),
        (["tiny"], "base_models"),
    ],
)
def test_what_is_not_right_is_named(entries, param):
    with pytest.raises(ConfigurationError) as caught:
        read(*entries)
    assert caught.value.param == param
