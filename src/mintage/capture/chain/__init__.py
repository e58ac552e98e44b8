"""From an invoice to all that it rests on: the evidence as a file, and the checks of it."""
