"""MNIST and Fashion-MNIST from their original IDX files, checked against the published checksums.

MNIST: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition" (1998).
Fashion-MNIST: H. Xiao, K. Rasul, R. Vollgraf, arXiv:1708.07747 (2017), MIT licence.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..errors import FileError, MissingFileError, message, user_line
from .download import download as fetch
from .download import md5
from .idx import parse_idx
from .images import ImageDataset


class Source(NamedTuple):
    """One of the published files: MD5 of it gzipped, MD5 of it unpacked (None: nobody published it), its array."""

    gzipped: str
    plain: str | None
    shape: tuple[int, ...]


TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


class MNIST(ImageDataset):
    """70,000 handwritten digits, 28 x 28 pixels: 60,000 to train on, or (``train=False``) 10,000 to test with.

    root        folder with the files, gzipped or not; or with ``MNIST/raw`` in it, where PyTorch puts them
    transform   of one image, uint8[28, 28]; see `ImageDataset`
    download    fetch the files that are not there (11 MB) to ``<root>/MNIST/raw``

    `data`, `targets` and `classes` are the images, labels and names as they are. Raises MissingFileError with the
    places where it looked, FileError for a file that is not the published one.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     MNIST(folder)
    Traceback (most recent call last):
    graphc.errors.MissingFileError: MNIST: files are missing ...
    """

    mirrors: ClassVar[tuple[str, ...]] = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    )
    sources: ClassVar[Mapping[str, Source]] = {
        TRAIN[0]: Source("f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb", (60000, 28, 28)),
        TRAIN[1]: Source("d53e105ee54ea40749a09fcbcd1e9432", "a25bea736e30d166cdddb491f175f624", (60000,)),
        TEST[0]: Source("9fb629c4189551a2d022fa330f9573f3", "2646ac647ad5339dbf082846283269ea", (10000, 28, 28)),
        TEST[1]: Source("ec29112dd5afa0611ce80d1b7f02629c", "27ae3e4e09519cfbb04c329615203637", (10000,)),
    }

    def __init__(
        self,
        root: str | os.PathLike[str],
        train: bool = True,
        *,
        transform: Callable[[Any], Any] | None = None,
        download: bool = False,
    ):
        self.root, self.train = Path(root).expanduser(), bool(train)
        names = TRAIN if train else TEST
        lacking = [name for name in names if self._find(name) is None]
        if lacking and not download:
            raise self._missing(lacking)
        for name in lacking:
            file = f"{name}.gz"
            fetch([mirror + file for mirror in self.mirrors], self._raw / file, self.sources[name].gzipped)
        images, labels = (self._read(name) for name in names)
        super().__init__(images, labels.astype(np.int64), transform)

    @property
    def _raw(self) -> Path:
        return self.root / type(self).__name__ / "raw"

    def _find(self, name: str) -> Path | None:
        """Where the file is: gzipped before plain, for that one can always be checked."""
        places = [folder / (name + end) for end in (".gz", "") for folder in (self.root, self._raw)]
        return next((path for path in places if path.is_file()), None)

    def _read(self, name: str) -> np.ndarray:
        path = self._find(name)
        assert path is not None
        source = self.sources[name]
        data = path.read_bytes()
        found, wanted = md5(data), source.gzipped if path.suffix == ".gz" else source.plain
        owner = PUBLISHED.get(found)
        if found != wanted and (wanted is not None or owner is not None):
            raise self._bad(path, f"MD5 {found}" + (f", which is {owner}" if owner else ""), f"{wanted or 'another'}")
        array = parse_idx(data, path)
        if array.dtype != np.uint8 or array.shape != source.shape:
            raise self._bad(path, f"{array.dtype}{list(array.shape)}", f"uint8{list(source.shape)}")
        return array

    def _bad(self, path: Path, got: str, expected: str) -> FileError:
        name = type(self).__name__
        return FileError(
            message(
                f"{name}: {path} is not the published file",
                got=got,
                expected=expected,
                at=user_line(),
                created=False,
                hint=f"delete it; {name}(root, download=True) fetches it again",
            )
        )

    def _missing(self, lacking: list[str]) -> MissingFileError:
        name = type(self).__name__
        return MissingFileError(
            message(
                f"{name}: files are missing",
                got=f"no {' and no '.join(lacking)}, with or without .gz",
                expected=f"them in {self.root.absolute()} or {self._raw.absolute()}",
                at=user_line(),
                created=False,
                hint=f"{name}(root, download=True) fetches them; without a network, copy them there",
            )
        )


class FashionMNIST(MNIST):
    """70,000 pictures of clothes, 28 x 28 pixels, in ten classes: 60,000 to train on, 10,000 to test with.

    Arguments and errors are those of `MNIST`; files may stand in ``<root>/FashionMNIST/raw``. Of unpacked files there
    is no published MD5: their format and sizes are checked, and that they are not MNIST's.

    >>> FashionMNIST.classes[9]
    'Ankle boot'
    """

    mirrors = (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    )
    sources: ClassVar[Mapping[str, Source]] = {
        TRAIN[0]: Source("8d4fb7e6c68d591d4c3dfef9ec88bf0d", None, (60000, 28, 28)),
        TRAIN[1]: Source("25c81989df183df01b3e8a0aad5dffbe", None, (60000,)),
        TEST[0]: Source("bef4ecab320f06d8554ea6380940ec79", None, (10000, 28, 28)),
        TEST[1]: Source("bb300cfdad3c16e7a12a480ee83cd310", None, (10000,)),
    }
    classes = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )


PUBLISHED = {
    digest: f"{name} of {owner.__name__}"
    for owner in (MNIST, FashionMNIST)
    for name, source in owner.sources.items()
    for digest in (source.gzipped, source.plain)
    if digest
}
"""Whose file a checksum belongs to, so that no set is taken for the other."""
