"""Language models by OpenAI's API: what its clients send, and what they get."""
