"""What `twinstream up` does while it is in the foreground."""
