"""Audits of what is derived from the log: the documents, to hold other stores against, and what is told of it."""
