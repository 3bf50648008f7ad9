"""How eager tensors print: four digits, aligned, long ones summarised, as people know it from PyTorch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ir.dtypes import BOOL, FLOAT32, INT64
from .core import Tensor

_PRECISION, _WIDTH, _THRESHOLD, _EDGE = 4, 80, 1000, 3
_PREFIX = "tensor("
_UNMARKED = (FLOAT32, INT64, BOOL)  # dtypes that Python data get by default


class Formatter:
    """How one element is written: the same form and width for all elements of a tensor."""

    def __init__(self, values: np.ndarray):
        self.is_float = values.dtype.kind == "f"
        self.integral, self.scientific = True, False
        flat = values.reshape(-1)
        if self.is_float:
            flat = flat[np.isfinite(flat) & (flat != 0)].astype(np.float64)
            if flat.size:
                low, high = float(np.abs(flat).min()), float(np.abs(flat).max())
                self.integral = bool(np.all(flat == np.ceil(flat)))
                self.scientific = high / low > 1000 or high > 1e8 or low < 1e-4
        self.width = 0
        self.width = max([len(self(v)) for v in flat.tolist()], default=1)

    def __call__(self, value: Any) -> str:
        if not self.is_float or not math.isfinite(value):
            text = str(value)
        elif self.scientific:
            text = f"{value:.{_PRECISION}e}"
        elif self.integral:
            text = f"{value:.0f}."
        else:
            text = f"{value:.{_PRECISION}f}"
        return text.rjust(self.width)


def tensor_text(tensor: Tensor) -> str:
    """``tensor([1., 2.], requires_grad=True)``: values, then what is not the default."""
    array = tensor._array
    if array.size == 0:
        text = "[]"
    else:
        short = array.size > _THRESHOLD
        text = _block(array, len(_PREFIX), short, Formatter(_ends(array) if short else array))
    return _with_notes(_PREFIX + text, _notes(tensor))


def _ends(array: np.ndarray) -> np.ndarray:
    """The elements that a summary shows."""
    for axis, size in enumerate(array.shape):
        if size > 2 * _EDGE:
            array = np.take(array, [*range(_EDGE), *range(size - _EDGE, size)], axis)
    return array


def _block(array: np.ndarray, indent: int, short: bool, form: Formatter) -> str:
    """An array in brackets; depth is at most NumPy's 64 axes."""
    if array.ndim == 0:
        return form(array.item()).strip() if form.is_float else form(array.item())
    cut = short and array.shape[0] > 2 * _EDGE
    shown = [*array[:_EDGE], *array[-_EDGE:]] if cut else list(array)
    if array.ndim == 1:
        words = [form(v.item()) for v in shown]
        if cut:
            words.insert(_EDGE, " ...")
        per_line = max(1, (_WIDTH - indent) // (form.width + 2))
        lines = [", ".join(words[k : k + per_line]) for k in range(0, len(words), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    blocks = [_block(part, indent + 1, short, form) for part in shown]
    if cut:
        blocks.insert(_EDGE, "...")
    return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(blocks) + "]"


def _notes(tensor: Tensor) -> list[str]:
    notes = []
    array = tensor._array
    if array.size == 0 and array.ndim != 1:
        notes.append(f"size={array.shape}")
    if array.dtype not in _UNMARKED or (array.size == 0 and array.dtype != FLOAT32):
        notes.append(f"dtype={array.dtype}")
    if tensor.grad_fn is not None:
        notes.append(f"grad_fn={tensor.grad_fn!r}")
    elif tensor.requires_grad:
        notes.append("requires_grad=True")
    return notes


def _with_notes(text: str, notes: list[str]) -> str:
    length = len(text) - text.rfind("\n") + 1
    for note in notes:
        if length + len(note) + 2 > _WIDTH:
            text += ",\n" + " " * len(_PREFIX) + note
            length = len(_PREFIX) + len(note)
        else:
            text += ", " + note
            length += len(note) + 2
    return text + ")"
