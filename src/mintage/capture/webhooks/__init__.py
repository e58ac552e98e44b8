"""Notices that leave by webhook: an outbox, its endpoints, who sends; called by ``app``."""
