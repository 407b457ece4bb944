"""A real server that speaks S3, and a wire to it that can be made to fail, both on loopback.

Not here: what is stored there and what has to hold (``integration/test_lake_s3``).
"""

from __future__ import annotations

import http.client
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import boto3
from botocore.config import Config

KEY, SECRET, TOKEN, REGION = "AKIAOFNOBODY", "secret-of-nobody", "token-of-nobody", "eu-central-1"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}
#: What happens to a request: an answer of the wire's own (an error, which may also come as success: ``200``), a
#: connection closed before the server hears of it (``close``), after it did (``lose``) or in the middle of its answer
#: (``cut``), silence (``stall``), the claim that a copy was made (``lie``), or a refusal that quotes the credentials
#: (``quote``).
FAULTS = ("500", "503", "200", "close", "lose", "cut", "stall", "lie", "quote")
_ERROR = "<Error><Code>{}</Code><Message>of the wire</Message></Error>"
_ANSWERS = {
    "500": (500, _ERROR.format("InternalError").encode()),
    "503": (503, _ERROR.format("SlowDown").encode()),
    "200": (200, _ERROR.format("InternalError").encode()),
    "lie": (200, b"<CopyObjectResult><ETag>none</ETag></CopyObjectResult>"),
    "quote": (
        403,
        f"<Error><Code>InvalidAccessKeyId</Code><Message>{KEY} with {SECRET} and {TOKEN}</Message></Error>".encode(),
    ),
}
_LISTENING = re.compile(r"Running on http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class Request:
    """What came over the wire: method, path (quoted once, as a key is written), query and length of the body."""

    method: str
    path: str
    query: str
    size: int

    @property
    def is_part(self) -> bool:
        """Whether it is a part of a multipart upload."""
        return self.method == "PUT" and "partNumber=" in self.query


def nothing(request: Request) -> str | None:
    """Let every request pass."""
    return None


@dataclass
class Wire:
    """A proxy before an S3 server.

    Attributes:
        endpoint: its own URL.
        requests: all that were made, in order, failed ones too.
        fault: says which of ``FAULTS`` befalls a request; None for none.
        watch: called before and after each request that changes something.
    """

    port: int
    endpoint: str = ""
    requests: list[Request] = field(default_factory=list)
    fault: Callable[[Request], str | None] = nothing
    watch: Callable[[], object] = lambda: None
    closed: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serve_s3() -> Iterator[int]:
    """Run an S3 server in a process of its own; yield its port."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    reader = threading.Thread(target=process.stdout.read, daemon=True)
    try:
        port = next((int(found[1]) for line in process.stdout if (found := _LISTENING.search(line))), None)
        assert port is not None, "the S3 server did not start"
        reader.start()  # or it would wait for one some day
        yield port
    finally:
        process.kill()
        process.wait()
        if reader.is_alive():
            reader.join()
        process.stdout.close()


@contextmanager
def wire_to(port: int) -> Iterator[Wire]:
    """Run a proxy before the server that listens on ``port``."""
    wire = Wire(port)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(wire))
    server.daemon_threads = True
    server.block_on_close = False
    wire.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield wire
    finally:
        wire.closed.set()
        server.shutdown()
        server.server_close()
        thread.join()


def client_of(port: int, service: str = "s3", **credentials: str) -> Any:  # noqa: ANN401 - boto3 makes its classes up
    """Return a client of the server itself, past the wire."""
    given = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET} | credentials
    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    endpoint = f"http://127.0.0.1:{port}"
    return boto3.session.Session().client(service, endpoint_url=endpoint, region_name=REGION, config=config, **given)


def make_bucket(client: Any, name: str) -> None:  # noqa: ANN401
    """Make an empty bucket."""
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})


def keys(client: Any, bucket: str, prefix: str = "") -> list[str]:  # noqa: ANN401
    """Return the key of every object that begins with ``prefix``, but for the empty ones that stand for folders."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [o["Key"] for page in pages for o in page.get("Contents", []) if not o["Key"].endswith("/")]


def uploads(client: Any, bucket: str) -> list[str]:  # noqa: ANN401
    """Return the key of every multipart upload that was begun and neither completed nor aborted."""
    return [upload["Key"] for upload in client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])]


def _handler_of(wire: Wire) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except OSError:  # the client was killed or gave up
                self.close_connection = True

        def forward(self) -> None:
            body = self._body()
            path, _, query = self.path.partition("?")
            request = Request(self.command, unquote(path), query, len(body))
            wire.requests.append(request)
            fault = wire.fault(request)
            if fault in {"close", "stall"}:
                if fault == "stall":
                    wire.closed.wait()
                self.close_connection = True
                return
            if fault in _ANSWERS:
                status, content = _ANSWERS[fault]
                self._answer(status, {"Content-Type": "application/xml"}, content, len(content))
                return
            changes = self.command not in {"GET", "HEAD"}
            if changes:
                wire.watch()
            status, headers, content = self._ask(body)
            if changes:
                wire.watch()
            if fault == "lose":
                self.close_connection = True
                return
            size = int(headers.pop("content-length", len(content)))
            self._answer(status, headers, content[: len(content) // 2] if fault == "cut" else content, size)
            if fault == "cut":
                self.close_connection = True

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = forward  # noqa: N815

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
            dropped = {"transfer-encoding", "content-length", "connection", "expect"}
            headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
            connection = http.client.HTTPConnection("127.0.0.1", wire.port, timeout=60)
            try:
                connection.request(self.command, self.path, body or None, headers | {"Content-Length": str(len(body))})
                answer = connection.getresponse()
                content = answer.read()
            finally:
                connection.close()
            dropped -= {"content-length"}
            found = {name.lower(): value for name, value in answer.getheaders() if name.lower() not in dropped}
            return answer.status, found, content

        def _answer(self, status: int, headers: dict[str, str], content: bytes, size: int) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)
                self.wfile.flush()

    return Handler
