"""Which steps a run consists of: plain repetitions, or batches of datasets, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError, count, message, user_line
from ..ir import dims
from ..ir.dims import DimLike
from ..ir.tensor import Tensor


class Segment(NamedTuple):
    """Steps that follow each other on batches of one size.

    steps   how many
    rows    rows of a batch; None where every step reads the same arrays
    start   row (of `order`, or of the datasets) at which the first batch begins
    order   row numbers of this epoch; empty where they are taken as they come
    """

    steps: int
    rows: int | None = None
    start: int = 0
    order: np.ndarray = np.zeros(0, np.int64)


class Batches(NamedTuple):
    """How datasets are cut.

    total   rows of every dataset
    rows    rows of a batch
    drop    whether a smaller last batch is left out
    epochs  passes over the data
    seed    what the order of the rows is drawn from; None: as they come
    first   number of the first epoch, for one run after another may be parts of a longer one
    """

    total: int
    rows: int
    drop: bool
    epochs: int
    seed: int | None
    first: int = 0

    @property
    def rest(self) -> int:
        """Rows of the smaller last batch of an epoch; 0 where there is none."""
        return 0 if self.drop else self.total % self.rows

    @property
    def per_epoch(self) -> int:
        """Steps of an epoch."""
        return self.total // self.rows + bool(self.rest)

    def segments(self) -> Iterator[Segment]:
        """Every epoch's full batches, then its smaller one."""
        whole = self.total // self.rows
        for epoch in range(self.first, self.first + self.epochs):
            order = Segment(0).order if self.seed is None else permutation(self.total, self.seed, epoch)
            if whole:
                yield Segment(whole, self.rows, 0, order)
            if self.rest:
                yield Segment(1, self.rest, whole * self.rows, order)


def permutation(rows: int, seed: int, epoch: int) -> np.ndarray:
    """The order of the rows in an epoch: ``np.random.Generator(np.random.PCG64([seed, epoch])).permutation(rows)``."""
    return np.random.Generator(np.random.PCG64([seed, epoch])).permutation(rows)


def batch_dim(inputs: Sequence[Tensor]) -> DimLike:
    """The first dim of the first input that has axes: inputs whose first dim is the same are datasets."""
    for node in inputs:
        if node.shape:
            return node.shape[0]
    raise InputError(
        message(
            "no input to cut into batches",
            got="0-d inputs only",
            expected="one with a first axis",
            at=user_line(),
            created=False,
        )
    )


def is_dataset(node: Tensor, dim: DimLike) -> bool:
    return bool(node.shape) and node.shape[0] == dim


def cut(
    inputs: Sequence[Tensor],
    arrays: Sequence[np.ndarray],
    batch_size: int,
    epochs: int,
    seed: int | None,
    drop_last: bool,
    first_epoch: int = 0,
) -> Batches:
    """Check that `arrays` can be cut into batches of `batch_size` rows, and say how."""
    dim = batch_dim(inputs)
    lengths = {n.name: len(a) for n, a in zip(inputs, arrays, strict=True) if is_dataset(n, dim)}
    total = next(iter(lengths.values()))
    if len(set(lengths.values())) > 1:
        raise InputError(
            message(
                "datasets of different lengths",
                got=", ".join(f"{name!r}: {count(length, 'row')}" for name, length in lengths.items()),
                expected="as many rows in each",
                at=user_line(),
                created=False,
            )
        )
    if isinstance(dim, int):
        _check_fixed(next(iter(lengths)), dim, batch_size, total, drop_last)
    elif dims.symbols(dim) != [str(dim)]:
        raise InputError(
            message(
                "the batch axis has no size of its own",
                got=f"dim {dim}",
                expected="an int or a name such as 'n'",
                at=user_line(),
                created=False,
            )
        )
    return Batches(total, batch_size, drop_last, epochs, seed, first_epoch)


def _check_fixed(name: Any, dim: int, batch_size: int, total: int, drop_last: bool) -> None:
    if batch_size != dim:
        raise InputError(
            message(
                f"input {name!r} is declared with {count(dim, 'row')}",
                got=f"batch_size={batch_size}",
                expected=f"batch_size={dim}",
                at=user_line(),
                created=False,
                hint="declare the first dim by a name, such as 'batch', to take any size",
            )
        )
    if total % dim and not drop_last:
        raise InputError(
            message(
                f"the last batch of {name!r} is smaller than declared",
                got=f"{count(total, 'row')} in batches of {dim}",
                expected="a multiple, or drop_last=True",
                at=user_line(),
                created=False,
                hint="declare the first dim by a name, such as 'batch', to take any size",
            )
        )
