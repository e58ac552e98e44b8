"""What comes out: one module a task, each with its output's shape and its metrics."""
