"""Where a chosen model answers: products, their versions, and the engine; called by app alone."""
