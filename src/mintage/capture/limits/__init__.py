"""What calls are held against: a plan's limits, a key's budget, a customer's credit."""
