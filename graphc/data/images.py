"""Labelled images in memory, with a transform that runs over items, batches, or all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from ..arguments import bad_argument
from .dataset import BatchDataset, position
from .transforms import apply_all

_BLOCK = 1024
"""Images that `arrays` transforms at once: what lies between two transforms stays small."""


class ImageDataset(BatchDataset):
    """Items are ``(image, label)``: the image transformed, the label an int.

    data        uint8[n, H, W]: the images as they are
    targets     int64[n]: their labels
    transform   of one image; those of `gc.data` run over whole batches at once, other functions image by image
    """

    classes: ClassVar[tuple[str, ...]] = tuple("0123456789")

    def __init__(self, data: np.ndarray, targets: np.ndarray, transform: Callable[[Any], Any] | None = None):
        if isinstance(transform, type):
            raise bad_argument(type(self).__name__, "transform", transform, "an instance", f"{transform.__name__}(...)")
        self.data = data
        self.targets = targets
        self.transform = transform

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int, /) -> tuple[Any, int]:
        row = position(index, len(self), type(self).__name__)
        image = self.data[row]
        return image if self.transform is None else self.transform(image), int(self.targets[row])

    def batch(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._transformed(np.take(self.data, index, axis=0)), np.take(self.targets, index)

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """All images, transformed, and all labels: what `step.run` takes."""
        if self.transform is None or not len(self):
            return self._transformed(self.data), self.targets
        first = self._transformed(self.data[:_BLOCK])
        images = np.empty((len(self), *first.shape[1:]), first.dtype)
        images[: len(first)] = first
        for k in range(_BLOCK, len(self), _BLOCK):
            images[k : k + _BLOCK] = self._transformed(self.data[k : k + _BLOCK])
        return images, self.targets

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} images {self.data.dtype}{list(self.data.shape[1:])})"

    def _transformed(self, images: np.ndarray) -> np.ndarray:
        return images if self.transform is None else apply_all(self.transform, images)
