"""Smaller programs that still fail: greedy removal of calls, outputs, updates and statements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from ..errors import GraphcError
from ..ir.evaluate import bind_dims, evaluate
from ..ir.tensor import Tensor
from .random_programs import Leaf, RandomProgram


def minimise(program: RandomProgram, fails: Callable[[RandomProgram], bool], tries: int = 400) -> RandomProgram:
    """The smallest program found, in at most `tries` trials, for which `fails` still holds."""
    changed = True
    while changed and tries > 0:
        changed = False
        for smaller in _smaller(program):
            tries -= 1
            if tries <= 0:
                break
            if _holds(smaller, fails):
                program, changed = smaller, True
                break
    return program


def _holds(program: RandomProgram, fails: Callable[[RandomProgram], bool]) -> bool:
    try:
        return fails(program)
    except (GraphcError, NameError, SyntaxError):  # a part is missing: not the same failure
        return False


def _smaller(program: RandomProgram) -> Iterator[RandomProgram]:
    for k in range(len(program.calls)):
        if len(program.calls) > 1:
            yield replace(program, calls=program.calls[:k] + program.calls[k + 1 :]).needed()
    for k in range(len(program.updates)):
        yield replace(program, updates=program.updates[:k] + program.updates[k + 1 :]).needed()
    for k in range(len(program.outputs)):
        if len(program.outputs) > 1 or program.updates:
            yield replace(program, outputs=program.outputs[:k] + program.outputs[k + 1 :]).needed()
    if len(program.calls) == 1:
        for k in range(len(program.lines)):
            try:
                cut = _cut(program, k)
            except (GraphcError, AttributeError):
                continue
            if cut is not None:
                yield cut


def _cut(program: RandomProgram, k: int) -> RandomProgram | None:
    """The program with what statement `k` computes as inputs instead."""
    line, call = program.lines[k], dict(program.calls[0])
    targets = [n.strip() for n in line.split(" = ", 1)[0].strip("[]").split(",")]
    space = program.execute()
    tensors = [space[n] for n in targets]
    if not all(isinstance(t, Tensor) for t in tensors):
        return None
    given = {space[n]: np.asarray(v) for n, v in call.items()}
    values = evaluate(tensors, given, bind_dims(list(given), list(given.values())))
    leaves = list(program.leaves)
    for name, value in zip(targets, values, strict=True):
        leaves.append(Leaf(name, "input", value.shape, value.dtype))
        call[name] = value
    lines = program.lines[:k] + program.lines[k + 1 :]
    return replace(program, leaves=tuple(leaves), lines=lines, calls=(call,)).needed()


__all__ = ["minimise"]
