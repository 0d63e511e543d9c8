"""The page of errors says what the tables say."""

from pathlib import Path

from common.problems import PROBLEMS, QUERY, REBUILD, RECORD, START
from common.problems_page import page

PAGE = Path(__file__).parents[3] / "docs/errors.md"


def test_the_page_is_up_to_date() -> None:
    """A code that is added or reworded is written into docs/errors.md with it."""
    assert PAGE.read_text() == page(), "run: .venv/bin/python -m common.problems_page > docs/errors.md"


def test_the_page_names_every_code() -> None:
    """Nobody meets a code that is not listed."""
    listed = {line.split("`")[1] for line in page().splitlines() if line.startswith("| `")}
    assert listed == set(PROBLEMS) | set(RECORD) | set(QUERY) | set(REBUILD) | set(START)
