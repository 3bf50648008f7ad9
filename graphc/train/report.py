"""What came of a training: a table of which class was taken for which, and a picture of wrong guesses."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROWS, COLUMNS = 4, 8


def confusion(labels: np.ndarray, guesses: np.ndarray, classes: int) -> np.ndarray:
    """How often each label (row) was guessed to be each class (column): int64[classes, classes].

    >>> confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    array([[1, 1],
           [0, 1]])
    """
    return np.bincount(labels * classes + guesses, minlength=classes * classes).reshape(classes, classes)


def table(matrix: np.ndarray, classes: Sequence[str]) -> str:
    """The confusion matrix as text, with dots for zeros and the part of each row that is right.

    >>> print(table(np.array([[9, 1], [0, 5]]), ["cat", "dog"]))
    label / guess    0    1   right
        0 cat        9    1  90.0 %
        1 dog        .    5 100.0 %
    """
    names = [str(k) if name == str(k) else f"{k} {name}" for k, name in enumerate(classes)]
    width = max(13, *(len(name) + 4 for name in names))
    cell = max(5, len(str(matrix.max(initial=0))) + 1)
    lines = [f"{'label / guess':<{width}}" + "".join(f"{k:>{cell}}" for k in range(len(names))) + "   right"]
    for k, name in enumerate(names):
        counts = "".join(f"{n if n else '.':>{cell}}" for n in matrix[k])
        share = 100 * matrix[k, k] / max(1, matrix[k].sum())
        lines.append(f"{'    ' + name:<{width}}{counts}{share:6.1f} %")
    return "\n".join(lines)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax of each row."""
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True)


def picture(images: np.ndarray, labels: np.ndarray, logits: np.ndarray, classes: Sequence[str], path: Path) -> str:
    """Draw the wrong guesses that were the most certain into a file; says where it is, or why there is none.

    images   [n, H, W], with their labels int64[n] and logits float[n, classes]
    """
    chances = probabilities(logits)
    guesses = np.argmax(chances, axis=1)
    wrong = np.flatnonzero(guesses != labels)
    if not wrong.size:
        return "none: no guess is wrong"
    if importlib.util.find_spec("matplotlib") is None:
        return "none: matplotlib is not installed (pip install matplotlib)"
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    surest = wrong[np.argsort(-chances[wrong, guesses[wrong]], kind="stable")][: ROWS * COLUMNS]
    rows = -(-len(surest) // COLUMNS)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(12, 1.75 * rows + 0.5), squeeze=False, layout="constrained")
    for place in axes.flat:
        place.axis("off")
    for place, k in zip(axes.flat, surest, strict=False):
        place.imshow(images[k], cmap="gray_r")
        sure = f"{100 * chances[k, guesses[k]]:.0f} %"
        place.set_title(f"{classes[guesses[k]]} ({sure})\nis {classes[labels[k]]}", fontsize=9)
    which = "all" if len(surest) == len(wrong) else f"the {len(surest)} most certain of"
    figure.suptitle(f"{which} {len(wrong)} wrong guesses among {len(labels)} test images", fontsize=11)
    figure.savefig(path, dpi=100)
    plt.close(figure)
    return str(path)
