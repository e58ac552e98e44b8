"""Pictures: reading them safely (no torch), and the networks that learn from them (torch)."""
