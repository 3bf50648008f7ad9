"""Random graphs, and checkers that run a graph every way there is.

`programs` is a hypothesis strategy of random programs over the whole op table; `check_program` runs one by the
reference interpreter, eagerly, as plain Python kernels (passes on and off, kernels large and small, the exported file)
and compiled, and `check` does so for a graph of your own; `check_gradients` compares `vjp` and `jvp` with finite
differences. A failure names the call and the element, and carries a program that reproduces it; `minimise` makes that
short.

``python -m graphc.testing --graphs 20000 --compiled 1500`` does so by the thousand, in processes that are renewed; with
``--journal FILE`` a run that was stopped goes on where it was, and ``--seed`` gives other machines other graphs.

>>> import random
>>> from graphc.testing import check_program, generate
>>> check_program(generate(random.Random(7)), modes=["plain"]) > 0
True
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .check import Mismatch, check, check_eager, check_program
from .gradients import check_batch, check_batch_program, check_derivatives, check_gradients
from .minimise import minimise
from .random_programs import RandomProgram, generate
from .ways import COMPILED, MODES, PLAIN


def programs(dtypes: Sequence[Any] = (), statements: int | None = None, generic: bool = False) -> Any:
    """A hypothesis strategy of `RandomProgram`; the arguments are those of `generate`.

    >>> from hypothesis import given
    >>> @given(programs(dtypes=["float32"]))
    ... def test(program):
    ...     check_program(program, modes=["plain"])
    """
    from hypothesis import strategies

    seeds = strategies.integers(0, 2**32 - 1)
    return seeds.map(lambda seed: _of_seed(seed, statements, tuple(dtypes), generic))


def _of_seed(seed: int, statements: int | None, dtypes: tuple[Any, ...], generic: bool) -> RandomProgram:
    import random

    return generate(random.Random(seed), statements, dtypes, generic)


__all__ = [
    "COMPILED",
    "MODES",
    "PLAIN",
    "Mismatch",
    "RandomProgram",
    "check",
    "check_batch",
    "check_batch_program",
    "check_derivatives",
    "check_eager",
    "check_gradients",
    "check_program",
    "generate",
    "minimise",
    "programs",
]
