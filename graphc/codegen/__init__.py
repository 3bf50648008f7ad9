"""Kernels as source text: a shared expression printer, one printer per target, and the scalar functions they call."""
