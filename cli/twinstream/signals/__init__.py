"""The commands about alerts, where they go, and when they do not."""
