"""Webhooks: the door, what became of each delivery, GitHub's own log of them, and gaps."""
