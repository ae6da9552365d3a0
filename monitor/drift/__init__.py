"""The sequential core: whether a lane has left its reference, from the counts of its panes."""
