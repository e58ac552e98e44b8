"""Data sets that Mintage makes by itself, for its demo and its tests; anyone may call them."""
