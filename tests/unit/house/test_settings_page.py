"""docs/settings.md says what the services read."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_page_of_settings_is_what_the_services_read() -> None:
    """A setting that is added or reworded is written into docs/settings.md with it."""
    page = runpy.run_path(str(ROOT / "tools/settings_page.py"))["page"]()
    assert (ROOT / "docs/settings.md").read_text(encoding="utf-8") == page


def test_readme_names_no_setting_that_there_is_not() -> None:
    """Every variable that the README names is read by a service, or belongs to the local default."""
    known = (ROOT / "docs/settings.md").read_text()
    named = {word.strip("`,|()") for word in (ROOT / "README.md").read_text().split() if "TWINSTREAM_" in word}
    assert {name for name in named if f"`{name}`" not in known} == set()
