"""Rolling counts: keeps the windows in Redis up to date from the log."""
