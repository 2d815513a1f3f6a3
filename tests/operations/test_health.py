"""/health and /ready, as those who start and stop servers ask them."""

import threading
import time

import httpx2

from databases import postgres_server
from regrade.services.readiness import Readiness
from regrade.system import SystemClock
from servers import serving
from worlds import HandClock


def ready(server):
    answer = httpx2.get(f"{server.url}/ready")
    return answer.status_code, answer.json()["parts"]


def test_a_server_that_can_work_says_so_of_each_part(watched):
    assert httpx2.get(f"{watched.url}/health").json()["status"] == "ok"
    assert ready(watched) == (200, {"database": "ok", "blobs": "ok", "workers": "ok"})


def test_a_server_whose_files_are_gone_is_alive_and_not_ready(tmp_path):
    with serving(tmp_path / "data", "--workers", "0") as server:
        assert ready(server) == (200, {"database": "ok", "blobs": "ok", "workers": "ok"})
        (tmp_path / "data" / "blobs").rename(tmp_path / "elsewhere")
        until = threading.Event()
        while (found := ready(server))[0] == 200:
            assert not until.wait(0.1)
        assert found == (
            503,
            {"database": "ok", "blobs": "The blobs did not answer. The server's log says more.", "workers": "ok"},
        )
        assert httpx2.get(f"{server.url}/health").status_code == 200
        (tmp_path / "elsewhere").rename(tmp_path / "data" / "blobs")
        while ready(server)[0] != 200:
            assert not until.wait(0.1)


def test_a_server_whose_database_is_away_is_alive_under_any_name_and_not_ready(tmp_path):
    """Who is restarted for an outage of another service is away twice."""
    (tmp_path / "key").write_text("sk-the-operators-own-key")
    probe = {"host": "10.1.2.3:8000"}  # as Kubernetes asks, by the pod's address
    with postgres_server(durable=True) as postgres:
        flags = ["--database-url", postgres.new(), "--workers", "0", "--admin-key-file", str(tmp_path / "key")]
        with serving(tmp_path / "data", *flags) as server:
            assert httpx2.get(f"{server.url}/ready", headers=probe).status_code == 200
            postgres.stop()
            time.sleep(2.1)  # after that nothing that was known of the keys is taken for granted
            assert httpx2.get(f"{server.url}/health", headers=probe).status_code == 200
            answer = httpx2.get(f"{server.url}/ready", headers=probe)
            assert answer.status_code == 503
            assert answer.json()["parts"]["database"] != "ok"
            postgres.start()
            while httpx2.get(f"{server.url}/ready", headers=probe).status_code != 200:
                time.sleep(0.1)


def test_what_is_wrong_stays_in_the_log(caplog):
    def fail():
        raise OSError("cannot connect with password hunter2")

    found = Readiness({"database": fail, "workers": lambda: None}, SystemClock()).look()
    assert not found.ready
    assert found.parts == {
        "database": "The database did not answer. The server's log says more.",
        "workers": "ok",
    }
    assert "hunter2" in caplog.text


def test_who_asks_often_is_told_what_was_found_a_moment_ago():
    looked = []
    clock = HandClock()
    readiness = Readiness({"part": lambda: looked.append(1)}, clock)
    for _ in range(100):
        assert readiness.look().ready
    assert len(looked) == 1
    clock.time += 2
    readiness.look()
    assert len(looked) == 2


def test_nobody_waits_while_another_looks():
    asked, answer = threading.Event(), threading.Event()
    clock = HandClock()
    slow = iter([False, True])

    def check():
        if next(slow):
            asked.set()
            answer.wait(60)

    readiness = Readiness({"part": check}, clock)
    readiness.look()
    clock.time += 2
    looking = threading.Thread(target=readiness.look)
    looking.start()
    assert asked.wait(60)
    assert readiness.look().ready
    answer.set()
    looking.join()
