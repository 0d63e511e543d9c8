"""Whether what the windows say of an id is right: in itself, and beside a record of it. Pure; None where it is."""

from collections.abc import Mapping

from aggregates.inspection import Seen
from aggregates.revisions import Revisions
from common.contracts import Record, version_of


def inward(seen: Seen, names: Mapping[int, str]) -> str | None:
    """Whether the sets agree with the head."""
    if seen.version is None:
        return None
    if seen.listed_at != seen.version.event_time:
        return f"listed at {seen.listed_at}, its head says {seen.version.event_time}"
    if seen.parent and seen.of_at != seen.version.event_time:
        return f"listed under its parent at {seen.of_at}, its head says {seen.version.event_time}"
    for revision, score in seen.held_at.items():
        expected = seen.version.event_time if revision in seen.held else None
        if score != expected:
            return f"listed under {names[revision]} at {score}, its head says {expected}"
    return None


def outward(seen: Seen, record: Record | None, revisions: Revisions, verge_ms: int, source: str) -> str | None:
    """Whether the head is at least as new as a record, and says what it says where it is the same.

    Args:
        seen: what the windows say.
        record: that of the same id, if there is one.
        revisions: the conditions that are looked at.
        verge_ms: an event time that does not lie behind it is on the verge of leaving the horizon, or has left it.
        source: who has the record, such as "the log has".
    """
    if record is None or record.event_time <= verge_ms:
        return None
    version = version_of(record)
    if seen.version is None or seen.version < version:
        return f"{source} version {version}, the windows have {seen.version}"
    if seen.version > version:
        return None
    if seen.parent != getattr(record, "a_id", ""):
        return "its parent is another"
    held = set(revisions.compiled.match(record).held)
    return None if held == seen.held & revisions.conditions.keys() else "the conditions that it holds are others"
