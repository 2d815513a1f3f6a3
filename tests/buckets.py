"""A real server of the S3 protocol for tests, behind a wire that a test can slow down or cut."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import boto3

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
BUCKET = "bucket"
_SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


class Wire:
    """A TCP proxy: waits before each answer, or ends connections once so many bytes were sent."""

    def __init__(self, port: int) -> None:
        self.latency_s = 0.0
        self.cut_after: int | None = None
        """Bytes that go through towards the server before everything is cut, until this is None again."""
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._port))
            asked = threading.Event()
            threading.Thread(target=self._pass_on, args=(client, server, asked, True), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(server, client, asked, False), daemon=True).start()

    def _pass_on(self, source, target, asked, up):
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if up and self.cut_after is not None:
                    self.cut_after = max(0, self.cut_after - len(data))
                    if self.cut_after == 0:
                        break
                if up:
                    asked.set()
                elif asked.is_set():
                    asked.clear()
                    time.sleep(self.latency_s)
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def close(self):
        self._listener.close()


class Bucket:
    """A bucket, and how Regrade is to reach it."""

    def __init__(self, port: int) -> None:
        self.wire = Wire(port)
        self.variables = {**KEYS, "AWS_ENDPOINT_URL": self.wire.url}
        self.url = f"s3://{BUCKET}/some/prefix"
        self.s3 = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{port}",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )
        self.s3.create_bucket(Bucket=BUCKET)

    def objects(self) -> list[str]:
        found = self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return [each["Key"].removeprefix("some/prefix/") for each in found]

    def empty(self) -> None:
        for key in self.objects():
            self.s3.delete_object(Bucket=BUCKET, Key=f"some/prefix/{key}")

    def unfinished_uploads(self) -> list:
        return self.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])


@contextmanager
def bucket_server() -> Iterator[Bucket]:
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    bucket = Bucket(int(process.stdout.readline()))
    try:
        yield bucket
    finally:
        bucket.wire.close()
        bucket.s3.close()
        process.stdin.close()
        process.stdout.close()
        process.wait(10)
