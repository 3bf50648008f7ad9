"""The outputs of many steps: where each step writes them, and what the user gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import InputError, message, user_line
from ..ir import dims
from ..ir.dims import DimLike
from ..ir.tensor import Tensor
from .supply import address


class Track:
    """One output of every kept step: stacked along a new first axis, or joined along the batch axis.

    `place` is where the next kept step writes. There is room for one step more than is kept, because the steps
    between kept ones write there too.
    """

    def __init__(self, node: Tensor, joined: bool, kept: int, rows: int, env: Mapping[str, int], largest: int):
        sizes = [dims.evaluate(d, env) for d in node.shape]
        self.joined = joined
        self.row = int(np.prod(sizes[1:] if joined else sizes, dtype=np.int64))  # elements of one row, or of one step
        self.count = rows if joined else kept
        room = self.count + (largest if joined else 1)
        self.memory = np.empty(room * self.row, node.dtype)
        self.shape = (self.count, *(sizes[1:] if joined else sizes))
        self.done = 0

    def stride(self, rows: int | None) -> int:
        """Bytes from one kept step to the next, for batches of `rows` rows."""
        return self.memory.itemsize * self.row * (rows if self.joined and rows is not None else 1)

    def address(self) -> int:
        return address(self.memory) + self.done * self.memory.itemsize * self.row

    def place(self, shape: Sequence[int]) -> np.ndarray:
        """The memory of the next kept step as an array."""
        start = self.done * self.row
        return self.memory[start : start + int(np.prod(shape, dtype=np.int64))].reshape(shape)

    def advance(self, steps: int, rows: int | None) -> None:
        """Note that `steps` more were kept."""
        self.done += steps * (rows if self.joined and rows is not None else 1)

    def result(self, count: int | None = None) -> np.ndarray:
        """All that is kept, or the first `count` rows or steps of it."""
        rows = self.count if count is None else count
        return self.memory[: rows * self.row].reshape(rows, *self.shape[1:])


class History:
    """The outputs of every `every`-th step of a run."""

    def __init__(
        self,
        outputs: Sequence[Tensor],
        env: Mapping[str, int],
        every: int,
        steps: Sequence[tuple[int, int | None]],
        dim: DimLike | None,
    ):
        """`steps` are pairs (how many, rows of a batch); `dim` is the batch dim of datasets, if there are any."""
        self.every, self.steps = every, 0
        kept = rows = total = largest = 0
        for count, size in steps:
            now = (total + count) // every - total // every
            total, kept, rows = total + count, kept + now, rows + now * (size or 0)
            largest = max(largest, size or 0)
        names = [] if dim is None else dims.symbols(dim)
        ragged = len({size for _, size in steps}) > 1
        self.tracks = []
        for k, node in enumerate(outputs):
            joined = dim is not None and bool(node.shape) and node.shape[0] == dim and not isinstance(dim, int)
            varying = node.shape[1:] if joined else node.shape
            if ragged and any(s in dims.symbols(d) for d in varying for s in names):
                raise InputError(
                    message(
                        f"output {k} has another shape in the last, smaller batch",
                        got=str(node.aval),
                        expected="outputs with the batch dim first, or without it; or drop_last=True",
                        at=user_line(),
                        created=False,
                    )
                )
            self.tracks.append(Track(node, joined, kept, rows, env, largest))

    def kept(self, steps: int) -> int:
        """How many of the next `steps` steps are kept."""
        return (self.steps + steps) // self.every - self.steps // self.every

    def moves(self, first_output: int, rows: int | None) -> np.ndarray:
        """Pairs (position in `m`, bytes to advance) for `drivers.LOOP`."""
        pairs = [(first_output + k, track.stride(rows)) for k, track in enumerate(self.tracks)]
        return np.array(pairs, np.int64).reshape(-1, 2)

    def advance(self, steps: int, rows: int | None) -> None:
        """Note that `steps` more were done."""
        kept = self.kept(steps)
        self.steps += steps
        for track in self.tracks:
            track.advance(kept, rows)

    def results(self) -> list[np.ndarray]:
        return [track.result() for track in self.tracks]

    def so_far(self) -> list[np.ndarray]:
        """The outputs of the kept ones of the steps that were done."""
        return [track.result(track.done) for track in self.tracks]
