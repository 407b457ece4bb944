"""The data version of a partition's materialization: when its bars changed last, ``known_at`` of that publication.

By it, what Dagster has on record is compared with the store, and downstream assets show as stale. Not here: what a
person sees (``metadata``).
"""

from datetime import UTC, datetime

#: Dagster's tag of a data version.
DATA_VERSION = "dagster/data_version"
#: Version of a partition that has no bars, as it should.
NOTHING = "nothing"


def version_tag(changed_at: datetime | None) -> dict[str, str]:
    """Return the tag of a materialization.

    Args:
        changed_at: ``known_at`` of the publication that changed the partition last, UTC; None where it has no bars.
    """
    version = NOTHING if changed_at is None else changed_at.astimezone(UTC).isoformat(timespec="microseconds")
    return {DATA_VERSION: version}


def parse_version(version: str | None) -> datetime | None:
    """Return the time that a version stands for, UTC; None for no version, or one that is not ours."""
    try:
        moment = datetime.fromisoformat(version or "")
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
