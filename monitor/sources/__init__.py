"""Where a replay and a reference get their records: captured logs, plain files, ranges of topics."""
