"""A server without the extra says what to install."""

from importlib.util import find_spec

import openai
import pytest

from servers import serving
from tuning.bench import base_model, chat_rows, upload

pytestmark = pytest.mark.skipif(find_spec("trl") is not None, reason="the extra is installed here")


def test_creating_a_job_without_the_extra_names_it(tmp_path):
    config = tmp_path / "regrade.toml"
    config.write_text(f'[[base_models]]\nname = "base"\npath = "{base_model(tmp_path / "base")}"\n')
    with serving(tmp_path / "data", "--config", str(config)) as server, server.client(max_retries=0) as client:
        training_file = upload(client, chat_rows(10))
        with pytest.raises(openai.BadRequestError, match=r"pip install 'regrade\[train\]'"):
            client.fine_tuning.jobs.create(model="base", training_file=training_file)
