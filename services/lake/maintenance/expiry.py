"""Expiry: old snapshots go, and with them every file that nothing refers to any more.

pyiceberg takes snapshots out of the metadata and leaves their files; so do writers that died before their commit.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.fs

from common.clock import Clock
from twinstream_lake.catalog import Catalog, translated

if TYPE_CHECKING:
    from pyiceberg.manifest import ManifestFile
    from pyiceberg.table import Table


@dataclass(frozen=True)
class Keep:
    """How long, and how many, snapshots are kept; none is given up within the grace.

    The grace must be longer than any query and any commit: a query reads the files of a snapshot that may have gone, a
    commit has written files that nothing refers to yet.
    """

    age_ms: int
    snapshots: int
    grace_ms: int


class Expired(NamedTuple):
    """What an expiry came to."""

    table: str
    snapshots: int
    files: int
    bytes: int


class Expiry:
    """The expiry of one table; every call blocks."""

    def __init__(self, catalog: Catalog, table: str, clock: Clock, keep: Keep) -> None:
        self._catalog = catalog
        self._name = table
        self._clock = clock
        self._keep = keep

    def run(self) -> Expired:
        """Give up what is old.

        Raises:
            Reposition: another commit came in between: try again.
            TryLater: the catalog or the files are away.
        """
        expired = self._expire()
        table = self._catalog.load(self._name)
        with translated(f"a cleaning of {self._name}"):
            orphans = self._orphans(table)
            system, _ = _file_system(table)
            for orphan in orphans:
                system.delete_file(orphan.path)
        return Expired(self._name, expired, len(orphans), sum(orphan.size for orphan in orphans))

    def _expire(self) -> int:
        table = self._catalog.load(self._name)
        now_ms = self._clock.now_ms()
        newest = sorted(table.snapshots(), key=lambda one: one.timestamp_ms, reverse=True)
        heads = {ref.snapshot_id for ref in table.metadata.refs.values()}
        old = [
            one.snapshot_id
            for place, one in enumerate(newest)
            if one.snapshot_id not in heads
            and one.timestamp_ms < now_ms - self._keep.grace_ms
            and (one.timestamp_ms < now_ms - self._keep.age_ms or place >= self._keep.snapshots)
        ]
        if old:
            with translated(f"an expiry of {self._name}"):
                table.maintenance.expire_snapshots().by_ids(old).commit()
        return len(old)

    def _orphans(self, table: "Table") -> list[pa.fs.FileInfo]:
        system, root = _file_system(table)
        found = system.get_file_info(pa.fs.FileSelector(root, recursive=True, allow_not_found=True))
        before = datetime.fromtimestamp((self._clock.now_ms() - self._keep.grace_ms) / 1000, UTC)
        # Listed first, read afterwards: a file that comes in between is not on the list.
        referred = _referred(self._catalog.load(self._name), system)
        return [one for one in found if one.is_file and one.mtime < before and one.path not in referred]


def _referred(table: "Table", system: pa.fs.FileSystem) -> set[str]:
    """Every file that the table's metadata lead to."""
    paths = {table.metadata_location, *(entry.metadata_file for entry in table.metadata.metadata_log)}
    manifests: dict[str, ManifestFile] = {}
    for snapshot in table.snapshots():
        paths.add(snapshot.manifest_list)
        manifests |= {manifest.manifest_path: manifest for manifest in snapshot.manifests(table.io)}
    paths |= manifests.keys()
    for manifest in manifests.values():
        paths |= {entry.data_file.file_path for entry in manifest.fetch_manifest_entry(table.io)}
    return {_path(system, path) for path in paths}


def _file_system(table: "Table") -> tuple[pa.fs.FileSystem, str]:
    system, root = pa.fs.FileSystem.from_uri(table.location())
    return system, root


def _path(system: pa.fs.FileSystem, location: str) -> str:
    """How `system` itself calls a file."""
    return str(system.normalize_path(location.partition("://")[2] if "://" in location else location))
