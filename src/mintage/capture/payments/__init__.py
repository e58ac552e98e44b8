"""Who collects money: providers, and what is written of what they say; called by ``app``."""
