"""A model looked over again: is it what was signed, does it answer as it did, what does it leak.

Nothing here loads a training framework; ``app.model_audit`` asks, signs and logs.
"""
