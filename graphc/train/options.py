"""The arguments of ``python -m graphc train``: what may be given, what is taken where nothing is, what is refused."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

DATA = ("digits", "mnist", "fashion-mnist")
MODELS = ("lenet", "mlp")
EPOCHS = {"digits": 20, "mnist": 3, "fashion-mnist": 10}
"""What is enough for each set."""
SHAPE = "it is reached after 30 %% of the steps, and falls to nearly 0"
DEFAULTS: dict[str, Any] = {
    "data": "digits",
    "model": "lenet",
    "epochs": None,
    "batch_size": 100,
    "lr": 0.05,
    "momentum": 0.9,
    "seed": 0,
}
"""The settings of a training: those that a checkpoint holds, and that ``--resume`` takes from it."""
KEPT = ("data", "model", "batch_size")
"""Those that resuming cannot change: weights do not fit, and the learning rate depends on the number of steps taken."""
FITS: dict[str, Callable[[Any], bool]] = {
    "data": lambda value: value in DATA,
    "model": lambda value: value in MODELS,
    "epochs": lambda value: type(value) is int and value >= 1,
    "batch_size": lambda value: type(value) is int and value >= 1,
    "lr": lambda value: type(value) in (int, float) and 0 < value < math.inf,
    "momentum": lambda value: type(value) in (int, float) and 0 <= value < 1,
    "seed": lambda value: type(value) is int and 0 <= value < 2**63,
}
"""Whether a value may be a setting: of a checkpoint, which may hold anything."""
CHECKPOINTS, PICTURES = (".npz", ".safetensors"), (".png", ".pdf", ".svg", ".jpg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Let `parser` take the arguments of the command. Settings that were not given are None."""
    few = ", ".join(f"{n} for {name}" for name, n in EPOCHS.items())
    about = ".npz or .safetensors, replaced after every epoch"
    rate = number("a number > 0", FITS["lr"])
    part = number("a number >= 0 and < 1", FITS["momentum"])
    add = parser.add_argument
    add("--data", choices=DATA, help="what to train on (default: digits, which need no files)")
    add("--root", type=Path, default=Path("data"), help="folder of MNIST's or Fashion-MNIST's files (default: data)")
    add("--download", action="store_true", help="fetch files that are not there")
    add("--model", choices=MODELS, help="lenet: two convolutions; mlp: 300 and 100 hidden units (default: lenet)")
    add(
        "--epochs",
        type=whole(1),
        metavar="N",
        help=f"passes over the images in all, with those resumed (default: {few})",
    )
    add("--batch-size", type=whole(1), metavar="N", help="images of a step; resuming keeps it (default: 100)")
    add("--lr", type=rate, metavar="RATE", help=f"highest learning rate; {SHAPE} (default: 0.05)")
    add("--momentum", type=part, metavar="M", help="of gradient descent (default: 0.9)")
    add("--seed", type=whole(0), metavar="N", help="of first weights and the order of the images (default: 0)")
    add("--threads", type=whole(1), metavar="N", help="for kernels with enough to do (default: all)")
    add("--checkpoint", type=ending(CHECKPOINTS), metavar="FILE", help=f"{about} (default: graphc_DATA_MODEL.npz)")
    add("--resume", action="store_true", help="go on from the checkpoint, with its settings where none are given")
    about = "picture of wrong guesses (default: graphc_DATA_MODEL.png)"
    add("--output", type=ending(PICTURES), metavar="FILE", help=about)
    add("--no-plot", action="store_true", help="draw no picture")


def whole(least: int) -> Callable[[str], int]:
    """Reads an int of at least `least`, below 2**63."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value < 2**63:
            raise argparse.ArgumentTypeError(f"got {text!r}, expected an int >= {least}")
        return value

    return read


def number(expected: str, fits: Callable[[float], bool]) -> Callable[[str], float]:
    """Reads a float that `fits`."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not fits(value):
            raise argparse.ArgumentTypeError(f"got {text!r}, expected {expected}")
        return value

    return read


def ending(kinds: tuple[str, ...]) -> Callable[[str], Path]:
    """Reads the name of a file to be written, of one of some kinds, in a folder that is there."""

    def read(text: str) -> Path:
        path = Path(text)
        if path.suffix not in kinds:
            raise argparse.ArgumentTypeError(f"got {text!r}, expected a name that ends in {', '.join(kinds)}")
        if not path.parent.is_dir():
            raise argparse.ArgumentTypeError(f"got {text!r}, but there is no folder {str(path.parent)!r}")
        return path

    return read
