"""Records on their way to ingest: read, packed into waves, delivered, tallied.

    lines ─► waves ─► delivery ─► tally
                         └─► checkpoint (send), reporter

A wave is what is in flight at once. Its batches are lanes: all records of one id are in one lane, in their order, and
the next wave leaves when the last one is wholly acknowledged. So several requests run side by side and yet no record
overtakes another of its id.
"""
