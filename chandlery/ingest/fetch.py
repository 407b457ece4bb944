"""Fetching: requests are sent to a provider side by side, and each answer is landed as it comes.

Not here: which requests there are (``plan``), how an answer is processed (``validate``), and a single call
(``providers.http.caller``).
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from chandlery.core.partition import Partition
from chandlery.core.schema import empty_bars
from chandlery.core.text import counted, plural
from chandlery.errors import ChandleryError, ProviderAuthError, ProviderError
from chandlery.ingest.answer import ProviderAnswer
from chandlery.ingest.landing import Landing
from chandlery.providers.base import BarReply, BarRequest, Provider


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the fetching from one provider is.

    Attributes:
        provider: name of the provider; of several, their names.
        answered: number of requests that were answered.
        planned: number of requests that there are.
        rows: number of bars that came.
        calls: number of calls made so far, retries included; None where the provider does not count them.
    """

    provider: str
    answered: int
    planned: int
    rows: int
    calls: int | None = None

    @property
    def calls_left(self) -> int | None:
        """Estimated number of calls still to make, at the present rate; None where there is no estimate."""
        if self.calls is None or not self.answered:
            return None
        return round(self.calls / self.answered * (self.planned - self.answered))


def add_up(progresses: Iterable[Progress]) -> Progress:
    """Return how far several providers are together."""
    each = list(progresses)
    counted = [progress.calls for progress in each if progress.calls is not None]
    return Progress(
        ", ".join(progress.provider for progress in each),
        sum(progress.answered for progress in each),
        sum(progress.planned for progress in each),
        sum(progress.rows for progress in each),
        sum(counted) if counted else None,
    )


def fetch_answer(provider: Provider, partitions: Sequence[Partition], now: datetime | None = None) -> ProviderAnswer:
    """Send one request for ``partitions`` and return the answer.

    A failure of the provider as a whole is a failure of each symbol, be it one that its author did not foresee. ``now``
    is the present, UTC; the clock by default.

    Raises:
        ProviderAuthError: the key is refused; nothing later would succeed either.
        ConfigurationError: its configuration is wrong; likewise.
    """
    request = _request(partitions)
    requested_at = now or datetime.now(UTC)
    try:
        # A partition in which nothing is requested is processed all the same, so that it is accounted for.
        reply = provider.fetch(request) if request.start < request.end else BarReply(empty_bars())
    except ProviderAuthError:
        raise
    except ProviderError as error:
        return ProviderAnswer(partitions, empty_bars(), dict.fromkeys(request.symbols, error), requested_at)
    except ChandleryError:
        raise
    except Exception as error:  # noqa: BLE001 - a provider may be of any package, and fails alone
        unforeseen = _unforeseen(provider, error)
        return ProviderAnswer(partitions, empty_bars(), dict.fromkeys(request.symbols, unforeseen), requested_at)
    return ProviderAnswer(
        partitions, reply.bars, dict(reply.failures), requested_at, files=reply.files, held=reply.held
    )


def fetch_answers(
    provider: Provider,
    requests: Sequence[list[Partition]],
    landing: Landing,
    writer: int,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    now: datetime | None = None,
) -> Iterator[list[ProviderAnswer]]:
    """Send all ``requests``, as many at a time as the provider's limits allow; yield the answers as they come.

    Each answer is landed before it is yielded. While the caller works on some, others are fetched.

    Args:
        provider: that is called.
        requests: from ``plan.plan_requests``.
        landing: where answers are kept.
        writer: number of the run.
        on_progress: called after each answer.
        now: the present, UTC; the clock by default.

    Raises:
        ProviderAuthError: the key is refused.
        LakeError: the landing zone cannot be written to.
    """
    work = partial(_fetch_and_land, provider, landing, writer, now)
    to_send = iter(requests)
    running: set[Future[ProviderAnswer]] = set()
    answered = rows = 0
    pool = ThreadPoolExecutor(provider.limits.workers, thread_name_prefix=f"fetch-{provider.name}")
    try:
        while True:
            # Twice as many as work at a time, so that none waits for the caller, who holds but one batch himself.
            free = range(2 * provider.limits.workers - len(running))
            running |= {pool.submit(work, partitions) for _, partitions in zip(free, to_send, strict=False)}
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            answers = [future.result() for future in done]
            answered += len(answers)
            rows += sum(answer.bars.num_rows for answer in answers)
            if on_progress:
                on_progress(Progress(provider.name, answered, len(requests), rows, calls_made(provider)))
            yield answers
    except BaseException:
        stop(provider)
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _fetch_and_land(
    provider: Provider, landing: Landing, writer: int, now: datetime | None, partitions: Sequence[Partition]
) -> ProviderAnswer:
    """Send one request, and land the answer if there is anything in it to keep."""
    answer = fetch_answer(provider, partitions, now)
    request = _request(partitions)
    if len(answer.failures) == len(request.symbols) or request.start >= request.end:
        return answer
    reply = BarReply(answer.bars, answer.failures)
    landed = landing.keep(writer, provider.name, request, reply, answer.requested_at)
    return replace(answer, landing_id=landed.landing_id, path=landed.path)


def calls_made(provider: Provider) -> int | None:
    """Return the number of calls that the provider made so far; None where it does not count them."""
    caller = getattr(provider, "caller", None)
    return None if caller is None else caller.made


def stop(provider: Provider) -> None:
    """Let the provider make no further call, where it can be stopped."""
    caller = getattr(provider, "caller", None)
    if caller is not None:
        caller.stop()


def describe_calls(progress: Progress) -> str:
    """Return, for people, how many requests were answered, how many calls that took, and how many are still to make."""
    text = f"{progress.answered}/{progress.planned} {plural(progress.planned, 'request')} answered"
    if progress.calls is not None:
        text += f", {counted(progress.calls, 'call')} made"
    return text + (f", about {progress.calls_left} left" if progress.calls_left is not None else "")


def _unforeseen(provider: Provider, error: Exception) -> ProviderError:
    """Return what a provider raised and should not have raised as an error of it, with the place and without keys."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return ProviderError(
        f"provider {provider.name!r} failed in {frame.name} ({frame.filename}:{frame.lineno}):"
        f" {type(error).__name__}: {error}",
        provider=provider.name,
    )


def _request(partitions: Sequence[Partition]) -> BarRequest:
    symbols = list(dict.fromkeys(partition.symbol for partition in partitions))
    return BarRequest(symbols, partitions[0].timeframe, partitions[0].start, partitions[-1].end)
