"""Usage events beside their leaves on the audit log; for ``books`` and ``checking``."""
