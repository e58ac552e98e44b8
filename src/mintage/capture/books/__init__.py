"""What is owed and why: usage by the hour, invoices, the ledger. ``app`` alone calls it."""
