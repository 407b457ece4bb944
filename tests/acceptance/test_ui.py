"""The web UI as a person uses it: started by ``chandlery ui``, looked at in a headless browser, and stopped again.

Screenshots go to the folder that ``CHANDLERY_TEST_SCREENSHOTS`` names, if set.
Not here: what the pages' figures mean (``tests/integration/test_assets.py``).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from pipelines.guard import Access
from tests.processes import CLI, alive, free_port
from tests.support import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright

pytestmark = [pytest.mark.slow, pytest.mark.ui]

#: Of the web UI.
TOKEN = "the-token-of-these-tests"
CONFIG = Path(__file__).parent.parent.parent / "config"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = "no-sandbox disable-gpu disable-background-networking disable-component-update no-first-run"
QUIET = [f"--{flag}" for flag in _FLAGS.split()]
RECTANGLE = {f"{symbol}|{year}" for symbol in ("AAPL", "MSFT", "IBM") for year in (2009, 2010)}
#: The pages fetch their parts one after the other, and this may be a small and busy machine.
PAGE_MS = 240_000


@dataclass(frozen=True)
class Ui:
    """A running web UI.

    Attributes:
        address: of its door.
        backfill: number of the backfill that was launched as soon as it answered.
        launched: when, on the monotonic clock.
    """

    address: str
    backfill: str
    launched: float

    @property
    def pages(self) -> str:
        """Address of its pages, for who was let in."""
        return self.address + Access(TOKEN, 0, frozenset()).prefix


@pytest.fixture(scope="module")
def chromium() -> str:
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser: looked on the PATH for {', '.join(BROWSERS)}")
    return found


@pytest.fixture(scope="module")
def ui(chromium: str) -> Iterator[Ui]:
    """The web UI of an installation of its own, with a little data; afterwards, nothing of it is running."""
    # Not in pytest's own folder: as root, another run of pytest would bar the database's user from that.
    home = Path(tempfile.mkdtemp(prefix="chandlery-ui-"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CHANDLERY_", "DAGSTER_"))}
    environment |= {"CHANDLERY_HOME": str(home), "CHANDLERY_CONFIG": str(CONFIG), "CHANDLERY_UI_TOKEN": TOKEN}
    try:
        for command in (["init"], ["ingest", "AAPL", "MSFT", "--start", "2011-01-01", "--end", "2013-01-01"]):
            done = subprocess.run([*CLI, *command], env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
        yield from serving(home, environment)
    finally:
        left = [process for process in alive(home) if not gone(process, 10)]
        for process in left:
            process.kill()
        shutil.rmtree(home, ignore_errors=True)
    assert left == [], "still running after the end"


def serving(home: Path, environment: Mapping[str, str]) -> Iterator[Ui]:
    port = free_port()
    with (home / "ui.log").open("w") as log:
        process = subprocess.Popen(
            [*CLI, "ui", "--port", str(port)], env=environment, stdout=log, stderr=log, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: process.poll() is not None or is_loaded(address), "the web UI answers")
        assert process.poll() is None, "the web UI ended by itself"
        yield Ui(address, launch_backfill(address), time.monotonic())
    finally:
        process.send_signal(signal.SIGINT)
        try:
            code = process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        for written in home.rglob("ui.log"):
            print(written.read_text()[-3000:])  # shown by pytest where something failed
    assert code == 0


def gone(process: psutil.Process, seconds: float) -> bool:
    try:
        process.wait(seconds)
    except psutil.TimeoutExpired:
        return False
    return True


def ask(address: str, query: str, **variables: object) -> Any:  # noqa: ANN401 - JSON
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(
        f"{address}/graphql", body, {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        answer = json.load(response)
    assert "errors" not in answer, answer
    return answer["data"]


def is_loaded(address: str) -> bool:
    try:
        data = ask(
            address,
            "{workspaceOrError {... on Workspace {locationEntries {loadStatus locationOrLoadError {__typename}}}}}",
        )
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
    return data["workspaceOrError"]["locationEntries"] == [
        {"loadStatus": "LOADED", "locationOrLoadError": {"__typename": "RepositoryLocation"}}
    ]


def launch_backfill(address: str) -> str:
    found = ask(
        address,
        "mutation ($p: LaunchBackfillParams!) {launchPartitionBackfill(backfillParams: $p)"
        " {__typename ... on LaunchBackfillSuccess {backfillId} ... on PythonError {message}}}",
        p={
            "assetSelection": [{"path": ["bars_1d"]}],
            "partitionNames": sorted(RECTANGLE),
            "title": "two years of three",
        },
    )["launchPartitionBackfill"]
    assert found["__typename"] == "LaunchBackfillSuccess", found
    return str(found["backfillId"])


def backfill_status(ui: Ui) -> str:
    query = "query ($id: String!) {partitionBackfillOrError(backfillId: $id) {... on PartitionBackfill {status}}}"
    return str(ask(ui.address, query, id=ui.backfill)["partitionBackfillOrError"]["status"])


def materialized(ui: Ui, asset: str) -> set[str]:
    """Return the partitions of ``asset`` that are materialized."""
    ranges = ask(
        ui.address,
        "query ($key: AssetKeyInput!) {assetNodeOrError(assetKey: $key) {... on AssetNode {assetPartitionStatuses"
        " {... on MultiPartitionStatuses {ranges {primaryDimStartKey primaryDimEndKey"
        " secondaryDim {... on DefaultPartitionStatuses {materializedPartitions}}}}}}}}",
        key={"path": [asset]},
    )["assetNodeOrError"]["assetPartitionStatuses"]["ranges"]
    return {
        f"{symbol}|{year}"
        for span in ranges
        for year in range(int(span["primaryDimStartKey"]), int(span["primaryDimEndKey"]) + 1)
        for symbol in span["secondaryDim"]["materializedPartitions"]
    }


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Playwright, chromium: str) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
    yield browser
    browser.close()


@pytest.fixture
def page(ui: Ui, browser: Browser, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Page]:
    """A page, of which a picture is taken at the end."""
    page = browser.new_page(viewport={"width": 1500, "height": 950})
    page.set_default_timeout(PAGE_MS)
    page.goto(f"{ui.address}/server_info?token={TOKEN}")  # as a person begins, who follows the printed address
    yield page
    folder = Path(os.environ.get("CHANDLERY_TEST_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{request.node.name}.png")
    page.close()


def shows(page: Page, *texts: str) -> None:
    """Wait until each text can be seen."""
    for text in texts:
        page.get_by_text(text, exact=True).first.wait_for(state="visible")


def test_the_asset_graph_shows_the_groups(ui: Ui, page: Page) -> None:
    page.goto(f"{ui.pages}/asset-groups")
    shows(page, "Global asset lineage", "reference", "providers", "bars", "rollups", "quality")


def test_lineage_leads_from_providers_over_bars_to_what_derives(ui: Ui, page: Page) -> None:
    page.set_viewport_size({"width": 1500, "height": 3000})  # only what is in view is drawn
    page.goto(f"{ui.pages}/locations/chandlery/asset-groups/bars/lineage")
    shows(page, "sample", "simulated", "files", "bars_1d", "bars_1m", "bars_1w", "bars_4h", "coverage_1d")


def test_a_materialization_shows_its_figures_and_its_candles(ui: Ui, page: Page) -> None:
    page.goto(f"{ui.pages}/assets/bars_1d?view=partitions&partition=AAPL%7C2012")
    shows(page, "AAPL|2012", "Materialized", "inserted", "quarantined", "sample:bokeh")
    shows(page, "250 of 250 closed sessions have bars", "candles", "low_is_lowest")
    picture = page.locator('img[src^="candles.png?"]').first
    picture.scroll_into_view_if_needed()
    page.wait_for_function("image => image.complete", arg=picture.element_handle())
    assert picture.evaluate("image => image.complete && image.naturalWidth") == 450
    assert picture.get_attribute("alt") == "AAPL 1d 2012"


def test_the_gates_check_is_shown_with_the_asset(ui: Ui, page: Page) -> None:
    page.goto(f"{ui.pages}/assets/bars_1d?view=checks")
    shows(page, "Checks (3)", "gate", "Latest execution", "Passed", "prices_not_null")


def test_schedules_and_sensors_are_listed_with_their_times(ui: Ui, page: Page) -> None:
    page.goto(f"{ui.pages}/automation")
    shows(page, "xnys_1d_after_close", "xnys_1m_after_close", "always_open_1m_after_close", "maintain_daily")
    shows(page, "follow_1d", "follow_1m", "repair_1d", "repair_1m", "reconcile", "automation")
    page.get_by_text("only on Monday, Tuesday, Wednesday, Thursday, and Friday").first.wait_for()
    states = ask(
        ui.address,
        "query ($of: RepositorySelector!) {sensorsOrError(repositorySelector: $of)"
        " {... on Sensors {results {name sensorState {status}}}}}",
        of={"repositoryName": "__repository__", "repositoryLocationName": "chandlery"},
    )["sensorsOrError"]["results"]
    assert {state["name"]: state["sensorState"]["status"] for state in states} == {
        "follow_1d": "RUNNING",
        "follow_1m": "RUNNING",
        "repair_1d": "RUNNING",
        "repair_1m": "RUNNING",
        "reconcile": "RUNNING",
        "freshness": "RUNNING",
        "automation": "RUNNING",
    }


def test_a_backfill_of_a_rectangle_comes_through_and_derived_bars_follow(ui: Ui, page: Page) -> None:
    wait_until(lambda: materialized(ui, "bars_1d").issuperset(RECTANGLE), "the partitions of the backfill are there")
    print(f"its partitions were there {time.monotonic() - ui.launched:.0f} s after the backfill was launched")
    wait_until(lambda: backfill_status(ui) == "COMPLETED_SUCCESS", "the backfill ended")
    print(f"it ended {time.monotonic() - ui.launched:.0f} s after it was launched")
    assert materialized(ui, "bars_1d") == RECTANGLE | {"AAPL|2011", "AAPL|2012", "MSFT|2011", "MSFT|2012"}
    wait_until(lambda: materialized(ui, "bars_1mo").issuperset(RECTANGLE), "the derived bars are there")
    print(f"the derived bars were there {time.monotonic() - ui.launched:.0f} s after it was launched")
    page.goto(f"{ui.pages}/runs")
    shows(page, ui.backfill, "6 partitions", "follow_1d", "Success")


ATTACK = (
    'mutation {launchPartitionBackfill(backfillParams: {title: "attack", assetSelection: [{path: ["bars_1d"]}],'
    ' partitionNames: ["AAPL|2009"]}) {__typename}}'
)
#: Tries everything that a page can, and writes down what it could see of each answer.
ATTACKER = """<!doctype html><title>attacker</title><iframe name=sink></iframe><script>
const ui = %(ui)s, query = %(query)s, seen = {};
const graphql = ui + '/graphql', address = graphql + '?query=' + encodeURIComponent(query);
const json = {method: 'POST', body: JSON.stringify({query}), credentials: 'include'};
const read = async (...request) => {
  const reply = await fetch(...request);
  return reply.status + ' ' + await reply.text();
};
const load = () => new Promise(done => {
  const image = new Image();
  image.onload = done;
  image.onerror = () => done('refused: image');
  image.src = address;
});
const talk = () => new Promise(done => {
  const socket = new WebSocket(ui.replace('http', 'ws') + '/graphql', 'graphql-ws');
  socket.onopen = () => {
    socket.send(JSON.stringify({id: 1, type: 'start', payload: {query}}));
    done('open');
  };
  socket.onerror = () => done('refused: socket');
});
const post = (method, enctype) => {
  const form = Object.assign(document.createElement('form'), {method, enctype, action: graphql, target: 'sink'});
  form.append(Object.assign(document.createElement('input'), {name: 'query', value: query}));
  document.body.append(form);
  form.submit();
};
const attempts = {
  image: load,
  get: () => read(address, {credentials: 'include'}),
  'get unseen': () => read(address, {credentials: 'include', mode: 'no-cors'}),
  post: () => read(graphql, {...json, headers: {'content-type': 'application/json'}}),
  'post as text': () => read(graphql, {...json, mode: 'no-cors'}),
  beacon: () => navigator.sendBeacon(graphql, new Blob([json.body], {type: 'text/plain'})) && 'refused: unseen',
  materialization: () => read(ui + '/report_asset_materialization/bars_1d', {...json, mode: 'no-cors'}),
  socket: talk,
};
(async () => {
  for (const [name, attempt] of Object.entries(attempts)) {
    try { seen[name] = await attempt(); } catch (error) { seen[name] = 'refused: ' + error; }
  }
  post('get', '');
  post('post', 'application/x-www-form-urlencoded');
  post('post', 'text/plain');
  window.seen = seen;
})();
</script>"""


@pytest.fixture(scope="module")
def hostile(playwright: Playwright, chromium: str) -> Iterator[Browser]:
    """A browser for which a name of the attacker's means this machine, as after DNS rebinding."""
    rules = "--host-resolver-rules=MAP evil.example 127.0.0.1"
    browser = playwright.chromium.launch(executable_path=chromium, args=[*QUIET, rules])
    yield browser
    browser.close()


@dataclass(frozen=True)
class Elsewhere:
    """Another server: its port, and the cookies that it was sent."""

    port: int
    cookies: Sequence[str]


@pytest.fixture
def elsewhere(ui: Ui) -> Iterator[Elsewhere]:
    """Another server on this machine, with the page of an attacker who has learned where our pages are."""
    page = (ATTACKER % {"ui": json.dumps(ui.pages), "query": json.dumps(ATTACK)}).encode()

    cookies: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            cookies.extend(self.headers.get_all("Cookie", []))
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Elsewhere(server.server_port, cookies)
        server.shutdown()
        thread.join()


def titles(ui: Ui) -> list[str | None]:
    """Return the titles of all backfills."""
    found = ask(ui.address, "{partitionBackfillsOrError {... on PartitionBackfills {results {title}}}}")
    return [backfill["title"] for backfill in found["partitionBackfillsOrError"]["results"]]


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "evil.example"])
def test_a_page_of_another_origin_can_do_nothing(ui: Ui, hostile: Browser, elsewhere: Elsewhere, name: str) -> None:
    before = titles(ui)
    with hostile.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(PAGE_MS)
        page.goto(f"{ui.address}/server_info?token={TOKEN}")  # the owner uses the same browser
        assert "dagster_version" in page.content()
        page.goto(f"http://{name}:{elsewhere.port}/")
        page.wait_for_function("window.seen")
        seen = page.evaluate("window.seen")
        page.frame("sink").wait_for_load_state()  # type: ignore[union-attr] - the form's answer is there
    assert len(seen) == 8
    assert [attempt for attempt, answer in seen.items() if not str(answer).startswith(("refused", "0 "))] == []
    assert titles(ui) == before
    assert list(elsewhere.cookies) == []  # though browsers send what they keep to every port of a host


def test_a_name_that_an_attacker_makes_point_here_opens_nothing(ui: Ui, hostile: Browser) -> None:
    rebound = ui.address.replace("127.0.0.1", "evil.example")
    with hostile.new_context() as context:
        page = context.new_page()
        reply = page.goto(f"{rebound}/server_info?token={TOKEN}")
        assert reply is not None
        assert reply.status == 421
        status = page.evaluate(
            "query => fetch('/graphql', {method: 'POST', headers: {'content-type': 'application/json'},"
            " body: JSON.stringify({query})}).then(reply => reply.status)",
            ATTACK,
        )
        assert status == 421


def test_another_user_of_the_machine_gets_no_further_than_the_door(ui: Ui) -> None:
    for path, data in (("/", None), ("/graphql", b'{"query": "{version}"}'), ("/server_info", None)):
        request = urllib.request.Request(f"{ui.address}{path}", data, {"Content-Type": "application/json"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=60)
        with refused.value as reply:
            assert reply.code == 401
