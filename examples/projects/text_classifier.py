"""What a text says about its number: `python examples/projects/text_classifier.py`.

A linear classifier on words and pairs of words tells B with a number above the median from the others; a part that it
never saw says how well. Prints that and the words that weigh most, and writes a plot of the trade-off.
"""

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from twinstream_lake.lake import open_lake

mpl.use("Agg")
import matplotlib.pyplot as plt

SAMPLE = 50_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path())
    options = parser.parse_args()
    lake = open_lake()
    sample = lake.sql(f"SELECT text, number FROM b ORDER BY hash(unique_identifier) LIMIT {SAMPLE}").to_arrow_table()
    texts, numbers = sample["text"].to_pylist(), sample["number"].to_numpy()
    large = numbers > np.median(numbers)
    seen, unseen, large_seen, large_unseen = train_test_split(texts, large, test_size=0.3, random_state=0)
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), min_df=3, max_features=50_000), LogisticRegression())
    model.fit(seen, large_seen)
    scores = model.predict_proba(unseen)[:, 1]
    area = roc_auc_score(large_unseen, scores)
    print(f"{len(texts):,} texts; area under the curve on unseen ones: {area:.3f} (0.5 is a coin)")
    words = model[0].get_feature_names_out()
    weights = model[1].coef_[0]
    print("towards large numbers:", ", ".join(words[np.argsort(weights)[::-1][:10]]))
    false_alarms, hits, _ = roc_curve(large_unseen, scores)
    figure, axes = plt.subplots(figsize=(6, 6))
    axes.plot(false_alarms, hits)
    axes.plot([0, 1], [0, 1], linestyle=":")
    axes.set_xlabel("false alarms")
    axes.set_ylabel("hits")
    figure.savefig(options.output / "text_classifier.png")


if __name__ == "__main__":
    main()
