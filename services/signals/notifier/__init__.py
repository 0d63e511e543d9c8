"""Notifier: keeps alerts, and delivers them to Slack and webhooks, surely and once."""
