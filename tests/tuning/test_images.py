"""Images that rows name by their addresses: fetched when files are read, or refused with line and field."""

import base64
import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from tuning.bench import create, messages, tuning_server, upload, wait, wait_for_step

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"
FILES = {"/a.png": PNG, "/b.webp": b"RIFF....WEBP", "/page": b"<html>", "/large.png": PNG + bytes(10 << 20)}


class _Images(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("location", self.path.removeprefix("/to"))
            self.end_headers()
            return
        body = FILES.get(self.path)
        self.send_response(200 if body else 404)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def images():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Images) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def seeing(folder, *flags):
    with tuning_server(folder, {"slow": {"sees": True, "step_s": 0.3}}, *flags) as server:
        yield server, server.client(max_retries=0)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with seeing(tmp_path_factory.mktemp("seeing"), "--webhook-private-networks", "127.0.0.0/8") as found:
        yield found


def look(*urls: str) -> dict:
    parts = [{"type": "text", "text": "What?"}, *({"type": "image_url", "image_url": {"url": url}} for url in urls)]
    return {"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": "A dot."}]}


def test_images_at_addresses_are_in_the_rows_that_are_trained(server, images):
    running, client = server
    rows = [look(f"{images}/a.png", f"{images}/to/b.webp"), *[look(f"{images}/a.png")] * 30, look()]
    job = create(client, rows, model="slow", validation_file=upload(client, [look(f"{images}/a.png")]))
    wait_for_step(client, job, 1)
    folder = running.data_dir / "fine_tuning" / job.id
    learned = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    first = [part["image_url"]["url"] for part in learned[0]["messages"][0]["content"][1:]]
    png = "data:image/png;base64," + base64.b64encode(PNG).decode()
    assert first == [png, "data:image/webp;base64," + base64.b64encode(FILES["/b.webp"]).decode()]
    assert [row["messages"][0]["content"][1]["image_url"]["url"] for row in learned[1:31]] == [png] * 30
    assert learned[31]["messages"][0]["content"] == "What?"
    assert png in (folder / "valid.jsonl").read_text()
    client.fine_tuning.jobs.cancel(job.id)


def test_images_that_cannot_be_had_are_refused_with_line_and_field(server, images):
    _, client = server
    names = ("/none.png", "/page", "/large.png", "/to/to/to/to/a.png")
    rows = [look(f"{images}/a.png"), *(look(f"{images}/a.png", images + name) for name in names)]
    rows += [look("http://nowhere.invalid/a.png")] * 8
    job = wait(client, create(client, rows, model="slow"), until=("failed",))
    assert (job.error.code, job.error.param) == ("invalid_training_file", "training_file")
    at = "messages[0].content[2].image_url.url"
    assert [said for said in messages(client, job) if at in said][:4] == [
        f"Line 2, {at}: the image cannot be fetched. It answered with the status 404.",
        f"Line 3, {at}: it is no JPEG, PNG or WEBP image.",
        f"Line 4, {at}: the image cannot be fetched. It is larger than 10 MiB.",
        f"Line 5, {at}: the image cannot be fetched. It leads on to other URLs more than 3 times.",
    ]
    assert any("The name of its host cannot be resolved." in said for said in messages(client, job))


def test_a_host_that_gives_nothing_is_not_asked_for_every_row(server, images):
    _, client = server
    job = wait(client, create(client, [look(f"{images}/none.png")] * 60, model="slow"), until=("failed",))
    assert "59 more rows are wrong" in job.error.message
    assert any("10 others could not be had" in said for said in messages(client, job))


def test_what_only_this_machine_reaches_is_not_fetched(tmp_path, images):
    with seeing(tmp_path) as (_, client):
        port = images.rpartition(":")[2]
        rows = [look(f"{images}/a.png"), look(f"http://localhost:{port}/a.png"), *[look()] * 9]
        job = wait(client, create(client, rows, model="slow"), until=("failed",))
    assert "127.0.0.1 is not a public address" in job.error.message
    assert "1 more rows are wrong" in job.error.message
