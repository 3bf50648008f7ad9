"""Random graphs, and a checker that runs a graph every way there is."""

from .check import MODES, Mismatch, check, check_program
from .random_programs import RandomProgram, generate

__all__ = ["MODES", "Mismatch", "RandomProgram", "check", "check_program", "generate"]
