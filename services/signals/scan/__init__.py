"""Matches rules on every record that comes, and writes an alert for each that holds."""
