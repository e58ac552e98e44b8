"""What the tables say is held against the audit log, which nobody can rewrite unseen."""
