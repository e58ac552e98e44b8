"""Where a chosen model answers: products, their versions, the engine, and scores in bulk.

Called by app alone.
"""
