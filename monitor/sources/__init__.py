"""Sources of the records of a replay and of a reference: captured logs, plain files, ranges of topics."""
