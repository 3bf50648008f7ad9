"""The course of ``python -m graphc train``: read, compile, train epoch by epoch, save, report."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from graphc.errors import FileError, GraphcError, InputError, MissingFileError, count, message

from .images import Images, images
from .options import DEFAULTS, EPOCHS, KEPT
from .report import confusion, picture, table
from .training import Saved, Training, saved


def train(options: argparse.Namespace) -> int:
    """Run the command; the process's exit status: 0, 1 for an error, 130 for Ctrl-C."""
    try:
        return _train(options)
    except (GraphcError, OSError) as error:
        print(f"error: {_text(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted before training began", file=sys.stderr)
        return 130


def _train(options: argparse.Namespace) -> int:
    settings, changed = _settings(options)
    checkpoint = _checkpoint(options, settings)
    replaced = _to_replace(checkpoint) if checkpoint.exists() and not options.resume else None
    data = _images(settings["data"], options)
    print(f"data        {settings['data']}: {len(data.x)} training and {len(data.test_x)} test images, 32 x 32")
    start = time.perf_counter()
    training = Training(settings, data, options.threads)
    spent = time.perf_counter() - start
    print(f"model       {settings['model']}: {training.model.num_parameters():,} parameters")
    print(f"compiled    in {spent:.1f} s (less when it is in the cache)")
    if options.resume:
        training.load(checkpoint)
        more = "".join(f", {name} now {value}" for name, value in changed.items())
        print(f"resumed     after {training.epochs} of {settings['epochs']} epochs{more}")
    if replaced is not None:
        print(f"replaces    {checkpoint}, trained for {count(replaced.epochs, 'epoch')} (--resume goes on from it)")
    try:
        status = _epochs(training, checkpoint)
        if training.epochs and not status:
            _report(training, data, None if options.no_plot else options.output or Path(f"{_name(settings)}.png"))
        return status
    except KeyboardInterrupt:
        print(f"\n{_interrupted(training, checkpoint)}", file=sys.stderr)
        return 130


def _interrupted(training: Training, checkpoint: Path) -> str:
    """Where Ctrl-C stopped a training, and how it goes on."""
    saved, total = training.saved, training.settings["epochs"]  # an epoch is done when it is in the checkpoint
    if saved == total:
        return f"interrupted after epoch {total}/{total}; the checkpoint is {checkpoint}"
    text = f"interrupted in epoch {saved + 1:>{len(str(total))}}/{total}"
    return f"{text}; --resume goes on from {checkpoint}" if saved else text


def _settings(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """All settings: those given, those of the checkpoint to resume, the defaults; and those changed by resuming."""
    given = {name: value for name in DEFAULTS if (value := getattr(options, name)) is not None}
    known: Mapping[str, Any] = {}
    if options.resume:
        known, done = saved(_checkpoint(options, {**DEFAULTS, **given}))
        for name in KEPT:
            if given.get(name, known[name]) != known[name]:
                option = f"--{name.replace('_', '-')}"
                failed = f"the checkpoint was trained with {option} {known[name]}"
                raise InputError(message(failed, got=f"{option} {given[name]}"))
        if given.get("epochs", done) < done:
            failed = f"the checkpoint was trained for {count(done, 'epoch')}"
            raise InputError(message(failed, got=f"--epochs {given['epochs']}", expected=f"{done} or more"))
    settings = {**DEFAULTS, **known, **given}
    if settings["epochs"] is None:
        settings["epochs"] = EPOCHS[settings["data"]]
    return settings, {name: settings[name] for name in known if settings[name] != known[name]}


def _to_replace(checkpoint: Path) -> Saved:
    """What is in the file that the first epoch will replace: of this command's, or it must not be replaced."""
    try:
        return saved(checkpoint)
    except FileError as error:
        hint = "nothing but such a checkpoint is replaced: --checkpoint FILE names another file"
        raise FileError(f"{error}\n  hint: {hint}") from error


def _images(name: str, options: argparse.Namespace) -> Images:
    try:
        return images(name, options.root, options.download)
    except MissingFileError as error:
        if name == "digits" or options.download:
            raise
        text = "\n".join(line for line in str(error).splitlines() if not line.startswith("  hint: "))
        raise MissingFileError(f"{text}\n  hint: --root says where to look, --download fetches them") from error


def _name(settings: Mapping[str, Any]) -> str:
    return f"graphc_{settings['data']}_{settings['model']}"


def _checkpoint(options: argparse.Namespace, settings: Mapping[str, Any]) -> Path:
    return options.checkpoint or Path(f"{_name(settings)}.npz")


def _epochs(training: Training, checkpoint: Path) -> int:
    """Train until all epochs are done, with a checkpoint after each; the exit status."""
    total, images = training.settings["epochs"], len(training.data.x)
    width = len(str(total))
    for number in range(training.epochs + 1, total + 1):
        label = f"epoch {number:>{width}}/{total}"
        with tqdm(total=images, desc=label, unit=" images", unit_scale=True, leave=False, disable=None) as bar:
            found = training.epoch(_shown(bar, training.settings["batch_size"], images))
            bar.refresh()  # an epoch may take less time than passes between two drawings
        if training.epochs < number:
            print(f"error: the loss of {label} is {found.loss}: a smaller --lr may help", file=sys.stderr)
            return 1
        training.save(checkpoint)
        speed = f"{images / found.seconds:,.0f} images/s"
        print(f"{label}  loss {found.loss:.4f}  test accuracy {100 * found.right:.2f} %  {speed}", flush=True)
    print(f"checkpoint  {checkpoint}")
    return 0


def _shown(bar: Any, batch_size: int, images: int) -> Callable[[int, Any], None]:
    """What shows the images done, and the mean loss of the last steps, on a bar."""

    def show(steps: int, losses: np.ndarray) -> None:
        bar.set_postfix(loss=f"{losses[-50:].mean():.4f}", refresh=False)
        bar.update(min(steps * batch_size, images) - bar.n)

    return show


def _report(training: Training, data: Images, output: Path | None) -> None:
    logits = training.test()
    guesses = np.argmax(logits, axis=1)
    print(f"\n{table(confusion(data.test_t, guesses, len(data.classes)), data.classes)}\n")
    wrong = int(np.sum(guesses != data.test_t))
    print(f"wrong       {wrong} of {len(guesses)}, {100 * (1 - wrong / len(guesses)):.2f} % right")
    if output is not None:
        print(f"picture     {picture(data.shown, data.test_t, logits, data.classes, output)}")


def _text(error: Exception) -> str:
    """The text of an error without lines of Python, which are not the user's here."""
    return "\n".join(line for line in str(error).splitlines() if not line.startswith(("  at ", "  created at ")))
