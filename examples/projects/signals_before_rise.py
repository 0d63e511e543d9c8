"""Which words come before a rise in B: `python examples/projects/signals_before_rise.py --step-minutes 60`.

Time is cut into steps. A step comes before a rise when the next one has half as many B again. For each word: how often
it stands in the texts of such steps, against how often in all others. Writes the table and a plot beside each other.
"""

import argparse
from pathlib import Path

import matplotlib as mpl
import polars as pl

from twinstream_lake.lake import Lake, open_lake

mpl.use("Agg")
import matplotlib.pyplot as plt

RISE = 1.5
LEAST_TEXTS = 5

WORDS = """
    SELECT time_bucket(to_minutes($step), event_time) AS step, word, count(*) AS texts
    FROM (SELECT event_time, unnest(list_distinct(regexp_extract_all(lower(text), '\\w{4,}'))) AS word FROM b)
    GROUP BY ALL
"""
STEPS = "SELECT time_bucket(to_minutes($step), event_time) AS step, count(*) AS records FROM b GROUP BY ALL"


def words_before_rises(lake: Lake, step_minutes: int) -> pl.DataFrame:
    """Words with their lift: their rate before rises, divided by their rate at all other times."""
    step = {"step": step_minutes}
    steps = pl.DataFrame(pl.from_arrow(lake.sql(STEPS, step).to_arrow_table())).sort("step")
    steps = steps.with_columns(rises=pl.col("records").shift(-1).fill_null(0) >= RISE * pl.col("records"))
    words = pl.DataFrame(pl.from_arrow(lake.sql(WORDS, step).to_arrow_table())).join(steps, on="step")
    before = pl.col("rises")
    totals = steps.select(before=pl.col("records").filter(before).sum(), else_=pl.col("records").filter(~before).sum())
    counted = words.group_by("word").agg(
        before=pl.col("texts").filter(before).sum(), otherwise=pl.col("texts").filter(~before).sum()
    )
    rated = counted.filter(pl.col("before") >= LEAST_TEXTS).with_columns(
        rate_before=pl.col("before") / max(1, totals["before"].item()),
        rate_otherwise=(pl.col("otherwise") + 1) / (max(1, totals["else_"].item()) + 1),
    )
    return rated.with_columns(lift=pl.col("rate_before") / pl.col("rate_otherwise")).sort(
        ["lift", "word"], descending=[True, False]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step-minutes", type=int, default=60)
    parser.add_argument("--output", type=Path, default=Path())
    options = parser.parse_args()
    found = words_before_rises(open_lake(), options.step_minutes).head(20)
    print(found.select("word", "before", "otherwise", "lift"))
    found.write_csv(options.output / "signals_before_rise.csv")
    figure, axes = plt.subplots(figsize=(8, 6))
    axes.barh(found["word"].reverse().to_list(), found["lift"].reverse().to_list())
    axes.set_xlabel("rate before a rise / rate otherwise")
    figure.tight_layout()
    figure.savefig(options.output / "signals_before_rise.png")


if __name__ == "__main__":
    main()
