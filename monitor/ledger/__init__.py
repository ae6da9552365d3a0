"""What flows between the stages: the entries of the ledger and the position records, as values and as bytes."""
