"""A workspace's weaknesses: what could let others in, or what nobody would believe; ``root`` joins.

Each module asks about one thing and yields what it finds, with the remedy.
"""
