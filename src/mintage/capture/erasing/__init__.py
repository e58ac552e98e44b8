"""Erasing a customer: what goes, and what the law has a seller keep; called by ``app``."""
