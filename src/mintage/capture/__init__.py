"""Value captured: customers, keys, plans, usage and receipts; only ``app`` may call it."""
