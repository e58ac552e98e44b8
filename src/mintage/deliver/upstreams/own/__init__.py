"""Language models of one's own: the servers that answer for them, begun and kept going here."""
