"""Archives beside each other: which name a new one gets, and which of the old ones go."""

from pathlib import Path

from archive.kept import called_by_moment, forget_all_but

NOW_MS = 1_795_423_020_000


def test_a_name_says_when(tmp_path: Path) -> None:
    """In UTC, to the second, so that names are in the order of their making."""
    assert called_by_moment(tmp_path / "kept.jsonl", NOW_MS).name == "kept-20261123T083700Z.jsonl"
    later = called_by_moment(tmp_path / "kept.jsonl", NOW_MS + 86_400_000)
    assert later.name > called_by_moment(tmp_path / "kept.jsonl", NOW_MS).name


def test_the_oldest_go_and_nothing_else(tmp_path: Path) -> None:
    """Neither what is called by another name, nor what is called by none of ours."""
    ours = [called_by_moment(tmp_path / "kept.jsonl", NOW_MS + day * 86_400_000) for day in range(5)]
    others = [tmp_path / name for name in ("kept.jsonl", "kept-before-the-move.jsonl", "mine-20261123T083700Z.jsonl")]
    for path in [*ours, *others]:
        path.touch()
    forget_all_but(tmp_path / "kept.jsonl", 2)
    assert set(tmp_path.iterdir()) == {*ours[3:], *others}
    forget_all_but(tmp_path / "kept.jsonl", 2)
    assert set(tmp_path.iterdir()) == {*ours[3:], *others}
