"""Rolling windows in Redis: what stands where, how it is read. `aggregates` writes it, `query-api` reads it."""
