"""Signals: `scan` finds them in records and writes alerts to the log, `notifier` tells people. Two processes."""
