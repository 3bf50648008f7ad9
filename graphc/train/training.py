"""A training: a model and an optimiser, the steps compiled from them, and how far it has come."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import graphc as gc
from graphc import nn
from graphc.errors import FileError, message

from .images import Images
from .models import model
from .options import DEFAULTS, FITS

IMAGES_AT_ONCE = 500
"""Test images that are guessed in one step: what lies between the layers stays small."""


class Epoch(NamedTuple):
    """What came of an epoch: the mean loss, the part of the test images guessed right, seconds spent in steps."""

    loss: float
    right: float
    seconds: float


class Training:
    """A model that is trained epoch by epoch.

    settings   see `options.DEFAULTS`
    history    of every epoch done: its mean loss, and the part of the test images that was then guessed right
    saved      how many of them are in the file that was written, or read, last
    step       takes one training step: forward, loss, backward, momentum and update; returns the loss
    guess      gives the logits of images
    """

    def __init__(self, settings: Mapping[str, Any], data: Images, threads: int | None = None):
        self.settings, self.data = dict(settings), data
        self.history: list[list[float]] = []
        self.saved = 0
        self.model = model(settings["model"], settings["seed"])
        x, t = gc.input("x", ("batch", *data.x.shape[1:]), "float32"), gc.input("t", ("batch",), "int64")
        logits = self.model(x)
        loss = nn.cross_entropy(logits, t)
        steps = settings["epochs"] * -(-len(data.x) // settings["batch_size"])
        highest = gc.param(settings["lr"], name="lr", trainable=False)  # a param: another rate needs no other code
        cycle = gc.optim.one_cycle(1.0, steps)
        self.opt = gc.optim.SGD(
            self.model.named_parameters(), lr=lambda step: highest * cycle(step), momentum=settings["momentum"]
        )
        self.step = gc.compile([x, t], loss, self.opt.minimize(loss), threads=threads, name=settings["model"])
        self.guess = gc.compile([x], logits, threads=threads, name=f"{settings['model']}_guess")

    @property
    def epochs(self) -> int:
        """How many were done."""
        return len(self.history)

    def epoch(self, progress: Callable[[int, Any], Any] | bool = False) -> Epoch:
        """Train one epoch, then test. It does not count as done if the loss is no number."""
        data, settings = self.data, self.settings
        start = time.perf_counter()
        losses = self.step.run(
            data.x,
            data.t,
            batch_size=settings["batch_size"],
            first_epoch=self.epochs,
            shuffle=True,
            seed=settings["seed"],
            progress=progress,
        )
        seconds = time.perf_counter() - start
        loss = float(np.mean(losses))
        right = float(np.mean(np.argmax(self.test(), axis=1) == data.test_t))
        if np.isfinite(loss):
            self.history.append([loss, right])
        return Epoch(loss, right, seconds)

    def test(self) -> np.ndarray:
        """The logits of the test images."""
        return self.guess.run(self.data.test_x, batch_size=IMAGES_AT_ONCE)

    def save(self, path: Path) -> None:
        """Write all that `load` needs to go on."""
        gc.save(path, train=1, settings=self.settings, history=self.history, model=self.model, opt=self.opt)
        self.saved = self.epochs

    def load(self, path: Path) -> None:
        """Go on where the training was that wrote `path`: bit for bit, if its settings are these."""
        self.history = gc.load(path, model=self.model, opt=self.opt)["history"]
        self.saved = self.epochs


class Saved(NamedTuple):
    """How far a training had come that wrote a checkpoint: its settings, and how many epochs were done."""

    settings: dict[str, Any]
    epochs: int


def saved(path: Path) -> Saved:
    """What a checkpoint says before its training is made. Raises FileError where it is none of this command's."""
    found = gc.load(path)
    settings, history = found.get("settings"), found.get("history")
    if found.get("train") != 1 or not {"settings", "history", "model", "opt"} <= set(found):
        raise _foreign(path, f"one that holds {', '.join(found) or 'nothing'}", "train, settings, history, model, opt")
    if not isinstance(settings, dict) or set(settings) != set(DEFAULTS):
        shown = ", ".join(settings) if isinstance(settings, dict) else str(settings)[:40]
        raise _foreign(path, f"settings {shown}", ", ".join(DEFAULTS))
    for name, value in settings.items():
        if not FITS[name](value):
            raise _foreign(path, f"{name} {str(value)[:40]}", "the settings of a training")
    if not isinstance(history, list) or not all(_is_epoch(e) for e in history) or len(history) > settings["epochs"]:
        expected = f"a loss and an accuracy of at most {settings['epochs']} epochs"
        raise _foreign(path, f"history {str(history)[:40]}", expected)
    return Saved(settings, len(history))


def _is_epoch(value: Any) -> bool:
    return isinstance(value, list) and list(map(type, value)) == [float, float]


def _foreign(path: Path, got: str, expected: str) -> FileError:
    return FileError(message(f"{path} is not a checkpoint of the train command", got=got, expected=expected))
