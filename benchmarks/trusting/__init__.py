"""Measuring what trust costs: the audit log's leaves, heads and proofs, and what is signed."""
