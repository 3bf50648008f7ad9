"""`gc.data`: datasets, batches, transforms of images, and three sets of real images, in PyTorch's spelling.

>>> import graphc as gc
>>> from graphc.data import Compose, DataLoader, Digits, Normalize, Pad, ToTensor
>>> images = Digits(transform=Compose([Pad(12), ToTensor(), Normalize(0.3, 0.4)]))
>>> loader = DataLoader(images, batch_size=100, shuffle=True, seed=0, num_workers=2)
>>> x, t = next(iter(loader))
>>> x.shape, x.dtype, t.shape, t.dtype
((100, 1, 32, 32), dtype('float32'), (100,), dtype('int64'))

Arrays of one's own are a dataset by ``ArrayDataset(x, t)``. A loop over the loader calls a step batch by batch;
``step.run(*loader.arrays(), batch_size=100, shuffle=True, seed=0)`` takes the same batches inside compiled code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..ops.calls import explain
from ..ops.hints import missing_name
from .collate import collate
from .dataset import ArrayDataset, BatchDataset, Dataset, Subset, random_split
from .digits import Digits
from .idx import read_idx
from .images import ImageDataset
from .loader import DataLoader
from .mnist import MNIST, FashionMNIST
from .transforms import Compose, Normalize, Pad, Resize, ToTensor

__all__ = [
    "MNIST",
    "ArrayDataset",
    "BatchDataset",
    "Compose",
    "DataLoader",
    "Dataset",
    "Digits",
    "FashionMNIST",
    "ImageDataset",
    "Normalize",
    "Pad",
    "Resize",
    "Subset",
    "ToTensor",
    "collate",
    "random_split",
    "read_idx",
]

explain(__name__, globals(), __all__)


if not TYPE_CHECKING:  # which knows by itself what is not there

    def __getattr__(name: str) -> Any:
        raise missing_name(__name__, name)
