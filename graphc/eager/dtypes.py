"""Names of dtypes as ``eager.float32``, and what ``dtype=`` and ``device=`` arguments mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import UnsupportedError, message, user_line
from ..ir.dtypes import BOOL, FLOAT32, FLOAT64, INT64, SUPPORTED, DType, as_dtype

NAMES: dict[str, DType] = {
    **{str(d): d for d in SUPPORTED},
    "float": FLOAT32,
    "double": FLOAT64,
    "long": INT64,
    "int": np.dtype("int32"),
    "short": np.dtype("int16"),
}
"""PyTorch's names: here `float` is float32 and `int` is int32, as they are there."""


def dtype_of(spec: Any) -> DType:
    """The dtype that ``dtype=spec`` means; Python's `float` is the default float, float32."""
    return FLOAT32 if spec is float else INT64 if spec is int else BOOL if spec is bool else as_dtype(spec)


def check_device(device: Any) -> None:
    """Refuse any device but the CPU, naming what runs on a GPU."""
    if device is not None and str(device) != "cpu":
        raise UnsupportedError(
            message(
                "the eager engine runs on the CPU only",
                got=f"device {str(device)!r}",
                expected="'cpu'",
                at=user_line(),
                created=False,
                hint='GPUs are for compiled steps: gc.compile(..., target="cuda")',
            )
        )
