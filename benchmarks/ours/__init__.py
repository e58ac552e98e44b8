"""What stands beside the peers, each a process of its own that begins at the files."""
