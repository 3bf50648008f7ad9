"""Products of matrices by cuBLAS in a frame: sizes and addresses, as they are at every call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from ..ir import dims
from ..schedule.cublas import LargeProduct, Matrices
from .cublas import Cublas, Operand
from .cuda_devices import WORD, Device, Memory


class Multiplication:
    """One product, for sizes `env`.

    A call that is recorded is the same from then on, with the addresses that it was given. Where operands stay, these
    are theirs. Else they are those of the table's entries, which say where the operands are at a call.

    places  the addresses of x, y and out, where they stay
    table   the address of the entries in the table with these three
    """

    def __init__(
        self,
        device: Device,
        multiplier: Cublas,
        product: LargeProduct,
        env: Mapping[str, int],
        places: Sequence[int],
        table: int,
    ):
        self.multiplier, self.dtype, self.transposed = multiplier, product.dtype, product.transposed
        known = [dims.evaluate(size, env) for size in product.sizes]
        self.sizes = (known[0], known[1], known[2])
        self.count = 1 if product.count is None else dims.evaluate(product.count, env)
        self.how: Literal["one", "evenly", "listed"]
        self.addresses: Memory | None = None
        all_matrices = (product.x, product.y, product.out)
        strides = [0, 0, 0]
        if not product.fixed:
            self.how, places = "listed", [table + WORD * k for k in range(3)]
        elif product.count is None:
            self.how = "one"
        elif all(matrices.evenly for matrices in all_matrices):
            self.how, strides = "evenly", [dims.evaluate(matrices.batch[0][0], env) for matrices in all_matrices]
        else:
            self.how = "listed"
            found = [place + self._behind(matrices, env) for place, matrices in zip(places, all_matrices, strict=True)]
            self.addresses = _sent(device, np.stack(found))
            places = [self.addresses.address + WORD * self.count * k for k in range(3)]
        steps = [dims.evaluate(matrices.step, env) for matrices in all_matrices]
        x, y, out = (Operand(*parts) for parts in zip(places, steps, strides, strict=True))
        self.operands = (x, y, out)
        multiplier.ready()

    def _behind(self, matrices: Matrices, env: Mapping[str, int]) -> np.ndarray:
        """How many bytes behind the first one each matrix of the batch starts: int64[count]."""
        number, total = np.arange(self.count), np.zeros(self.count, np.int64)
        for stride, divisor, modulus in matrices.batch:
            index = number // dims.evaluate(divisor, env)
            if modulus is not None:
                index %= dims.evaluate(modulus, env)
            total += index * dims.evaluate(stride, env)
        return total * self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes it keeps on the device."""
        return 0 if self.addresses is None else self.addresses.nbytes

    def put(self, queue: Any) -> None:
        """Put it into a queue."""
        parts = (self.dtype, self.sizes, self.transposed, self.operands, self.count)
        self.multiplier.multiply(queue, self.how, *parts)


def _sent(device: Device, values: np.ndarray) -> Memory:
    """A copy on the device."""
    memory = device.allocate(values.nbytes)
    device.upload(memory, 0, values, device.work)
    device.finish(device.work)
    return memory
