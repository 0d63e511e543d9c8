"""How the documents of two generations differ: by this a rebuild is judged before it may answer."""

import asyncio
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from common.concurrency import pause
from documents.generations import Generations

_AGAIN_AFTER_S: Final = 2.0
_SUSPECTS: Final = 10_000  # looked at once more together
_NAMED: Final = 100


@dataclass
class Ids:
    """How many there are; the first of them by name."""

    count: int = 0
    named: list[str] = field(default_factory=list)

    def take(self, ids: Collection[str]) -> None:
        self.count += len(ids)
        self.named += list(ids)[: _NAMED - len(self.named)]


@dataclass
class Compared:
    """How the new documents differ from the old ones."""

    old: int = 0
    new: int = 0
    missing: Ids = field(default_factory=Ids)
    different: Ids = field(default_factory=Ids)

    @property
    def missing_percent(self) -> float:
        """How many of the old ones the new ones lack."""
        return 100 * self.missing.count / max(1, self.old)


async def compare(generations: Generations, old: int, new: int) -> Compared:
    """Look at every document of `old` in `new`, too; at those that differ once more, since records come meanwhile.

    Raises:
        TryLater: MongoDB is away.
    """
    compared, suspects = Compared(), list[str]()
    async for page in generations.pages(old):
        documents = {one["_id"]: one for one in page}
        suspects += _unlike(documents, await generations.find(new, documents))
        if len(suspects) >= _SUSPECTS:
            await _look_again(generations, old, new, suspects, compared)
            suspects = []
        await generations.keep()
    await _look_again(generations, old, new, suspects, compared)
    compared.old, compared.new = await generations.count(old), await generations.count(new)
    return compared


async def _look_again(
    generations: Generations, old: int, new: int, suspects: Collection[str], compared: Compared
) -> None:
    if not suspects:
        return
    await pause(asyncio.Event(), _AGAIN_AFTER_S)
    found = await generations.find(new, suspects)
    unlike = list(_unlike(await generations.find(old, suspects), found))
    compared.missing.take([id_ for id_ in unlike if id_ not in found])
    compared.different.take([id_ for id_ in unlike if id_ in found])


def _unlike(old: Mapping[str, dict[str, Any]], new: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """The ids of old documents whose records the new ones do not have."""
    for id_, document in old.items():
        if id_ not in new or _record(document) != _record(new[id_]):
            yield id_


def _record(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "erased_through"}
