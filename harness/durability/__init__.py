"""What was acknowledged must be there: the ledger of writes, the readers, the reconciliation."""
