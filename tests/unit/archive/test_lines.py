"""An archive is whole or it is none."""

from pathlib import Path

import pytest

from archive.lines import Head, check, document, entry, read, writing
from common.errors import CannotStart

HEAD = Head(archive=1, version="0.1.0", made_at="2026-11-26T02:00:00.000Z")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "kept"
    with writing(path, HEAD) as writer:
        writer.add(entry("rule/x", b'{"end":{"control":1}}'))
        writer.add(document("alerts", '{"_id": "1"}'))
    return path


def test_what_was_added_is_read_in_its_order(archive: Path) -> None:
    """Values are passed on as they are, whatever is in them."""
    first, second = read(archive)
    assert (first.control, bytes(first.value)) == ("rule/x", b'{"end":{"control":1}}')
    assert (second.collection, bytes(second.document)) == ("alerts", b'{"_id": "1"}')
    assert check(archive) == {"control": 1, "alerts": 1}


@pytest.mark.parametrize("value", [b"garbage", b"{", b'{"a":\n1}', b"\xff", b"", b'{"a": 1} ', b"1e400", b'"\xff"'])
def test_a_value_may_be_anything(tmp_path: Path, value: bytes) -> None:
    """Control keeps what it cannot read, and one such entry does not make the whole archive unreadable."""
    with writing(tmp_path / "kept", HEAD) as writer:
        writer.add(entry("rule/x", value))
        writer.add(entry("rule/y", b"{}"))
    assert [item.entry for item in read(tmp_path / "kept")] == [value, b"{}"]
    assert check(tmp_path / "kept") == {"control": 2}


@pytest.mark.parametrize("cut", [2, 30, 60, 100])
def test_a_file_that_was_cut_off_is_refused(archive: Path, cut: int) -> None:
    """Wherever: before anything was put back."""
    archive.write_bytes(archive.read_bytes()[:-cut])
    with pytest.raises(CannotStart, match=r"not whole|cannot be read|last line"):
        check(archive)


def test_a_file_that_lost_a_line_is_refused(archive: Path) -> None:
    """Its last line tells how many there were."""
    lines = archive.read_bytes().splitlines(keepends=True)
    archive.write_bytes(b"".join([lines[0], lines[1], lines[3]]))
    with pytest.raises(CannotStart, match="last line"):
        check(archive)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no archive"),
        (b"hello\n", "no archive"),
        (b'{"archive":2,"version":"9.0.0","made_at":""}\n', "later versions"),
    ],
)
def test_what_is_no_archive_of_ours_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    """With the version that wrote it, where it tells one."""
    (tmp_path / "kept").write_bytes(content)
    with pytest.raises(CannotStart, match=says):
        check(tmp_path / "kept")


def test_what_fails_in_between_leaves_nothing(tmp_path: Path) -> None:
    """Neither half an archive nor a scrap beside it."""
    with pytest.raises(RuntimeError), writing(tmp_path / "kept", HEAD):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
