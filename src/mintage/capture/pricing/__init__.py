"""What things cost, by arithmetic alone; the other rooms of ``capture`` call it."""
