"""The HTTP face: customers' and operator's routes and pages; app hands it a ``Service``."""
