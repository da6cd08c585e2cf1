"""The ledger: tables, queries in domain words, units of work, migrations."""
