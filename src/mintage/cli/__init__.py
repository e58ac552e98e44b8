"""The terminal face: one module a group of verbs. Results on stdout, words and bars on stderr."""
