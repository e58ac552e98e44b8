"""Encryption at rest: keys that wrap keys, sealed values and sealed files; called by ``app``."""
