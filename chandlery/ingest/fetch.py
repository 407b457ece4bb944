"""Asking providers: what is wanted is divided into requests, asked for side by side, and landed as it comes.

Not here: what becomes of the answers (``ingest``), and a single call (``providers.http.caller``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

import pyarrow as pa

from chandlery.core.partition import Partition
from chandlery.core.schema import empty_bars
from chandlery.core.timeframe import Timeframe
from chandlery.errors import ProviderAuthError, ProviderError
from chandlery.ingest.landing import Landed, Landing
from chandlery.providers.base import BarReply, BarRequest, Provider, ProviderLimits

_BARS_PER_DAY = {Timeframe.M1: 1440, Timeframe.D1: 1}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the asking is.

    Attributes:
        answered: requests that were answered.
        planned: requests that there are.
        rows: bars that came.
        calls: calls made so far, tries included; None where the provider does not tell.
    """

    answered: int
    planned: int
    rows: int
    calls: int | None = None

    @property
    def calls_left(self) -> int | None:
        """About how many more calls it takes, judging by those before; None where that cannot be told."""
        if self.calls is None or not self.answered:
            return None
        return round(self.calls / self.answered * (self.planned - self.answered))


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request.

    Attributes:
        partitions: what was wanted.
        bars: what was answered (schema ``BARS``).
        failures: why, of each symbol that was not served.
        asked_at: when, UTC.
        landed: where it is kept; None where it is not.
    """

    partitions: Sequence[Partition]
    bars: pa.Table
    failures: dict[str, ProviderError]
    requested_at: datetime
    landed: Landed | None = None


def plan_requests(partitions: Sequence[Partition], limits: ProviderLimits) -> Iterator[list[Partition]]:
    """Divide ``partitions`` into requests: what can be asked for as one range of time each.

    Symbols that want the same range share a request, as far as ``limits`` allow; a symbol that wants too much is
    divided by time, between partitions.
    """
    spans = []
    ordered = sorted(partitions, key=lambda p: (p.symbol, p.start))
    for _, mine in groupby(ordered, key=lambda p: p.symbol):
        spans += list(_contiguous(list(mine), limits.bars_per_request))
    spans.sort(key=lambda span: (span[0].start, span[-1].end))
    for _, alike in groupby(spans, key=lambda span: (span[0].start, span[-1].end)):
        request: list[Partition] = []
        symbols = 0
        for span in alike:
            full = symbols >= limits.symbols_per_request
            if request and (full or _estimate(request) + _estimate(span) > limits.bars_per_request):
                yield request
                request, symbols = [], 0
            request += span
            symbols += 1
        yield request


def ask(provider: Provider, wanted: Sequence[Partition], now: datetime | None = None) -> Answer:
    """Ask for what one request wants.

    A failure of the provider as a whole is a failure of each symbol. ``now`` is the present, UTC; the clock by default.

    Raises:
        ProviderAuthError: the key is refused; nothing later would succeed either.
    """
    request = _request(wanted)
    requested_at = now or datetime.now(UTC)
    try:
        # A window of which nothing was asked for is judged all the same, so that it is accounted for.
        reply = provider.fetch(request) if request.start < request.end else BarReply(empty_bars())
    except ProviderAuthError:
        raise
    except ProviderError as error:
        return Answer(wanted, empty_bars(), dict.fromkeys(request.symbols, error), requested_at)
    return Answer(wanted, reply.bars, dict(reply.failures), requested_at)


def fetch(
    provider: Provider,
    requests: Sequence[list[Partition]],
    landing: Landing,
    writer: int,
    *,
    tell: Callable[[Progress], None] | None = None,
    now: datetime | None = None,
) -> Iterator[list[Answer]]:
    """Ask for everything that ``requests`` want, as many at a time as the provider's terms allow.

    Each answer is landed before it is handed on. While the caller works on some, others are asked for.

    Args:
        provider: whom to ask.
        requests: from ``plan_requests``.
        landing: where answers are kept.
        writer: number of the run.
        tell: hears how far it is, after each answer.
        now: the present, UTC; the clock by default.

    Yields:
        Those that came meanwhile, in no order.

    Raises:
        ProviderAuthError: the key is refused.
        LakeError: the landing zone cannot be written to.
    """

    def work(wanted: Sequence[Partition]) -> Answer:
        answer = ask(provider, wanted, now)
        request = _request(wanted)
        if len(answer.failures) == len(request.symbols) or request.start >= request.end:
            return answer
        reply = BarReply(answer.bars, answer.failures)
        landed = landing.keep(writer, provider.name, request, reply, answer.requested_at)
        return Answer(wanted, answer.bars, answer.failures, answer.requested_at, landed)

    todo = iter(requests)
    running: set[Future[Answer]] = set()
    answered = rows = 0
    pool = ThreadPoolExecutor(provider.limits.workers, thread_name_prefix=f"fetch-{provider.name}")
    try:
        while True:
            # Twice as many as work at a time, so that none waits for the caller, who holds but one batch himself.
            free = range(2 * provider.limits.workers - len(running))
            running |= {pool.submit(work, wanted) for _, wanted in zip(free, todo, strict=False)}
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            answers = [future.result() for future in done]
            answered += len(answers)
            rows += sum(answer.bars.num_rows for answer in answers)
            if tell:
                tell(Progress(answered, len(requests), rows, calls_made(provider)))
            yield answers
    except BaseException:
        stop(provider)
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def calls_made(provider: Provider) -> int | None:
    """Return how many calls the provider made so far; None where it does not count them."""
    caller = getattr(provider, "caller", None)
    return None if caller is None else caller.made


def stop(provider: Provider) -> None:
    """Let the provider make no further call, where it can be stopped."""
    caller = getattr(provider, "caller", None)
    if caller is not None:
        caller.stop()


def describe_calls(progress: Progress) -> str:
    """Return how many requests were answered, and the calls that took and will take, for people."""
    text = f"{progress.answered}/{progress.planned} requests answered"
    if progress.calls is not None:
        text += f", {progress.calls} calls made"
    return text + (f", about {progress.calls_left} left" if progress.calls_left is not None else "")


def _request(wanted: Sequence[Partition]) -> BarRequest:
    symbols = list(dict.fromkeys(partition.symbol for partition in wanted))
    return BarRequest(symbols, wanted[0].timeframe, wanted[0].start, wanted[-1].end)


def _contiguous(partitions: list[Partition], rows: int) -> Iterator[list[Partition]]:
    span: list[Partition] = []
    for partition in partitions:
        if span and (partition.start != span[-1].end or _estimate([*span, partition]) > rows):
            yield span
            span = []
        span.append(partition)
    if span:
        yield span


def _estimate(partitions: Sequence[Partition]) -> int:
    days = sum((partition.end - partition.start).days + 1 for partition in partitions)
    return days * _BARS_PER_DAY[partitions[0].timeframe]
