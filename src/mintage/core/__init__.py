"""The words everything else shares; imports nothing of Mintage, and everyone may import it."""
