"""What a volume run does with each random program: targets by name, each a check that counts what it compared."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from typing import NamedTuple

from ..runtime.cuda import simulated
from .check import check_program
from .gradients import check_batch_program, check_gradients
from .random_programs import RandomProgram, generate
from .texts import check_text
from .ways import COMPILED, PLAIN, SIMULATED


class Target(NamedTuple):
    """A check of one random program.

    check     raises where something disagrees; returns how much was compared
    generic   whether its programs are of float64 alone, with values that meet no kinks by chance
    compiles  whether it runs numba: slow, and its process must be renewed from time to time
    """

    name: str
    check: Callable[[RandomProgram], int]
    generic: bool = False
    compiles: bool = False

    def program(self, seed: int) -> RandomProgram:
        """The program of a seed."""
        return _program(seed, self.generic)


@functools.lru_cache(maxsize=2)
def _program(seed: int, generic: bool) -> RandomProgram:
    numbers = random.Random(seed)
    return generate(numbers, dtypes=["float64"], generic=True) if generic else generate(numbers)


def _mode(mode: str) -> Callable[[RandomProgram], int]:
    return lambda program: check_program(program, [mode], eager=False)


TARGETS = {
    target.name: target
    for target in (
        Target("eager", lambda program: check_program(program, [])),
        *(Target(mode, _mode(mode)) for mode in PLAIN),
        Target("derivatives", check_gradients, generic=True),
        Target("batched", check_batch_program),
        Target("as Python", check_text),
        *(Target(mode, _mode(mode), compiles=True) for mode in COMPILED),
        *(Target(mode, _mode(mode)) for mode in SIMULATED if simulated()),
    )
}
"""All targets compare with the reference interpreter; those of a simulated device are there if numba simulates one."""

__all__ = ["TARGETS", "Target"]
