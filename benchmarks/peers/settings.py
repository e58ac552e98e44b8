"""What servers that are measured beside ours are told."""

BUNDLE = "BENCHMARK_BUNDLE"
"""The environment variable with the folder of the bundle whose graph they answer from."""
BATCH = 32
"""How many inputs those that make batches put together at most."""
