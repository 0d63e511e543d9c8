"""What the HTTP apps share: problems, keys, traces and metrics of requests. Workers do not import it."""
