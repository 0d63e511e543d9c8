"""Speaks OpenTelemetry's protocol: the only importer of its packages."""
