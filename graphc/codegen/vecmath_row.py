"""The record that describes one scalar math function of the generated kernels, and how its text is read."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Function:
    """One scalar function: a real Python function whose text is pasted into generated files.

    `ulp` is the largest error measured against mpmath over the tested range, in units in the last place of the result;
    0.0 means exact. `vectorises` says that a plain loop over the function compiles to packed instructions.
    """

    definition: Callable[..., object]
    ulp: float
    vectorises: bool

    @property
    def name(self) -> str:
        """The name to call in generated code, such as `exp_f32`."""
        return self.definition.__name__

    @cached_property
    def source(self) -> str:
        """The text of the `def`, without a decorator, ending in one newline."""
        return inspect.getsource(self.definition).rstrip() + "\n"

    @property
    def calls(self) -> tuple[str, ...]:
        """Names of globals that the function uses, in order of first use."""
        return self.definition.__code__.co_names

    @property
    def key(self) -> tuple[str, str]:
        """The key in `FUNCTIONS`: `exp_f32` is `("exp", "float32")`."""
        stem, _, suffix = self.name.rpartition("_")
        return stem, {"f32": "float32", "f64": "float64"}[suffix]
