"""Personal data in texts: found by its form, replaced, put back; for what sends texts away."""
