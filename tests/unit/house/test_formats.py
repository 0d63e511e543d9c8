"""What is written now is what was kept of this version: a format does not change unnoticed."""

import runpy
from pathlib import Path

from common.contracts import TOPICS, ControlKind

ROOT = Path(__file__).parents[3]
FORMATS = runpy.run_path(str(ROOT / "tools/formats.py"))


def test_this_version_writes_what_was_kept_of_it() -> None:
    """Whoever changes what is written gives it a version of its own first, or keeps the unreleased one anew."""
    kept = FORMATS["FORMATS"] / FORMATS["VERSION"] / "log.jsonl"
    assert kept.read_text(encoding="utf-8") == FORMATS["lines"](), "run tools/formats.py, see docs/upgrades.md"


def test_every_topic_and_kind_of_entry_is_kept() -> None:
    """A topic or a kind that is added is kept from its first version on."""
    written = list(FORMATS["messages"]())
    assert {topic for topic, _ in written} == {topic.name for topic in TOPICS}
    kinds = {message.key.decode().partition("/")[0] for topic, message in written if topic == "control"}
    assert kinds == {kind.value for kind in ControlKind}
