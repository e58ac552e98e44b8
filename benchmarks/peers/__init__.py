"""What others would write, each a script in an environment of its own; imports no Mintage."""
