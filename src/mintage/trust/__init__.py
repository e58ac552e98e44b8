"""Why believe it: keys, signatures and the audit log; called by bundle and the rooms above it."""
