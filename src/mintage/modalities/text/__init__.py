"""Texts: conversations, from which a language model learns to answer."""
