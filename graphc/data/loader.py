"""`DataLoader`: batches of a dataset, epoch by epoch, prepared by threads while the consumer computes."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ..arguments import bad_argument, whole
from ..errors import DataError, InputError, message, user_line
from ..runtime.batches import permutation
from ..step import Step
from .dataset import BatchDataset, ItemError, batch_of, never
from .prefetch import ordered


class DataLoader:
    """Batches of `dataset`; each ``for`` over it is one epoch.

    dataset          anything with ``__len__`` and ``__getitem__``
    batch_size       items of a batch; the last of an epoch is smaller where it does not divide the length
    shuffle          take the items of each epoch in a new order, the one that ``step.run(shuffle=True, seed=seed)``
                     takes: ``np.random.Generator(np.random.PCG64([seed, epoch])).permutation(len(dataset))``
    seed             an int from 0 to 2**64 - 1; None draws one
    drop_last        leave a smaller last batch out
    num_workers      threads that prepare the next batches, in order; 0: each is made when it is asked for. A compiled
                     step runs without the GIL, so NumPy work of the threads goes on meanwhile. What the loop gets does
                     not depend on their number, if an item depends on nothing but its index
    prefetch_factor  batches that each thread may be ahead
    collate_fn       makes a batch of a list of items; None: `collate`, and whole batches at once of a `BatchDataset`
    step             a compiled step that the batches are for: each is copied to its device (`Step.prefetch`) before the
                     loop gets the batch before, so beside the step that runs on that. None: nothing is copied ahead.
                     A batch that is a dict has the inputs by name; its order, and what the loop gets, stay the same

    `epoch` is the number of the next epoch; with `seed` it is what ``state_dict()`` holds, so that a loader restored
    between two epochs goes on with the same orders. (One restored inside an epoch begins the next.)
    An error of the dataset is raised in the loop as a DataError that names the item; its ``__cause__`` is the error.
    Leaving the loop early ends the threads. They do not follow into a forked process: there, an iterator begun before
    the fork raises a DataError, while the loader itself may be gone over anew.

    >>> from graphc.data import ArrayDataset
    >>> loader = DataLoader(ArrayDataset(np.arange(5.0)), batch_size=2, num_workers=1)
    >>> [x.tolist() for (x,) in loader]
    [[0.0, 1.0], [2.0, 3.0], [4.0]]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        seed: int | None = None,
        drop_last: bool = False,
        num_workers: int = 0,
        prefetch_factor: int = 2,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        step: Step | None = None,
    ):
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise InputError(
                message(
                    "DataLoader: not a dataset",
                    got=type(dataset).__name__,
                    expected="an object with __len__ and __getitem__",
                    at=user_line(),
                    created=False,
                    hint="gc.data.ArrayDataset(x, y) is a dataset of arrays",
                )
            )
        if isinstance(dataset, tuple) and _are_columns(dataset):
            raise InputError(
                message(
                    "DataLoader: arrays in a tuple are no dataset",
                    got=", ".join(f"{a.dtype}{list(a.shape)}" for a in dataset),
                    expected="items, one for each row",
                    at=user_line(),
                    created=False,
                    hint="gc.data.ArrayDataset(x, y) is a dataset of arrays: an item is a row of each",
                )
            )
        if isinstance(batch_size, np.ndarray):
            hint = "gc.data.ArrayDataset(x, y) is one dataset of several arrays"
            raise bad_argument("DataLoader", "batch_size", batch_size, "an int >= 1", hint)
        self.dataset = dataset
        self.batch_size = whole("DataLoader", "batch_size", batch_size, 1)
        self.shuffle = bool(shuffle)
        self.seed = secrets.randbits(64) if seed is None else _seed(seed)
        self.drop_last = bool(drop_last)
        self.num_workers = whole("DataLoader", "num_workers", num_workers, 0)
        self.prefetch_factor = whole("DataLoader", "prefetch_factor", prefetch_factor, 1)
        self.collate_fn = collate_fn
        if step is not None and not isinstance(step, Step):
            raise bad_argument("DataLoader", "step", step, "a compiled step, or None")
        self.step = step
        self.epoch = 0

    def __len__(self) -> int:
        """Batches of an epoch."""
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Any]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        batches = self._batches(self.order(epoch))
        return batches if self.step is None else _ahead(batches, self.step)

    def order(self, epoch: int) -> np.ndarray:
        """Numbers of the items in the order in which epoch `epoch` takes them: int64[n]."""
        total = len(self.dataset)
        return permutation(total, self.seed, epoch) if self.shuffle else np.arange(total)

    def arrays(self) -> Any:
        """All items in the dataset's own order, as `step.run` takes them: a tuple of arrays, or a dict of them.

        >>> import graphc as gc
        >>> x, total = gc.input("x", ("n",)), gc.param(0.0)
        >>> step = gc.compile([x], gc.sum(x), {total: total + gc.sum(x)})
        >>> loader = DataLoader(gc.data.ArrayDataset(np.arange(4.0)), batch_size=2, shuffle=True, seed=1)
        >>> sums = step.run(*loader.arrays(), batch_size=loader.batch_size, shuffle=True, seed=loader.seed)
        >>> np.array_equal(sums, [x.sum() for (x,) in loader])
        True
        """
        if self.collate_fn is None and isinstance(self.dataset, BatchDataset):
            batch = self.dataset.arrays()
        else:
            batch = self._make(np.arange(len(self.dataset)))
        return batch if isinstance(batch, (tuple, dict)) else tuple(batch) if isinstance(batch, list) else (batch,)

    def state_dict(self) -> dict[str, np.ndarray]:
        """``seed`` (uint64) and ``epoch`` (int64)."""
        return {"seed": np.array(self.seed, np.uint64), "epoch": np.array(self.epoch, np.int64)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on as the loader did whose ``state_dict()`` this is; an InputError changes nothing."""
        if not isinstance(state, Mapping) or set(state) != {"seed", "epoch"}:
            got = ", ".join(map(str, state)) if isinstance(state, Mapping) else type(state).__name__
            raise InputError(
                message(
                    "DataLoader: not the state of a loader",
                    got=got or "nothing",
                    expected="seed, epoch",
                    at=user_line(),
                    created=False,
                )
            )
        seed, epoch = _seed(state["seed"]), whole("DataLoader", "epoch", state["epoch"], 0)
        self.seed, self.epoch = seed, epoch

    def __repr__(self) -> str:
        order = f"shuffle=True, seed={self.seed}" if self.shuffle else "shuffle=False"
        what = f"{type(self.dataset).__name__} of {len(self.dataset)}"
        return f"DataLoader({what}, batch_size={self.batch_size}, {order}, num_workers={self.num_workers})"

    def _batches(self, order: np.ndarray) -> Iterator[Any]:
        jobs = [order[k * self.batch_size :][: self.batch_size] for k in range(len(self))]
        if not self.num_workers:
            for job in jobs:
                yield self._make(job)
            return
        ahead = self.num_workers * self.prefetch_factor
        batches = ordered(self._prepare, jobs, min(self.num_workers, len(jobs)) or 1, ahead)
        with contextlib.closing(batches):  # type: ignore[type-var]
            while True:
                try:
                    batch = next(batches)
                except StopIteration:
                    return
                except ItemError as failed:
                    raise _data_error(failed) from failed.__cause__
                yield batch

    def _prepare(self, job: np.ndarray, stopped: Callable[[], bool] = never) -> Any:
        return batch_of(self.dataset, job, self.collate_fn, stopped)

    def _make(self, job: np.ndarray) -> Any:
        try:
            return self._prepare(job)
        except ItemError as failed:
            raise _data_error(failed) from failed.__cause__


def _ahead(batches: Iterator[Any], step: Step) -> Iterator[Any]:
    """The batches, each given when the one behind it is on its way to the step's device."""
    with contextlib.closing(batches):  # type: ignore[type-var]
        ready: list[Any] = []
        while True:
            try:
                batch = next(batches, _END)
                if batch is not _END:
                    _prefetch(step, batch)
            except Exception:
                yield from ready  # the loop gets those before it first
                raise
            yield from ready
            if batch is _END:
                return
            ready = [batch]


_END = object()


def _prefetch(step: Step, batch: Any) -> None:
    if isinstance(batch, Mapping):
        step.prefetch(**batch)
    elif isinstance(batch, (tuple, list)):
        step.prefetch(*batch)
    else:
        step.prefetch(batch)


def _data_error(failed: ItemError) -> DataError:
    cause = failed.__cause__
    return DataError(
        message(
            f"DataLoader: cannot take {failed.place}",
            got=f"{type(cause).__name__}: {str(cause).splitlines()[0] if str(cause) else ''}".rstrip(": "),
            at=user_line(),
            created=False,
        )
    )


def _seed(value: Any) -> int:
    seed = whole("DataLoader", "seed", value, 0)
    if seed >= 2**64:
        raise bad_argument("DataLoader", "seed", seed, "an int below 2**64")
    return seed


def _are_columns(given: tuple[Any, ...]) -> bool:
    """Whether these are arrays that a dataset would be made of: equally many rows, and no batch of them possible."""
    shapes = [a.shape for a in given if isinstance(a, np.ndarray)]
    if len(shapes) != len(given) or len(shapes) < 2 or () in shapes:
        return False
    return len({shape[0] for shape in shapes}) == 1 and len(set(shapes)) > 1
