"""kill -9 at any moment: every run ends, every row has exactly one output item, counters equal the rows."""

import os
import random
import time
from contextlib import closing

import psutil
import pytest

from databases import engine_of
from evals import CONFIG, EXACT, file_source, inline_source, row, upload, wait
from regrade.store.database import Database
from servers import Server


def kill_somebody(server: Server, chance: random.Random) -> bool:
    """Kill the server, or only one of its grading processes; whether the server is gone."""
    workers = psutil.Process(server.process.pid).children()
    if workers and chance.random() < 0.5:
        chance.choice(workers).kill()
        return False
    server.kill()
    return True


def crash_until_done(data_dir, url: str, rows: int, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    flags = ("--workers", str(1 + seed % 2), "--database-url", url)

    def count(table: str) -> int:
        """Rows of a table whose primary key is the output item's."""
        with (
            closing(Database(engine_of(url, data_dir / "regrade.sqlite3"))) as database,
            database.read() as connection,
        ):
            return connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()

    server = Server(data_dir, *flags)
    try:
        with server.client() as client:
            eval_ = client.evals.create(name="crash", data_source_config=CONFIG, testing_criteria=[EXACT])
            file = upload(client, (row(index, right=index % 3 != 0) for index in range(rows)))
            runs = [
                client.evals.runs.create(eval_.id, data_source=file_source(file)),
                client.evals.runs.create(eval_.id, data_source=inline_source([row(0, right=True)] * 50)),
            ]
        left = []
        for _ in range(kills):
            time.sleep(chance.uniform(0.0, 0.8))
            gone = kill_somebody(server, chance)
            left.append(rows + 50 - count("output_items"))
            if gone:
                server = Server(data_dir, *flags)
        assert left[0] > 0, "every row was graded before the first kill: the test has shown nothing"
        with server.client() as client:
            big, small = (wait(client, client.evals.runs.retrieve(run.id, eval_id=eval_.id), 120) for run in runs)
        right = sum(index % 3 != 0 for index in range(rows))
        assert (big.status, small.status) == ("completed", "completed")
        assert big.result_counts.to_dict() == {
            "total": rows,
            "passed": right,
            "failed": rows - right,
            "errored": 0,
        }
        assert (small.result_counts.total, small.result_counts.passed) == (50, 50)
        assert big.per_testing_criteria_results[0].passed == right
        with server.client() as client:
            ids = [
                item.datasource_item_id
                for item in client.evals.runs.output_items.list(small.id, eval_id=eval_.id, limit=100)
            ]
        assert ids == list(range(50))
    finally:
        server.stop() if server.process.poll() is None else None
    assert count("output_items") == rows + 50
    assert count("output_item_bodies") == rows + 50


def test_a_server_killed_three_times_loses_and_repeats_nothing(tmp_path, new_database_url):
    crash_until_done(tmp_path / "data", new_database_url(), rows=50_000, kills=4, seed=1)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(int(os.environ.get("REGRADE_LONG") or 1) * 10))
def test_a_server_killed_often_loses_and_repeats_nothing(tmp_path, new_database_url, seed):
    crash_until_done(tmp_path / "data", new_database_url(), rows=100_000, kills=12, seed=seed)
