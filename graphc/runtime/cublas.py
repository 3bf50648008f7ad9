"""cuBLAS, by the binding of the package nvmath-python: its only importer, when a step on a device asks for cuBLAS.

A product does not depend on what ran before it: each call says again in which stream it stands, what memory cuBLAS may
work in and how exactly it computes, and products of a device wait for one another in its streams. So results repeat
bit for bit (cuBLAS adds up by atomic operations only where it is told to), and a call may be recorded (without memory
of ours it would take some meanwhile).
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

from ..errors import GraphcError, message
from .cuda import INSTALL

WORKSPACE = 1 << 25
"""Bytes that cuBLAS may work in: what its manual recommends for compute capability 9.0; 2 ** 22 for older ones."""
MODES = {"float32": "PEDANTIC_MATH", "float64": "DEFAULT_MATH"}
"""How exactly it computes, of `cublasMath_t`: in float32 never with the tensor cores' fewer digits, whatever the
environment asks for; in float64 tensor cores round as others do."""
FUNCTIONS = {"one": "gemm_64", "evenly": "gemm_strided_batched_64", "listed": "gemm_batched_64"}
"""By where the matrices stand, see `Cublas.multiply`; with "s" for float32 in front, "d" for float64."""


@functools.cache
def missing() -> tuple[str, str, str] | None:
    """What was looked for, what was found, and what to do; None where cuBLAS is there."""
    if importlib.util.find_spec("nvmath") is None:
        return "the package nvmath-python", "no such package", INSTALL
    try:
        version()
    except Exception as error:  # of many types, of the binding and of what it loads: no library, one that does not load
        return "the library cuBLAS", next(iter(str(error).splitlines()), type(error).__name__), INSTALL
    return None


def version() -> str:
    """Of the library."""
    return ".".join(str(binding().get_property(part)) for part in range(3))


def binding() -> Any:
    """The functions of cuBLAS."""
    from nvmath.bindings import cublas

    return cublas


class Operand(NamedTuple):
    """Matrices on the device, row by row.

    address  of the first matrix; of addresses of all, if they are "listed"
    step     elements from one row to the next
    stride   elements from one matrix to the next, if they stand "evenly"
    """

    address: int
    step: int
    stride: int = 0


class Cublas:
    """cuBLAS on one device, where all is to be called.

    allocate  gives memory there
    """

    def __init__(self, allocate: Callable[[int], Any]):
        self.allocate = allocate
        self.handle = 0

    def ready(self) -> None:
        """Make ready for products, if it is not: nothing of that can be recorded."""
        if not self.handle:
            self.memory = self.allocate(WORKSPACE)
            self.scalars = {dtype: (np.ones(1, dtype), np.zeros(1, dtype)) for dtype in MODES}
            self.handle = self.ask("create")

    def multiply(
        self,
        queue: Any,
        how: Literal["one", "evenly", "listed"],
        dtype: np.dtype,
        sizes: tuple[int, int, int],
        transposed: tuple[bool, bool],
        operands: tuple[Operand, Operand, Operand],
        count: int,
    ) -> None:
        """Put ``out[m, n] = x[m, k] @ y[k, n]`` into `queue`, for each of `count`; of `sizes` m, n, k.

        how         where the matrices stand: there is "one" of each; "evenly" apart; or their addresses are "listed"
                    on the device, which reads them as it computes
        transposed  of x and y, whether its columns stand where its rows are named here
        operands    x, y, out
        """
        mode = getattr(binding().Math, MODES[dtype.name])
        self.ask("set_stream", self.handle, int(queue))
        self.ask("set_workspace", self.handle, self.memory.address, WORKSPACE)  # behind the stream, which takes it away
        self.ask("set_math_mode", self.handle, int(mode))
        x, y, out = ((o.address, o.step, o.stride) if how == "evenly" else (o.address, o.step) for o in operands)
        m, n, k = sizes
        one, zero = (scalar.ctypes.data for scalar in self.scalars[dtype.name])
        counted = () if how == "one" else (count,)
        function = f"{'s' if dtype == np.float32 else 'd'}{FUNCTIONS[how]}"
        # matrices of cuBLAS stand column by column: what is x here, row by row, is x.T there, and out.T = y.T @ x.T
        x_transposed, y_transposed = map(int, transposed)
        self.ask(function, self.handle, y_transposed, x_transposed, n, m, k, one, *y, *x, zero, *out, *counted)

    def ask(self, function: str, *arguments: Any) -> Any:
        """What a function of cuBLAS gives; `CublasError` where it fails."""
        try:
            return getattr(binding(), function)(*arguments)
        except binding().cuBLASError as error:
            raise CublasError(function, str(error)) from error


class CublasError(GraphcError):
    """What a function of cuBLAS gave in the place of success."""

    def __init__(self, function: str, code: str):
        hint = "GRAPHC_CUBLAS=0, set before steps are compiled, has graphc's own kernels multiply"
        super().__init__(message(f"cuBLAS failed in {function}", got=code, expected="SUCCESS (0)", hint=hint))
