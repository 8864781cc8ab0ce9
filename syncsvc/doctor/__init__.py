"""The doctor: what keeps the mirror from being right, and what to do about it (R19.4, R6.5)."""
