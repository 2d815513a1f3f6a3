"""kill -9 while a model is asked: no row is lost or counted twice, and only what was in flight is asked again."""

import time

from evals import inline_source, wait
from servers import Server
from upstream import upstream

ROWS, KILLS, IN_FLIGHT = 400, 3, 16
CONFIG = {"type": "custom", "item_schema": {"type": "object"}, "include_sample_schema": True}
SAYS = {
    "type": "string_check",
    "name": "says",
    "operation": "eq",
    "input": "{{sample.output_text}}",
    "reference": "{{item.text}}",
}
ASK = {"type": "template", "template": [{"role": "user", "content": "{{item.text}}"}]}
ENDPOINT = '[[endpoints]]\nname = "up"\nbase_url = "{url}"\nmodels = ["*"]\nmax_concurrency = {in_flight}\n'


def test_a_server_killed_while_it_asks_repeats_only_what_was_in_flight(tmp_path):
    with upstream() as up:
        (tmp_path / "regrade.toml").write_text(ENDPOINT.format(url=up.url, in_flight=IN_FLIGHT))
        server = Server(tmp_path / "data")
        try:
            with server.client() as client:
                eval_ = client.evals.create(data_source_config=CONFIG, testing_criteria=[SAYS])
                source = inline_source([{"item": {"text": f"row {n}"}} for n in range(ROWS)])["source"]
                asked = {"type": "completions", "model": "echo@slow=0.1", "input_messages": ASK, "source": source}
                run = client.evals.runs.create(eval_.id, data_source=asked)
            for _ in range(KILLS):
                before = up.state()["requests"]
                while up.state()["requests"] < before + 40:
                    time.sleep(0.02)
                server.kill()
                server = Server(tmp_path / "data")
            with server.client() as client:
                run = wait(client, client.evals.runs.retrieve(run.id, eval_id=eval_.id), 90)
                items = list(client.evals.runs.output_items.list(run.id, eval_id=eval_.id, limit=100))
        finally:
            server.stop()
        assert run.result_counts.to_dict() == {"total": ROWS, "passed": ROWS, "failed": 0, "errored": 0}
        assert [item.datasource_item_id for item in items] == list(range(ROWS))
        assert run.per_model_usage[0].invocation_count == ROWS
        # Answers of the last twentieth of a second may not have been committed when the kill came.
        assert ROWS < up.state()["requests"] <= ROWS + KILLS * 2 * IN_FLIGHT
