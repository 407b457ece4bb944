"""Calls to a provider: when they are made again, how long is waited, what an error says, and that it holds no key."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
from pydantic import SecretStr

from chandlery.errors import (
    ProviderAuthError,
    ProviderBadDataError,
    ProviderError,
    ProviderNotFoundError,
    ProviderRateLimitError,
    ProviderTransientError,
)
from chandlery.providers.http.caller import Caller, RetryPolicy
from chandlery.providers.http.errors import explain_status, parse_retry_after
from chandlery.providers.http.rate_limit import LEEWAY, LocalRateLimiter, interval
from tests.support import wait_until

NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)


@dataclass
class Time:
    """Passes only when somebody waits."""

    now: float = 0.0
    waited: list[float] = field(default_factory=list)

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


@dataclass
class Vendor:
    """Fails as told, then answers; remembers when it was called."""

    time: Time
    errors: list[Exception]
    called: list[float] = field(default_factory=list)

    def __call__(self) -> str:
        self.called.append(self.time.now)
        if self.errors:
            raise self.errors.pop(0)
        return "bars"


def transient(text: str = "HTTP 503", retry_after: float | None = None) -> ProviderTransientError:
    return ProviderTransientError(text, provider="test", retry_after=retry_after)


def limited(retry_after: float | None = None) -> ProviderRateLimitError:
    return ProviderRateLimitError("HTTP 429", provider="test", retry_after=retry_after)


def make(caller: Caller, vendor: Callable[[], str], *, about: str = "AAPL 1m") -> str:
    return caller.call(
        vendor, explain=lambda error: transient(str(error)) if isinstance(error, OSError) else None, about=about
    )


def run(
    errors: Iterable[Exception], *, draw: float = 1.0, per_minute: float | None = None, attempts: int = 6
) -> tuple[Vendor, Time, Caller, LocalRateLimiter]:
    """Set up a vendor and a caller in virtual time."""
    virtual = Time()
    rate_limiter = LocalRateLimiter(per_minute, clock=virtual.clock)
    caller = Caller("test", rate_limiter, attempts=attempts, wait=virtual.wait, draw=lambda: draw)
    return Vendor(virtual, list(errors)), virtual, caller, rate_limiter


def test_a_good_call_is_made_once_and_waits_for_nothing() -> None:
    vendor, virtual, caller, _ = run([])
    assert make(caller, vendor) == "bars"
    assert (vendor.called, virtual.waited, caller.made) == ([0.0], [], 1)


def test_pauses_double_and_are_drawn_up_to_their_length() -> None:
    vendor, virtual, caller, _ = run([transient() for _ in range(4)], draw=0.5)
    assert make(caller, vendor) == "bars"
    assert virtual.waited == [0.5, 1.0, 2.0, 4.0]
    assert caller.made == 5


def test_no_pause_is_longer_than_a_minute() -> None:
    vendor, virtual, caller, _ = run([transient() for _ in range(9)], attempts=10)
    make(caller, vendor)
    assert virtual.waited == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_an_error_of_the_client_is_explained_and_tried_again() -> None:
    vendor, _, caller, _ = run([ConnectionResetError("reset by peer")])
    assert make(caller, vendor) == "bars"


def test_after_the_last_attempt_the_error_says_what_was_tried() -> None:
    vendor, virtual, caller, _ = run([transient(f"HTTP 503 no. {n}") for n in range(9)], attempts=3)
    with pytest.raises(ProviderTransientError, match=r"^test: AAPL 1m: HTTP 503 no\. 2 \(tried 3 times\)$"):
        make(caller, vendor)
    assert (caller.made, len(virtual.waited)) == (3, 2)  # nobody waits after the last


@pytest.mark.parametrize("error", [ProviderAuthError, ProviderNotFoundError, ProviderBadDataError])
def test_what_will_not_pass_is_not_tried_again(error: type[ProviderError]) -> None:
    vendor, virtual, caller, _ = run([error("no", provider="test")])
    with pytest.raises(error, match=r"^test: AAPL 1m: no$"):
        make(caller, vendor)
    assert (caller.made, virtual.waited) == (1, [])


def test_a_mistake_of_ours_is_not_hidden() -> None:
    vendor, _, caller, _ = run([ZeroDivisionError("ours")])
    with pytest.raises(ZeroDivisionError, match="ours"):
        make(caller, vendor)


def test_advice_is_followed_with_at_most_a_tenth_on_top() -> None:
    for draw, waited in ((0.0, 30.0), (1.0, 33.0)):
        vendor, virtual, caller, _ = run([transient(retry_after=30)], draw=draw)
        make(caller, vendor)
        assert virtual.waited == pytest.approx([waited])


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0.25", 0.25),
        ("-3", 0.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        ("Sunday, 10-Mar-24 12:01:30 GMT", 90.0),  # RFC 850
        ("Sun Mar 10 12:01:30 2024", 90.0),  # asctime
        ("Sun, 10 Mar 2024 07:01:30 -0500", 90.0),
        (format_datetime(NOW - timedelta(hours=1), usegmt=True), 0.0),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_a_number_or_a_date(header: str | None, seconds: float | None) -> None:
    assert parse_retry_after(header, NOW) == seconds


def test_a_date_in_retry_after_is_waited_for() -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=45), usegmt=True)
    error = explain_status(429, "slow down", {"retry-AFTER": until}, provider="test")
    vendor, virtual, caller, _ = run([error], draw=0.0)
    make(caller, vendor)
    assert 42 < virtual.now <= 45


@pytest.mark.parametrize("error", [transient(retry_after=901), limited(901)])
def test_a_provider_that_demands_too_long_a_wait_is_given_up(error: ProviderTransientError) -> None:
    vendor, virtual, caller, _ = run([error])
    with pytest.raises(type(error)):
        make(caller, vendor)
    assert (caller.made, virtual.waited) == (1, [])


def test_every_try_is_within_the_rate_limit() -> None:
    vendor, _, caller, _ = run([transient(), transient()], draw=0.0, per_minute=6)
    for _ in range(3):
        make(caller, vendor)
    assert caller.made == len(vendor.called) == 5
    assert all(later - earlier == pytest.approx((60 + LEEWAY) / 6) for earlier, later in pairwise(vendor.called))
    assert vendor.called[0] == 0


def test_being_limited_holds_up_every_caller_of_the_rate_limiter() -> None:
    vendor, virtual, caller, rate_limiter = run([limited(20)], draw=0.0, per_minute=60)
    make(caller, vendor)
    assert vendor.called == pytest.approx([0, 20])
    rate_limiter.pause(100)
    neighbour = Caller("test", rate_limiter, wait=virtual.wait)
    make(neighbour, vendor)
    assert vendor.called[2] == pytest.approx(120)


def test_being_limited_at_the_last_attempt_still_holds_up_the_others() -> None:
    vendor, _, caller, _ = run([limited(20)], draw=0.0, attempts=1)
    with pytest.raises(ProviderRateLimitError):
        make(caller, vendor)
    make(caller, vendor)
    assert vendor.called == pytest.approx([0, 20])


def test_a_call_that_was_reserved_before_a_pause_waits_for_its_end() -> None:
    vendor, virtual, caller, rate_limiter = run([], per_minute=60)
    rate_limiter.reserve()

    def wait(seconds: float) -> None:
        if not virtual.waited:
            rate_limiter.pause(30)  # by another thread, while this one waits for its turn
        virtual.wait(seconds)

    caller._wait = wait
    make(caller, vendor)
    assert vendor.called == pytest.approx([30], abs=0.1)


def test_a_turn_that_was_slept_through_is_given_up_for_another() -> None:
    time = Time()

    def oversleep(seconds: float) -> None:
        time.wait(seconds + (0 if time.waited else LEEWAY))

    calls = Caller("test", LocalRateLimiter(600, clock=time.clock), wait=oversleep, clock=time.clock)
    vendor = Vendor(time, [])
    for _ in range(3):
        make(calls, vendor)
    # The first was due at once. The second slept through its turn and got another at once, from which the third counts.
    spacing = interval(600)
    assert vendor.called == pytest.approx([0, spacing + LEEWAY, 2 * spacing + LEEWAY])


def test_a_machine_that_is_always_late_makes_its_calls_all_the_same() -> None:
    always_late = RetryPolicy(longest_delay=-1.0)
    caller = Caller("test", LocalRateLimiter(600), retry=always_late)
    for _ in range(3):
        caller.call(lambda: None, explain=lambda _: None, about="")
    assert caller.made == 3


def test_stop_wakes_those_who_wait_and_lets_nobody_call() -> None:
    reserved: list[float] = []

    class Observed(LocalRateLimiter):
        def reserve(self) -> float:
            reserved.append(super().reserve())
            return reserved[-1]

    calls = Caller("test", Observed(0.001))  # a call in seventeen hours
    calls.call(lambda: None, explain=lambda _: None, about="")
    failed: list[str] = []

    def work() -> None:
        try:
            calls.call(lambda: None, explain=lambda _: None, about="AAPL 1m")
        except ProviderTransientError as error:
            failed.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(reserved) == 5, "all wait for their turn")
    assert not failed
    calls.stop()
    for thread in threads:
        thread.join()
    assert len(failed) == 4
    assert all("stopped" in text for text in failed)
    with pytest.raises(ProviderTransientError, match="stopped"):
        calls.call(lambda: None, explain=lambda _: None, about="MSFT 1m")
    assert calls.made == 1


def test_stop_wakes_who_waits_between_two_tries() -> None:
    calls = Caller("test", LocalRateLimiter(None), retry=RetryPolicy(longest_retry_after=1e6), draw=lambda: 1.0)

    def fail() -> None:
        threading.Timer(0.1, calls.stop).start()
        raise transient(retry_after=1e5)

    with pytest.raises(ProviderTransientError, match="stopped"):
        calls.call(fail, explain=lambda _: None, about="AAPL 1m")


def test_calls_of_many_threads_are_all_counted() -> None:
    caller = Caller("test", LocalRateLimiter(None))

    def work() -> None:
        for _ in range(500):
            caller.call(lambda: None, explain=lambda _: None, about="")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert caller.made == 4000


KEY, SECRET = "PK7Q9XKEY", """PK7Q9XKEY/7Q9X+KEY=&"MAT'ER\\IAL~%"""


@pytest.mark.parametrize(
    "spelled",
    [
        f"key={KEY} secret={SECRET}",
        f"?apiKey={KEY}&secret=PK7Q9XKEY%2F7Q9X%2BKEY%3D%26%22MAT%27ER%5CIAL~%25",
        "?secret=pk7q9xkey%2f7q9x%2bkey%3d%26%22mat%27er%5cial~%25",
        "/v1/PK7Q9XKEY/7Q9X%2BKEY%3D%26%22MAT%27ER%5CIAL~%25",
        f"{SECRET!r} and {SECRET.encode()!r}",
        r'{"secret": "PK7Q9XKEY/7Q9X+KEY=&\"MAT' + r"'ER\\IAL~%" + '"}',
        r'{"secret": "PK7Q9XKEY\/7Q9X+KEY=&\"MAT' + r"'ER\\IAL~%" + '"}',
        "<p>PK7Q9XKEY/7Q9X+KEY=&amp;&quot;MAT&#x27;ER\\IAL~%</p>",
        "<p>PK7Q9XKEY/7Q9X+KEY=&amp;\"MAT'ER\\IAL~%</p>",
        f"body that was cut: {SECRET[:20]}…",
        f"body that was cut: {KEY[:6]}…",
    ],
)
def test_no_key_is_shown_however_it_is_spelled(spelled: str) -> None:
    caller = Caller("test", LocalRateLimiter(None), attempts=1, secrets=[SecretStr(KEY), SecretStr(SECRET)])

    def fail() -> None:
        raise OSError(f"cannot reach {spelled}")

    with pytest.raises(ProviderTransientError) as caught:
        caller.call(fail, explain=lambda error: transient(str(error)), about="AAPL 1m")
    text = str(caught.value).lower()
    assert "***" in text
    for piece in ("pk7q", "9xkey", "7q9x", "mat'er", "ial"):
        assert piece not in text
    assert "cannot reach" in text or "body" in text
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert KEY not in repr(caller)


def test_an_error_does_not_bring_along_what_it_came_from() -> None:
    caller = Caller("test", LocalRateLimiter(None), attempts=1, secrets=[SecretStr(KEY)])

    def connect() -> None:
        raise OSError(f"cannot reach ?key={KEY}")

    def fail() -> None:
        try:
            connect()
        except OSError as error:
            raise transient("the line is down") from error

    with pytest.raises(ProviderTransientError, match="the line is down") as caught:
        caller.call(fail, explain=lambda _: None, about="AAPL 1m")
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_a_key_that_is_not_set_redacts_nothing() -> None:
    vendor, _, _, rate_limiter = run([transient("HTTP 503")])
    caller = Caller("test", rate_limiter, attempts=1, secrets=[SecretStr("")])
    with pytest.raises(ProviderTransientError, match="HTTP 503"):
        make(caller, vendor)
