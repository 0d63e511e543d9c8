"""The newest versions in the lake beside the documents, row by row: stretches of ids, and all that either has there."""

import asyncio
from collections.abc import Mapping
from typing import Final

from auditing.documents import Documents, Stretch
from auditing.report import Compared
from common.contracts import StoredA
from lake.audit.since import Since
from lake.audit.state import LakeState

_STRETCHES: Final = 10
_LONGEST: Final = 5_000


class AgainstDocuments:
    """Compares one stream's newest versions with about `count` of its documents; all of them where there are fewer."""

    between = "lake and documents"

    def __init__(self, state: LakeState, documents: Documents, count: int) -> None:
        self._state = state
        self._documents = documents
        self._count = count
        self._seen: list[tuple[str, Stretch]] = []

    async def positions(self) -> Mapping[int, int]:
        """Where the documents stand.

        Raises:
            TryLater: MongoDB is away.
        """
        return await self._documents.positions(1 + max(self._state.positions, default=-1))

    async def look(self) -> None:
        """Read the documents behind places left to chance.

        Raises:
            TryLater: MongoDB is away, or the lake is.
        """
        size = min(_LONGEST, max(1, self._count // _STRETCHES))
        places = await asyncio.to_thread(self._state.places, self._count, -(-self._count // size))
        for place in places or [""]:
            after: str | None = place
            while after is not None:
                stretch = await self._documents.stretch(after, size)
                self._seen.append((after, stretch))
                after = None if places else stretch.last

    async def compare(self, since: Since) -> Compared:
        """Hold the lake against what was seen, but for ids that something came of since.

        Raises:
            TryLater: the lake is away.
        """
        looked_at, drift = set[str](), dict[str, str]()  # stretches may overlap
        for after, stretch in self._seen:
            rows = await asyncio.to_thread(self._state.newest, after, stretch.last)
            ids = (rows.keys() | stretch.documents.keys()) - since.ids
            looked_at |= ids
            drift |= {id_: fault for id_ in ids if (fault := _fault(id_, rows, stretch.documents))}
        return Compared(self._state.stream, self.between, len(looked_at), "ids", drift)


def _fault(id_: str, rows: Mapping[str, StoredA], documents: Mapping[str, StoredA]) -> str | None:
    row, document = rows.get(id_), documents.get(id_)
    if row is None or document is None:
        return "the lake does not have it" if row is None else "the documents do not have it"
    names = [name for name in row.__struct_fields__ if getattr(row, name) != getattr(document, name)]
    return f"{', '.join(names)}: others than in its document" if names else None
