"""What the command trains on: images of 32 x 32 pixels with mean 0 and deviation 1, and their labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from graphc.data import MNIST, Compose, Digits, FashionMNIST, ImageDataset, Normalize, Pad, Resize, ToTensor

SCALES = {"digits": (0.2339, 0.3114), "mnist": (0.1000, 0.2752), "fashion-mnist": (0.2190, 0.3318)}
"""Mean and deviation of the pixels of the padded training images."""


class Images(NamedTuple):
    """A set to train on, and one to test with.

    x, test_x   float32[n, 1, 32, 32]
    t, test_t   int64[n]: labels
    shown       uint8[n, H, W]: the test images as they are
    classes     what labels stand for
    """

    x: np.ndarray
    t: np.ndarray
    test_x: np.ndarray
    test_t: np.ndarray
    shown: np.ndarray
    classes: Sequence[str]


def images(name: str, root: Path, download: bool) -> Images:
    """Read a set. MNIST's images are padded to 32 x 32; the digits, which have 8 x 8, enlarged to 28 x 28 before."""
    first = [Resize(28)] if name == "digits" else []
    layout = Compose([*first, Pad(2), ToTensor(), Normalize(*SCALES[name])])
    if name == "digits":
        train: ImageDataset = Digits(transform=layout)
        test: ImageDataset = Digits(train=False, transform=layout)
    else:
        kind = MNIST if name == "mnist" else FashionMNIST
        train, test = (kind(root, part, transform=layout, download=download) for part in (True, False))
    return Images(*train.arrays(), *test.arrays(), test.data, train.classes)
