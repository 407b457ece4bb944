"""What is known of where a bar's values come from, as plain values that a person or a program can read.

Not here: how it is found (``trace``, ``publications``, ``missing``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider answered to one request.

    Attributes:
        provider: name of the provider.
        requested_at: when the request was sent, UTC.
        start: begin of what was requested, UTC, inclusive.
        end: its end, UTC, exclusive.
        rows: number of bars that came, of all its symbols; None where the answer did not land.
        path: of its file, below the landing zone's root; None where the answer did not land.
        deleted_at: when the file was deleted because of its age, UTC; None while it is there.
        file: the file of a person's own that the bar was read from; None of a provider that reads no files.
    """

    provider: str
    requested_at: datetime
    start: datetime
    end: datetime
    rows: int | None = None
    path: str | None = None
    deleted_at: datetime | None = None
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """A bar that the gate rejected, and what became of it.

    Attributes:
        quarantine_id: number of its entry in quarantine.
        provider: name of the provider that had sent it.
        rejected_at: when it was rejected first, UTC.
        broken: the rules that this bar broke; empty where its whole batch was rejected for another reason.
        reason: why the gate rejected it, or its batch, in words.
        run_id: the orchestrator's number of the run in which that was; None where it was not recorded.
        rules: version of the gate's rules; None where it was not recorded.
        answer: the provider's answer that it came with; None where it did not land.
        released_at: when a person released it, UTC; None where nobody did.
        released_by: name of that person; None where it was not recorded.
        release_reason: why that person did.
        replaced: whether the provider sent something else for its session since. (Known of the present alone.)
    """

    quarantine_id: int
    provider: str
    rejected_at: datetime
    broken: Sequence[str]
    reason: str
    run_id: str | None
    rules: str | None
    answer: Answer | None
    released_at: datetime | None
    released_by: str | None
    release_reason: str | None
    replaced: bool


@dataclass(frozen=True, slots=True)
class Publication:
    """The transaction that made some values the present ones.

    Attributes:
        publication_id: its number in the log.
        known_at: from when on its values were known, UTC.
        kind: ``ingest``, ``roll-up``, or ``release of quarantine`` and the number of the entry.
        recorded: False of a publication by a version of Chandlery that did not record where its bars come from; then
            the rest is None.
        run_id: the orchestrator's number of the run; None outside of a run.
        rules: version of the rules by which the gate audited the bars; None of roll-ups, whose base bars it audited.
        calendar: name of the instrument's calendar, and version of its rules.
        answer: the provider's answer that the bar came with; None of roll-ups.
        release: the rejection of these values that a person undid; None where the gate had accepted them.
    """

    publication_id: int
    known_at: datetime
    kind: str
    recorded: bool
    run_id: str | None = None
    rules: str | None = None
    calendar: str | None = None
    answer: Answer | None = None
    release: Rejection | None = None


@dataclass(frozen=True, slots=True)
class BaseBars:
    """Base bars that a derived bar was computed from, as many as one publication made known.

    Attributes:
        timeframe: of the base bars.
        bars: how many.
        first: start of the first, UTC.
        last: start of the last, UTC, inclusive.
        publication: which made them known; None where the log does not have it.
    """

    timeframe: str
    bars: int
    first: datetime
    last: datetime
    publication: Publication | None


@dataclass(frozen=True, slots=True)
class Value:
    """The values that a bar had for some time, and where they come from.

    Attributes:
        known_at: from when on they were believed, UTC.
        superseded_at: until when they were believed, UTC, exclusive; None where they are, or were at ``as_of``, the
            present ones.
        bar: ``open high low close volume vwap trades``, by name.
        source: provider, configured name and feed.
        publication: that made them known; None where the log does not have it.
        derived_from: the base bars of a derived bar, as they were then, newest publication first.
    """

    known_at: datetime
    superseded_at: datetime | None
    bar: Mapping[str, float | int | None]
    source: str
    publication: Publication | None
    derived_from: Sequence[BaseBars] = ()


@dataclass(frozen=True, slots=True)
class Missing:
    """Why there is no bar.

    Attributes:
        state: of its session, as ``chandlery coverage`` has it; ``outside`` where no session is open at the time;
            ``not_known``: there is one, but it was not known as of that time; ``not_derived``: its base bars are there,
            and it waits to be computed.
        explanation: a sentence for a person.
        session: the date of the session, or of the first of them; None where there is none.
        requested: whether a provider answered for the session.
        final: whether it is final.
        final_at: since when, UTC.
        last_answer: the last landed answer for that time; None where none landed.
        tries: how often the session was requested again.
        next_try: before when it is not requested again, UTC.
    """

    state: str
    explanation: str
    session: date | None = None
    requested: bool = False
    final: bool = False
    final_at: datetime | None = None
    last_answer: Answer | None = None
    tries: int = 0
    next_try: datetime | None = None


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a bar comes from, and what it was before.

    Attributes:
        symbol: canonical symbol of the instrument.
        timeframe: of the bar.
        ts: its start, UTC.
        as_of: of when this is the answer, UTC; None for the present.
        values: every value that the bar had, newest first; empty where there is no bar.
        missing: why there is none; None where there is one.
        rejections: the bars of that time that the gate rejected, newest first, whatever became of them.
    """

    symbol: str
    timeframe: str
    ts: datetime
    as_of: datetime | None
    values: Sequence[Value]
    missing: Missing | None
    rejections: Sequence[Rejection]

    def to_dict(self) -> dict[str, object]:
        """Return all of it as dictionaries, lists, numbers and text (times in ISO 8601), fit for JSON."""
        plain = _plain(self)
        assert isinstance(plain, dict)  # noqa: S101 - of a dataclass
        return plain


def _plain(value: object) -> object:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value
