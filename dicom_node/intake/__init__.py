"""Taking objects over: a durable file and a row in the ledger, then success."""
