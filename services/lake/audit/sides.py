"""What a state of the lake is held against, and when it may be: once it has all that the state has."""

import asyncio
from collections.abc import Mapping
from typing import Final, Protocol

from auditing.report import Compared
from common.errors import TryLater
from lake.audit.since import Since
from lake.audit.state import LakeState

_LOOK_EVERY_S: Final = 0.5


class Side(Protocol):
    """A store beside the lake: looked at first, compared once it is known what came meanwhile."""

    between: str

    async def positions(self) -> Mapping[int, int]:
        """The next offset of each partition: all before it is in the store."""

    async def look(self) -> None: ...
    async def compare(self, since: Since) -> Compared: ...


async def look(side: Side, state: LakeState, patience_s: float) -> str | None:
    """Look at `side` once it is where the lake is; why that was not possible, if it was not."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_s
    try:
        while behind := _behind(await side.positions(), state.positions):
            if loop.time() >= deadline:
                return f"{behind} messages that the lake has were not in it after {patience_s:g} seconds"
            await asyncio.sleep(_LOOK_EVERY_S)
        await side.look()
    except TryLater as away:
        return str(away)
    return None


def _behind(theirs: Mapping[int, int], ours: Mapping[int, int]) -> int:
    return sum(max(0, position - theirs.get(number, 0)) for number, position in ours.items())
