"""`Digits`: real handwritten digits that need no network, for they come with scikit-learn.

E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository (1998).
"""

from __future__ import annotations

import functools
import gzip
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileError, MissingFileError, message, user_line
from .images import ImageDataset

TEST_IMAGES = 360
"""The last ones of the file."""


class Digits(ImageDataset):
    """1797 handwritten digits, 8 x 8 pixels: the first 1437 to train on, or (``train=False``) the last 360.

    transform   of one image, uint8[8, 8]; see `ImageDataset`

    The file counts, for each pixel, the dark ones of 4 x 4 finer pixels, 0 to 16; here as 0 to 255,
    ``round(count * 255 / 16)``, so that the transforms of MNIST serve. `data`, `targets`, `classes` as there.

    >>> Digits(), Digits(train=False)
    (Digits(1437 images uint8[8, 8]), Digits(360 images uint8[8, 8]))
    >>> image, label = Digits()[0]
    >>> label
    0
    """

    def __init__(self, train: bool = True, *, transform: Callable[[Any], Any] | None = None):
        self.train = bool(train)
        table = _table()
        rows = table[:-TEST_IMAGES] if train else table[-TEST_IMAGES:]
        images = np.rint(rows[:, :-1].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
        super().__init__(images, rows[:, -1].copy(), transform)


@functools.cache
def _table() -> np.ndarray:
    """int64[1797, 65]: the pixels of an image, then its label.

    Read from the file itself, in some milliseconds: importing scikit-learn takes a second, and brings a second OpenMP
    into the process.
    """
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise MissingFileError(
            message(
                "Digits: scikit-learn, which holds the images, is not installed",
                at=user_line(),
                created=False,
                hint="pip install scikit-learn",
            )
        )
    path = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    try:
        with gzip.open(path) as file:
            table = np.loadtxt(file, delimiter=",", dtype=np.int64)
    except (OSError, EOFError, ValueError) as error:
        raise FileError(
            message(
                f"Digits: cannot read {path}",
                got=f"{type(error).__name__}: {error}",
                expected="the file as scikit-learn installs it",
                at=user_line(),
                created=False,
                hint="pip install --force-reinstall scikit-learn",
            )
        ) from error
    table.flags.writeable = False
    return table
