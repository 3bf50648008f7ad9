"""Mutants that no test can notice, or that none needs to: each with the reason. See `mutations.py`."""

EXPLAINED: dict[str, str] = {}
