"""Derivatives as graph transformations: a graph goes in, a graph comes out, so they nest."""
