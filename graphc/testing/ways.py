"""The ways to run a graph: kernels as plain Python or compiled, a step, an exported file; passes on and off.

A way takes arrays, returns the outputs, leaves the new values of params in their memory, and raises graphc's errors.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np

import graphc as gc

from ..codegen.cpu import print_program
from ..errors import InputError, OutOfBoundsError, ShapeError
from ..inspect.export import export_text
from ..inspect.views import Reading
from ..ir.graph import Graph
from ..ir.tree import flatten
from ..passes import canonicalise as canonical
from ..passes.contractions import contractions
from ..passes.pipeline import PIPELINE, optimise
from ..passes.rules import rewrite
from ..schedule import chunks, cluster, columns, fuse, launches, parallel, policy, products, singles, storage, updates
from ..schedule.plan import make_plan
from ..step import compiled
from .plain import Runner

Way = Callable[[Sequence[np.ndarray]], Sequence[Any]]

PLAIN = ("plain", "plain without passes", "plain in small kernels", "plain exported")
"""Plain Python: milliseconds a graph."""
COMPILED = ("compiled", "compiled without passes", "step", "exported")
"""By numba: tenths of a second a graph."""
MODES = (*PLAIN, *COMPILED)
SIMULATED = ("simulated", "simulated without passes")
"""By numba's CUDA simulator, in blocks of a few threads: hundredths of a second a graph. It must be on as numba is
imported, so these stand beside the modes for every process."""

_REQUIRED = ("argmax along the last axis", "argmin along the last axis", "drop stop_gradient", "drop custom_gradient")


def _lowerable(graph: Graph) -> tuple[Graph, Counter[str]]:
    """What lowering asks for, and no more."""
    return rewrite(graph, [r for r in canonical.RULES if r.name in _REQUIRED])


WITHOUT_PASSES = (("lowerable", _lowerable), ("contractions", contractions))

_SMALL: tuple[tuple[ModuleType, str, int], ...] = (
    *((storage, "MAX_CONE", 4), (storage, "CHEAP", 1), (fuse, "MAX_SIZE", 8), (products, "SMALL", 0)),
    *((chunks, "GRAIN", 4), (chunks, "ALIGNED", 2), (chunks, "LEAST_SUMMED", 2), (cluster, "BLOCK", 2)),
    *((updates, "LEAST", 1), (updates, "BLOCK", 2), (updates, "LEAST_CHUNKS", 0)),
)
"""Limits of the schedule, set low: what large graphs do, done by small ones."""

_FEW_THREADS: tuple[tuple[ModuleType, str, object], ...] = (
    *(
        (launches, "BLOCK", 4),
        (launches, "WARP", 2),
        (launches, "MOST_BLOCKS", 3),
        (launches, "FEW", 4),
        (launches, "LEAST_VECTORS", 2),
    ),
    *(
        (
            launches,
            "PRODUCTS",
            dict.fromkeys(("float32", "float64"), (launches.Tiling(2, 4, 2, 2), launches.Tiling(2, 2, 2, 2))),
        ),
        (launches, "ENOUGH", 4),
        (parallel, "WIDE", 3),
        (products, "SMALL", 16),
    ),
    *(
        (policy, "GRAIN", 8),
        (columns, "FEW", 8),
        (singles, "OWNERS", 5),
        (chunks, "ALIGNED", 2),
        (chunks, "LEAST_SUMMED", 2),
    ),
)
"""The same for a device: small blocks and few of them, which go round, and chunks of a few elements."""


def way(graph: Graph, mode: str) -> Way:
    """`graph` made ready to run in one of `MODES`."""
    plain = mode in PLAIN
    if mode == "step":
        return _step(graph)
    if mode in SIMULATED:
        return _simulated(graph, mode.endswith("without passes"))
    if mode.endswith("exported"):
        return _exported(graph, plain)
    lowered, _ = optimise(graph, WITHOUT_PASSES if mode.endswith("without passes") else PIPELINE)
    with ExitStack() as stack:
        if mode == "plain in small kernels":
            for module, name, limit in _SMALL:
                stack.enter_context(mock.patch.object(module, name, limit))
        return Runner(lowered, plain)


def _step(graph: Graph) -> Way:
    """The step as users call it; every other call on arrays with gaps in memory."""
    step = gc.compile(list(graph.inputs), list(graph.outputs), dict(graph.updates))
    calls = [0]

    def call(arrays: Sequence[np.ndarray]) -> Sequence[Any]:
        calls[0] += 1
        return list(step(*[a if calls[0] % 2 else _spread(a) for a in arrays]))

    return call


def _simulated(graph: Graph, as_written: bool) -> Way:
    """What runs a step on a device, with params that are brought home after each call.

    as_written  without passes, and with values stored rather than computed again
    """
    with small_launches(), mock.patch.object(policy, "RECOMPUTED", 1 if as_written else policy.RECOMPUTED):
        lowered, _ = optimise(graph, WITHOUT_PASSES if as_written else PIPELINE)
        *_, caller = compiled(lowered, flatten(list(graph.outputs))[0], None, None, "cuda", False)

    def call(arrays: Sequence[np.ndarray]) -> Sequence[Any]:
        for param in graph.params:
            with param.state.writing():  # the tests write past the guards: what is on the device is of another time
                pass
        try:
            with small_launches():
                return caller(list(arrays))
        finally:
            for param in graph.params:
                param.state.read()

    return call


@contextmanager
def small_launches() -> Iterator[None]:
    """Steps compiled for a device inside this block, and called there, have small blocks and few of them."""
    with ExitStack() as stack:
        for module, name, limit in _FEW_THREADS:
            stack.enter_context(mock.patch.object(module, name, limit))
        yield


def _spread(array: np.ndarray) -> np.ndarray:
    """The same values with gaps between them."""
    wide = np.empty((*array.shape, 2), array.dtype)
    wide[..., 0] = array
    return wide[..., 0]


def _exported(graph: Graph, plain: bool) -> Way:
    """The file that `Step.export` writes, with params of its own kept equal to the graph's."""
    import numba

    plan = make_plan(optimise(graph)[0])
    text = export_text(Reading(plan, print_program(plan), graph), flatten(list(graph.outputs))[0])
    module = ModuleType("graphc_exported")
    with tempfile.TemporaryDirectory(prefix="graphc-exported-") as folder:  # numba wants a file to cache beside
        file = Path(folder) / "exported.py"
        file.write_text(text, encoding="utf-8")
        with mock.patch.object(numba.config, "DISABLE_JIT", plain):
            exec(compile(text, str(file), "exec"), module.__dict__)
    theirs = list(module.step.params.values())
    ours = [p.attrs["state"].array for p in plan.graph.params]

    def call(arrays: Sequence[np.ndarray]) -> Sequence[Any]:
        for their, our in zip(theirs, ours, strict=True):
            their[...] = our
        try:
            outputs = module.step(*arrays)
        except IndexError as error:
            raise OutOfBoundsError(str(error)) from error
        except ValueError as error:
            raise (ShapeError if str(error).startswith("sizes do not fit") else InputError)(str(error)) from error
        finally:
            for their, our in zip(theirs, ours, strict=True):
                our[...] = their
        return outputs

    return call


__all__ = ["COMPILED", "MODES", "PLAIN", "SIMULATED", "WITHOUT_PASSES", "Way", "small_launches", "way"]
