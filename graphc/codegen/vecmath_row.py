"""The record that describes one scalar math function of the generated kernels, and how its text is read."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from graphc.codegen.fused import fma

Key = tuple[str, str]


@dataclass(frozen=True)
class Table:
    """A constant array that functions index: `name`, and the function without arguments that computes it."""

    name: str
    definition: Callable[[], np.ndarray]

    @cached_property
    def source(self) -> str:
        """The text that defines the array."""
        return f"{inspect.getsource(self.definition).rstrip()}\n\n\n{self.name} = {self.definition.__name__}()\n"


@dataclass(frozen=True)
class Function:
    """One scalar function: a real Python function whose text is pasted into generated files.

    `ulp` is the largest error over the tested range, in units in the last place of the result; 0.0 means exact.
    `vectorises` says that a plain loop over the function compiles to packed instructions. `tables` are the constant
    arrays that the function indexes.
    """

    definition: Callable[..., object]
    ulp: float
    vectorises: bool
    tables: tuple[Table, ...] = ()

    @property
    def name(self) -> str:
        """The name to call in generated code, such as `exp_f32`."""
        return self.definition.__name__

    @cached_property
    def source(self) -> str:
        """The text of the `def`, without a decorator, ending in one newline."""
        return inspect.getsource(self.definition).rstrip() + "\n"

    @property
    def key(self) -> Key:
        """The key in `FUNCTIONS`: `exp_f32` is `("exp", "float32")`."""
        return _key(self.name)

    @property
    def needs(self) -> tuple[Key, ...]:
        """The keys of the functions it calls, in order of first use, but for `fma`, which each file has."""
        module = self.definition.__globals__
        called = [name for name in self.definition.__code__.co_names if inspect.isfunction(module.get(name))]
        return tuple(_key(name) for name in called if module[name] is not fma)


def _key(name: str) -> Key:
    stem, _, suffix = name.rpartition("_")
    return stem, {"f32": "float32", "f64": "float64"}[suffix]
