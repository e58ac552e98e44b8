"""Each figure that we publish, measured beside its peer; run by ``make bench`` and the like."""
