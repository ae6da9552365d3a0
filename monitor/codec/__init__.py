"""Bytes to values and back: input events, dead letters, chunks of our own records, the captured log."""
