"""The chaos suite: real processes, killed, cut off and starved on purpose, and what must hold all the same.

Run by `make chaos` (`python -m tests.chaos`), not by pytest. docs/reliability.md says what it shows.
"""
