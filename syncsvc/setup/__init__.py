"""The first set-up by clicks: an App made at GitHub or pasted, a token, the first sync (R2.1, R19.4)."""
