"""A small harness: ratios against a ceiling of the same run, medians with spread, kept as data."""
