"""Language models: conversations collected, weights fine-tuned, the model signed; for ``app``."""
