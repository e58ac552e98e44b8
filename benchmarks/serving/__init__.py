"""What is measured of serving: servers, those who load them, the cells, and their tables."""
