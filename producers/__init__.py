"""Traffic: synthetic events with drift on a schedule, files and recorded logs as records, capture of topics."""
