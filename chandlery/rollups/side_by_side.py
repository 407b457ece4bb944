"""Doing several independent pieces of work at a time, each in a thread, while their results come in order.

While the server writes what one piece sent, the next is read and computed. Not here: what the pieces are (``refresh``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeAlias, TypeVar

_Piece = TypeVar("_Piece")
_Result = TypeVar("_Result")
#: What a piece yielded, and what it failed with.
_Outcome: TypeAlias = tuple[list[_Result], Exception | None]


def side_by_side(
    work: Callable[[_Piece], Iterable[_Result]], pieces: Sequence[_Piece], at_once: int
) -> Iterator[_Result]:
    """Yield what ``work`` yields of each of ``pieces``, in their order.

    Where a piece fails, no other is begun. Those under way are finished, and the error is raised after their results.

    Args:
        work: called in a thread of its own, unless there is a single piece.
        pieces: none depends on another.
        at_once: how many are worked on at the same time; at most one more than that has results which were not taken.
    """
    if len(pieces) < 2 or at_once < 2:
        for piece in pieces:
            yield from work(piece)
        return
    with ThreadPoolExecutor(at_once, thread_name_prefix="side-by-side") as pool:
        waiting = iter(pieces)
        under_way = deque(_submit(pool, work, islice(waiting, at_once)))
        failure: Exception | None = None
        while under_way:
            results, error = under_way.popleft().result()
            failure = failure or error
            if failure is None:
                under_way += _submit(pool, work, islice(waiting, 1))
            yield from results
        if failure is not None:
            raise failure


def _submit(
    pool: ThreadPoolExecutor, work: Callable[[_Piece], Iterable[_Result]], pieces: Iterable[_Piece]
) -> list[Future[_Outcome[_Result]]]:
    return [pool.submit(_finish, work, piece) for piece in pieces]


def _finish(work: Callable[[_Piece], Iterable[_Result]], piece: _Piece) -> _Outcome[_Result]:
    results: list[_Result] = []
    try:
        results.extend(work(piece))
    except Exception as error:  # noqa: BLE001 - raised in the thread that takes the results
        return results, error
    return results, None
