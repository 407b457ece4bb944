"""The HTTP service, as a real process on loopback: answers, pages, tokens, limits, and how it ends."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chandlery.core.timeframe import Timeframe
from chandlery.instruments.sessions import sync_sessions
from chandlery.tiers.warehouse import Warehouse
from tests.documents import ROOT, blocks
from tests.editions import get_server, url
from tests.support import Bar, open_warehouse, put, register, utc

TOKEN, SLOW = "a-token-of-24-characters", "a-token-that-asks-seldom"
START = utc("2024-06-03T14:30")
COUNT = 10
ARROW, PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"


@dataclass
class Served:
    """A service that runs."""

    process: subprocess.Popen[str]
    address: str
    warehouse: Warehouse

    def get(self, path: str, token: str | None = TOKEN, **headers: str) -> httpx.Response:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        return httpx.get(f"{self.address}{path}", headers=given, timeout=60)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "chandlery", "serve", *arguments]


@contextmanager
def running(environment: dict[str, str], *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        command("--port", "0", *arguments),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("serving on "), line + (process.stderr.read() if process.stderr else "")
        yield process, line.split()[2]
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    home = tmp_path_factory.mktemp("serve")
    with get_server("postgres").new_database() as dsn:
        yield {
            **{name: value for name, value in os.environ.items() if not name.startswith("CHANDLERY_")},
            "CHANDLERY_HOME": str(home),
            "CHANDLERY_DATABASE_URL": url(dsn),
        }


@pytest.fixture(scope="module")
def served(environment: dict[str, str]) -> Iterator[Served]:
    warehouse = open_warehouse(environment["CHANDLERY_DATABASE_URL"], Path(environment["CHANDLERY_HOME"]) / "lake")
    register(warehouse, {"AAA": "XNYS", "BBB": "XNYS", "AAPL": "XNYS"})
    with warehouse.connection() as connection:
        sync_sessions(connection, ["XNYS"])
    moments = [START + timedelta(minutes=n) for n in range(COUNT)]
    put(warehouse, Timeframe.M1, [Bar(symbol, moment) for symbol in ("AAA", "BBB") for moment in moments])
    put(warehouse, Timeframe.D1, [Bar("AAPL", utc(day)) for day in ("2012-09-18", "2012-09-19")])
    tokens = {"CHANDLERY_SERVE_TOKENS": f"reader:{TOKEN}:10000/minute,seldom:{SLOW}:2/hour"}
    with running(environment | tokens, "--max-rows", "8") as (process, address):
        yield Served(process, address, warehouse)
    warehouse.close()


def frame(answer: httpx.Response) -> pd.DataFrame:
    return pa.ipc.open_stream(answer.content).read_all().to_pandas()


def test_bars_come_in_every_form_that_is_accepted(served: Served) -> None:
    path = "/v1/ohlc?symbol=AAA&timeframe=1m&limit=3&columns=close,source"
    answer = served.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == {
        "as_of": None,
        "next": None,
        "rows": [{"ts": f"2024-06-03T14:3{n}:00Z", "close": 11.0, "source": "test:one"} for n in (7, 8, 9)],
    }
    text = served.get(path, Accept="text/csv").text
    assert text.splitlines()[:2] == ['"ts","close","source"', '"2024-06-03T14:37:00Z",11,"test:one"']
    arrow = frame(served.get(path, Accept=ARROW))
    assert str(arrow["ts"].dtype) == "datetime64[us, UTC]"
    parquet = pq.read_table(io.BytesIO(served.get(path, Accept=f"{PARQUET}, text/csv;q=0.5").content)).to_pandas()
    assert parquet["close"].tolist() == arrow["close"].tolist() == [11.0] * 3
    refused = served.get(path, Accept="image/png")
    assert refused.status_code == 406
    assert refused.headers["content-type"] == "application/problem+json"
    assert ARROW in refused.json()["detail"]


def test_the_other_addresses_answer_as_the_library_does(served: Served) -> None:
    latest = served.get("/v1/latest?symbol=BBB&symbol=AAA&timeframe=1m&columns=close").json()["rows"]
    assert [(row["symbol"], row["ts"]) for row in latest] == [
        (symbol, "2024-06-03T14:39:00Z") for symbol in ("BBB", "AAA")
    ]
    (coverage,) = served.get("/v1/coverage?symbol=AAA&timeframe=1m").json()["rows"]
    assert (coverage["rows"], coverage["slots_present"], coverage["sources"]) == (10, 10, ["test:one"])
    assert "test:one" in served.get("/v1/coverage?symbol=AAA&timeframe=1m", Accept="text/csv").text
    assert [row["symbol"] for row in served.get("/v1/instruments").json()["rows"]] == ["AAA", "BBB", "AAPL"]
    made = served.get("/v1/ohlc?symbol=AAA&symbol=BBB&timeframe=2m&columns=volume&start=2024-06-03T14:30:00Z&limit=1")
    assert [(row["symbol"], row["volume"]) for row in made.json()["rows"]] == [("AAA", 200.0), ("BBB", 200.0)]


def test_pages_of_an_answer_are_of_one_state_though_bars_change_meanwhile(served: Served) -> None:
    path = "/v1/ohlc?symbol=AAA&symbol=BBB&timeframe=1m&columns=close"
    first = served.get(path, Accept=ARROW)
    pages, cursor = [frame(first)], first.headers["X-Next-Cursor"]
    assert first.headers["Link"].endswith('rel="next"')
    last = START + timedelta(minutes=COUNT - 1)
    put(served.warehouse, Timeframe.M1, [Bar("BBB", last, close=9.75)])
    while cursor:
        answer = served.get(f"{path}&cursor={cursor}", Accept=ARROW)
        assert answer.headers["X-As-Of"] == first.headers["X-As-Of"]
        pages.append(frame(answer))
        cursor = answer.headers.get("X-Next-Cursor")
    whole = pd.concat(pages)
    assert [len(page) for page in pages] == [8, 8, 4]
    assert whole["close"].tolist() == [11.0] * 20
    assert served.get("/v1/ohlc?symbol=BBB&timeframe=1m&limit=1").json()["rows"][0]["close"] == 9.75
    wrong = served.get(f"{path}&limit=3&cursor={first.headers['X-Next-Cursor']}")
    assert (wrong.status_code, "another request" in wrong.json()["detail"]) == (400, True)
    assert served.get(f"{path}&cursor=nonsense").status_code == 400


def test_an_answer_that_did_not_change_is_not_sent_again(served: Served) -> None:
    path = "/v1/ohlc?symbol=AAA&timeframe=1m&limit=2"
    tag = served.get(path).headers["ETag"]
    again = served.get(path, If_None_Match=f'"other", {tag}')
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    assert served.get(path, If_None_Match=tag, Accept="text/csv").status_code == 200
    put(served.warehouse, Timeframe.M1, [Bar("AAA", START + timedelta(minutes=COUNT - 1), close=9.5)])
    changed = served.get(path, If_None_Match=tag)
    assert (changed.status_code, changed.json()["rows"][-1]["close"]) == (200, 9.5)
    assert "ETag" not in served.get(f"{path}&final_only=true").headers


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/v1/ohlc?symbol=NOPE", 404, "NOPE"),
        ("/v1/ohlc", 400, "symbol"),
        ("/v1/ohlc?symbol=AAA&timeframe=7x", 400, "timeframe"),
        ("/v1/ohlc?symbol=AAA&start=yesterday", 400, "start='yesterday'"),
        ("/v1/ohlc?symbol=AAA&limit=0", 400, "limit=0"),
        ("/v1/ohlc?symbol=AAA&limit=x", 400, "limit='x'"),
        ("/v1/ohlc?symbol=AAA&rows=0", 400, "rows"),
        ("/v1/ohlc?symbol=AAA&columns=price", 400, "price"),
        ("/v1/ohlc?symbol=AAA&adjust=split", 400, "adjust"),
        ("/v1/ohlc?symbol=AAA&as_off=2024-01-01", 400, "as_off is no parameter"),
        ("/v1/ohlc?symbol=AAA&fill=previous&final_only=true&timeframe=1m", 400, "fill"),
        ("/v1/nothing", 404, "/docs"),
    ],
)
def test_what_is_wrong_is_said_in_the_words_of_the_library(served: Served, path: str, status: int, words: str) -> None:
    answer = served.get(path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]
    assert "Traceback" not in answer.text


def test_only_who_has_a_token_may_ask_and_only_so_often(served: Served) -> None:
    without, wrong = served.get("/v1/instruments", None), served.get("/v1/instruments", "x" * 24)
    assert [(each.status_code, "Bearer" in each.headers["WWW-Authenticate"]) for each in (without, wrong)] == [
        (401, True),
        (401, True),
    ]
    assert served.get("/metrics", None).status_code == 401
    answers = [served.get("/v1/instruments", SLOW) for _ in range(3)]
    assert [each.status_code for each in answers] == [200, 200, 429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 3600
    assert served.get("/v1/instruments").status_code == 200, "each has a rate of its own"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1:1"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "none"}, 200),
    ],
)
def test_pages_of_others_and_other_names_are_refused(served: Served, headers: dict[str, str], status: int) -> None:
    assert served.get("/v1/instruments", **headers).status_code == status


def test_nothing_can_be_changed(served: Served) -> None:
    answer = httpx.post(f"{served.address}/v1/instruments", headers={"Authorization": f"Bearer {TOKEN}"})
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")
    head = httpx.head(f"{served.address}/v1/instruments", headers={"Authorization": f"Bearer {TOKEN}"})
    assert (head.status_code, head.content) == (200, b"")


def test_health_says_more_to_who_has_a_token(served: Served) -> None:
    assert served.get("/health", None).json() == {"ok": True}
    seen = served.get("/health").json()
    assert (seen["ok"], seen["database"]["ok"]) == (True, True)
    assert "postgresql" in seen["versions"]


def test_metrics_count_requests_rows_the_cache_and_connections(served: Served) -> None:
    served.get("/v1/ohlc?symbol=AAA&timeframe=1m&limit=2")
    text = served.get("/metrics").text
    for line in (
        'chandlery_requests_total{path="/v1/ohlc",status="200"}',
        'chandlery_request_seconds_bucket{le="0.005",path="/v1/ohlc"}',
        'chandlery_rows_total{path="/v1/ohlc"}',
        'chandlery_cache_hits_total{place="memory"}',
        'chandlery_cache_bytes{place="memory"}',
        'chandlery_cache_evictions_total{place="disk"}',
        'chandlery_connections{state="open"}',
    ):
        assert line in text
    assert TOKEN not in text


def test_the_description_names_every_address_and_needs_nothing_from_elsewhere(served: Served) -> None:
    schema = served.get("/openapi.json", None).json()
    assert set(schema["paths"]) == {
        *("/v1/ohlc", "/v1/latest", "/v1/coverage", "/v1/instruments", "/health", "/metrics"),
    }
    page = served.get("/docs", None).text
    assert "GET /v1/ohlc" in page
    assert "src=" not in page
    assert "http" not in page.replace("<!doctype html>", "").replace("html", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_at_once_and_without_a_word(environment: dict[str, str], served: Served, number: int) -> None:
    with running(environment) as (process, address):
        assert httpx.get(f"{address}/v1/instruments").status_code == 200, "on loopback, without any token"
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "")
    assert err.startswith("No token is set: every user of this machine may read.")
    assert "Traceback" not in err


def test_it_goes_on_after_the_server_ended_all_its_sessions(served: Served) -> None:
    path = "/v1/ohlc?symbol=AAA&timeframe=1m&limit=1"
    assert served.get(path).status_code == 200
    with served.warehouse.database.dedicated() as watcher:
        watcher.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
    assert served.get(path).status_code == 200
    assert served.get("/health").json()["ok"]


def refused(environment: dict[str, str], *arguments: str) -> tuple[int, str]:
    ended = subprocess.run(
        command(*arguments), check=False, env=environment, capture_output=True, text=True, timeout=120
    )
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stderr


def test_what_cannot_be_served_is_refused_at_the_start(environment: dict[str, str], served: Served) -> None:
    port = served.address.rpartition(":")[2]
    code, text = refused(environment, "--port", port)
    assert (code, f"port={port} on 127.0.0.1 is in use" in text) == (2, True)
    code, text = refused(environment, "--host", "0.0.0.0", "--port", "0")
    assert (code, "CHANDLERY_SERVE_TOKENS names no token" in text) == (2, True)
    code, text = refused(environment | {"CHANDLERY_SERVE_TOKENS": "me:short-secret"}, "--port", "0")
    assert (code, "entry 1 is no NAME:TOKEN" in text, "short-secret" in text) == (2, True, False)
    code, text = refused(environment, "--port", "0", "--rate", "0/minute")
    assert (code, "'0/minute' is no rate" in text) == (2, True)


def test_tokens_may_stand_in_a_file(environment: dict[str, str], served: Served, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"me:{TOKEN}\n")
    with running(environment | {"CHANDLERY_SERVE_TOKENS_FILE": str(file)}) as (_, address):
        assert httpx.get(f"{address}/v1/instruments").status_code == 401
        given = {"Authorization": f"bearer {TOKEN}"}
        assert httpx.get(f"{address}/v1/instruments", headers=given).status_code == 200


def test_the_examples_of_the_page_about_it_work(served: Served, tmp_path: Path) -> None:
    shown = [block for block in blocks(ROOT / "docs" / "serve.md") if block.first == "needs the service"]
    assert [block.language for block in shown] == ["sh", "python"]
    outputs = []
    for block in shown:
        script = block.text.replace("http://127.0.0.1:8321", served.address)
        run = [sys.executable, "-c", script] if block.language == "python" else ["bash", "-ec", script]
        done = subprocess.run(
            run, env={**os.environ, "TOKEN": TOKEN}, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        outputs.append(done.stdout)
    assert '"rows": [{"ts": "2012-09-18T00:00:00Z", "close": 11.0}' in outputs[0]
    assert '"symbol": "AAPL", "timeframe": "1d", "rows": 2' in outputs[0]
    assert (tmp_path / "aapl.csv").read_text().count("\n") == 3
    assert "2012-09-19" in outputs[1]
