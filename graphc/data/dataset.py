"""What a dataset is, datasets of arrays, and parts of datasets."""

from __future__ import annotations

import abc
import math
import numbers
import operator
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from ..arguments import whole
from ..errors import InputError, OutOfBoundsError, ShapeError, count, message, shown, user_line
from ..runtime.batches import permutation
from .collate import collate


class Dataset(Protocol):
    """Anything with a length and items: PyTorch's protocol. Subclassing it is possible, not needed.

    Worker threads of a `DataLoader` ask for several items at once: `__getitem__` changes nothing that it shares.

    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 3
    ...
    ...     def __getitem__(self, index):
    ...         return index**2
    >>> Squares()[2]
    4
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class BatchDataset(abc.ABC):
    """A dataset that gives many items at once, quicker than one by one. A `DataLoader` then asks it for batches.

    `batch(index)` must equal `collate` of the items `index`, an int64 array.
    """

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def __getitem__(self, index: int, /) -> Any: ...

    @abc.abstractmethod
    def batch(self, index: np.ndarray) -> Any:
        """The items `index` as one batch, in memory of its own."""

    def arrays(self) -> Any:
        """All items as one batch; it may share memory with the dataset."""
        return self.batch(np.arange(len(self)))


class ArrayDataset(BatchDataset):
    """Arrays with equally many rows; an item is a tuple of one row of each. The arrays are not copied.

    Raises ShapeError where the lengths differ.

    >>> data = ArrayDataset([[1.0, 2.0], [3.0, 4.0]], [0, 1])
    >>> len(data), data[1]
    (2, (array([3., 4.]), np.int64(1)))
    """

    def __init__(self, *arrays: Any):
        self._arrays = tuple(np.asarray(array) for array in arrays)
        shapes = [array.shape for array in self._arrays]
        if not shapes or () in shapes or len({shape[0] for shape in shapes}) > 1:
            raise ShapeError(
                message(
                    "ArrayDataset: arrays without a common first axis",
                    got=", ".join(f"{a.dtype}{list(a.shape)}" for a in self._arrays) or "none",
                    expected="one or more arrays of equally many rows",
                    at=user_line(),
                    created=False,
                )
            )

    def __len__(self) -> int:
        return len(self._arrays[0])

    def __getitem__(self, index: int, /) -> tuple[Any, ...]:
        row = position(index, len(self), "ArrayDataset")
        return tuple(array[row] for array in self._arrays)

    def batch(self, index: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(np.take(array, index, axis=0) for array in self._arrays)

    def arrays(self) -> tuple[np.ndarray, ...]:
        return self._arrays


class Subset:
    """The items `indices` of a dataset, in that order: ints, which may count from the end.

    Raises OutOfBoundsError for one that is outside, InputError for bools and floats.

    >>> list(Subset("abcde", [4, 0]))
    ['e', 'a']
    """

    def __init__(self, dataset: Any, indices: Sequence[int] | np.ndarray):
        self.dataset = dataset
        given = np.asarray(indices).reshape(-1)
        if given.dtype.kind not in "iu" and given.size:
            raise InputError(
                message(
                    "Subset: bad indices",
                    got=f"{given.dtype}{list(np.shape(indices))}",
                    expected="ints",
                    at=user_line(),
                    created=False,
                    hint="np.flatnonzero(mask) gives the positions at which a mask is True"
                    if given.dtype == bool
                    else "",
                )
            )
        outside = given[(given < -len(dataset)) | (given >= len(dataset))]
        if len(outside):
            raise _outside("Subset", int(outside[0]), len(dataset))
        self.indices = given.astype(np.int64)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int, /) -> Any:
        return self.dataset[int(self.indices[position(index, len(self), "Subset")])]


def random_split(dataset: Any, lengths: Sequence[float], seed: int | None = None) -> list[Subset]:
    """Parts of a dataset that do not overlap, drawn at random.

    lengths   of the parts: ints that add up to ``len(dataset)``, or fractions that add up to 1, each rounded down; what
              is left over goes to the first parts, one each
    seed      an int >= 0; None draws one

    >>> [len(part) for part in random_split(range(11), [0.8, 0.2], seed=0)]
    [9, 2]
    """
    total = len(dataset)
    if not all(isinstance(length, numbers.Real) for length in lengths):
        raise _bad_lengths(lengths, total)
    if sum(lengths) == total and all(length >= 0 and length == int(length) for length in lengths):
        sizes = [int(length) for length in lengths]
    elif math.isclose(sum(lengths), 1) and all(0 <= length <= 1 for length in lengths):
        sizes = [math.floor(total * length) for length in lengths]
        for k in range(total - sum(sizes)):
            sizes[k] += 1
    else:
        raise _bad_lengths(lengths, total)
    order = permutation(total, secrets.randbits(64) if seed is None else whole("random_split", "seed", seed, 0), 0)
    return [Subset(dataset, part) for part in np.split(order, np.cumsum(sizes)[:-1])]


def _bad_lengths(lengths: Sequence[float], total: int) -> InputError:
    return InputError(
        message(
            "random_split: lengths that do not add up",
            got=str(list(lengths)),
            expected=f"ints with the sum {total}, or fractions with the sum 1",
            at=user_line(),
            created=False,
        )
    )


def position(index: int, length: int, what: str) -> int:
    """`index` counted from the front; OutOfBoundsError (an IndexError, which ends Python's loops) beyond the ends.

    InputError for what is no int.
    """
    try:
        number = None if isinstance(index, (bool, np.bool_)) else operator.index(index)
    except TypeError:
        number = None
    if number is None:
        raise InputError(
            message(
                f"{what}: bad index",
                got=shown(index),
                expected="an int",
                at=user_line(),
                created=False,
                hint="gc.data.Subset(dataset, range(start, stop)) is a part of a dataset"
                if isinstance(index, slice)
                else "",
            )
        )
    if not -length <= number < length:
        raise _outside(what, number, length)
    return number % length


def _outside(what: str, index: int, length: int) -> OutOfBoundsError:
    return OutOfBoundsError(
        message(
            f"{what}: no such item",
            got=f"index {index}",
            expected=f"an index of {count(length, 'item')}",
            at=user_line(),
            created=False,
        )
    )


class ItemError(Exception):
    """What stopped a batch: `place` says at which items, the cause says why. `DataLoader` makes a `DataError` of it."""

    def __init__(self, place: str):
        super().__init__(place)
        self.place = place


def never() -> bool:
    """For those whom nobody stops."""
    return False


def batch_of(dataset: Any, index: np.ndarray, join: Any = None, stopped: Callable[[], bool] = never) -> Any:
    """The items `index` as one batch, made by `join` (None: `collate`); given up where ``stopped()`` between items."""
    if type(dataset) is Subset:
        return batch_of(dataset.dataset, dataset.indices[index], join, stopped)
    if join is None and isinstance(dataset, BatchDataset):
        with _failing_at(dataset, index):
            return dataset.batch(index)
    items = []
    for k in index:
        if stopped():
            return None
        with _failing_at(dataset, [k]):
            items.append(dataset[int(k)])
    with _failing_at(dataset, index):
        return (join or collate)(items)


class _failing_at:  # noqa: N801 - a context manager, cheaper than contextlib's for each item
    """Errors inside the block become `ItemError`, which says what was asked for."""

    __slots__ = ("dataset", "index")

    def __init__(self, dataset: Any, index: Any):
        self.dataset, self.index = dataset, index

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception):
            first = [str(int(k)) for k in self.index[:8]]
            items = ("item " if len(self.index) == 1 else "items ") + ", ".join(first) if first else "all 0 items"
            raise ItemError(
                f"{items}{' ...' if len(self.index) > 8 else ''} of {type(self.dataset).__name__}"
            ) from error
