"""Proof that gradients are right: SymPy, 50 digits, differences, forward against reverse, compiled code."""
