"""Which records are let into the log, and what is told of the others. Pure. `ingest` goes by it, and so do replays."""
