"""Usage by the hour: what invoices and economics are computed from."""
