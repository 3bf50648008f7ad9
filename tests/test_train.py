"""`python -m graphc train`: accuracy, checkpoints, what is printed, drawn and refused; LeNet against PyTorch."""

from __future__ import annotations

import importlib.util
import io
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch_cases_lenet as cases

import graphc as gc
from graphc.__main__ import main
from graphc.train import command, report
from graphc.train.models import MODELS, LeNet
from graphc.train.training import Training

PNG = b"\x89PNG\r\n"
RUN = ["train", "--epochs", "7", "--lr", "0.02", "--seed", "1"]
"""The same number of steps as in `cases.SETTINGS`, hence the same compiled code."""
needs_mnist = pytest.mark.skipif("GRAPHC_MNIST" not in os.environ, reason="GRAPHC_MNIST names no folder")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def same(a: Any, b: Any) -> bool:
    """Whether two trees of arrays and numbers are equal to the bit."""
    if isinstance(a, Mapping):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return bool(np.array_equal(a, b)) and type(a) is type(b)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which LeNet was trained on the digits, and what was printed."""
    folder, before, printed = tmp_path_factory.mktemp("trained"), Path.cwd(), io.StringIO()
    stdout, sys.stdout = sys.stdout, printed
    os.chdir(folder)
    try:
        assert main(RUN) == 0
    finally:
        os.chdir(before)
        sys.stdout = stdout
    return folder, printed.getvalue()


def test_what_is_printed(trained: tuple[Path, str]) -> None:
    folder, printed = trained
    head, matrix, tail = printed.split("\n\n")
    lines = head.splitlines()
    assert lines[:2] == [
        "data        digits: 1437 training and 360 test images, 32 x 32",
        "model       lenet: 61,706 parameters",
    ]
    assert re.fullmatch(r"compiled    in \d+\.\d s \(less when it is in the cache\)", lines[2])
    epoch = r"epoch (\d)/7  loss (\d\.\d{4})  test accuracy (\d+\.\d\d) %  [\d,]+ images/s"
    rows = [re.fullmatch(epoch, line) for line in lines[3:-1]]
    numbers = [[float(n) for n in row.groups()] for row in rows if row]
    assert [int(n) for n, _, _ in numbers] == [1, 2, 3, 4, 5, 6, 7]
    assert numbers[0][1] > 2 and numbers[-1][1] < 0.5 and numbers[-1][2] > 80
    assert lines[-1] == "checkpoint  graphc_digits_lenet.npz"
    counts = np.array([[int(n) for n in row.replace(".", "0").split()[1:11]] for row in matrix.splitlines()[1:]])
    counts = counts[:, :10]
    assert counts.shape == (10, 10) and counts.sum() == 360
    right = np.trace(counts)
    assert f"{100 * right / 360:.2f}" == f"{numbers[-1][2]:.2f}"
    assert tail.splitlines() == [
        f"wrong       {360 - right} of 360, {numbers[-1][2]:.2f} % right",
        "picture     graphc_digits_lenet.png",
    ]
    assert (folder / "graphc_digits_lenet.png").read_bytes().startswith(PNG)


def interrupted(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Let Ctrl-C come in the middle of the epoch behind `after` whole ones."""
    true = Training.epoch

    def epoch(self: Training, progress: Any = False) -> Any:
        if self.epochs < after:
            return true(self, progress)

        def stop(steps: int, losses: Any) -> None:
            raise KeyboardInterrupt

        return true(self, stop)

    monkeypatch.setattr(Training, "epoch", epoch)


def test_resumed_training_is_uninterrupted_training(
    trained: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the bit: weights, momentum, step counter and the figures of every epoch."""
    with monkeypatch.context() as patched:
        interrupted(patched, 3)
        assert main([*RUN, "--checkpoint", "half.safetensors", "--no-plot"]) == 130
    assert "\ninterrupted in epoch 4/7; --resume goes on from half.safetensors\n" in capsys.readouterr().err
    assert len(gc.load("half.safetensors")["history"]) == 3
    assert main(["train", "--resume", "--checkpoint", "half.safetensors", "--no-plot"]) == 0
    printed = capsys.readouterr().out
    assert "resumed     after 3 of 7 epochs\nepoch 4/7  loss" in printed and "picture" not in printed
    assert same(gc.load("half.safetensors"), gc.load(trained[0] / "graphc_digits_lenet.npz"))
    assert main(["train", "--resume", "--checkpoint", "half.safetensors", "--lr", "0.01", "--no-plot"]) == 0
    printed = capsys.readouterr().out
    assert "resumed     after 7 of 7 epochs, lr now 0.01\ncheckpoint  half.safetensors\n" in printed


def test_ctrl_c_in_the_first_epoch(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    interrupted(monkeypatch, 0)
    assert main(RUN) == 130
    assert capsys.readouterr().err.endswith("\ninterrupted in epoch 1/7\n")
    assert os.listdir() == []


def stop(*args: Any, **named: Any) -> Any:
    raise KeyboardInterrupt


def test_ctrl_c_between_two_epochs(
    trained: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line wherever it comes: in a test, while a checkpoint is written, before and after the training."""
    path = Path("graphc_digits_lenet.npz")
    path.write_bytes((trained[0] / path).read_bytes())
    resume = ["train", "--resume", "--no-plot"]
    true = Training.save

    def save(self: Training, file: Path) -> None:
        if self.epochs == 2:
            raise KeyboardInterrupt
        true(self, file)

    for where, name, stopped, arguments, text in (
        (command, "_images", stop, resume, "interrupted before training began"),
        (command, "_report", stop, resume, f"interrupted after epoch 7/7; the checkpoint is {path}"),
        (Training, "test", stop, RUN, "interrupted in epoch 1/7"),
        (Training, "save", save, RUN, f"interrupted in epoch 2/7; --resume goes on from {path}"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(where, name, stopped)
            assert main(arguments) == 130
        assert re.sub(r".*\r", "", capsys.readouterr().err) == f"\n{text}\n"
    assert len(gc.load(path)["history"]) == 1


def test_a_loss_that_is_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    """The checkpoint stays as it was: there is none."""
    assert main([*RUN, "--lr", "1e30"]) == 1
    assert capsys.readouterr().err == "error: the loss of epoch 1/7 is nan: a smaller --lr may help\n"
    assert os.listdir() == []


def test_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal there is one, with the loss and images per second."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    assert main([*RUN, "--no-plot", "--checkpoint", "bar.npz"]) == 0
    drawn = screen.getvalue()
    assert "epoch 7/7:" in drawn
    assert re.search(r"epoch \d/7:.*/1\.44k \[.* images/s, loss=\d\.\d{4}\]", drawn), drawn


def test_mlp(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--model", "mlp", "--epochs", "3", "--threads", "1", "--output", "wrong.svg"]) == 0
    printed = capsys.readouterr().out
    assert "model       mlp: 338,610 parameters\n" in printed and "picture     wrong.svg\n" in printed
    assert sorted(os.listdir()) == ["graphc_digits_mlp.npz", "wrong.svg"]
    assert float(re.findall(r"accuracy (\S+) %", printed)[-1]) > 85
    assert main(["train", "--model", "lenet", "--resume", "--checkpoint", "graphc_digits_mlp.npz"]) == 1
    assert capsys.readouterr().err == "error: the checkpoint was trained with --model mlp: got --model lenet\n"


@pytest.mark.parametrize("name", MODELS)
def test_first_weights_depend_on_the_seed_alone(name: str) -> None:
    from graphc.train.models import model

    a, b, c = (model(name, seed).state_dict() for seed in (3, 3, 4))
    assert same(a, b) and not same(a, c)


# the report


def test_the_table() -> None:
    labels, guesses = np.array([0, 0, 0, 1, 2]), np.array([0, 0, 2, 1, 2])
    assert report.table(report.confusion(labels, guesses, 3), ["Bag", "Ankle boot", "2"]) == (
        "label / guess       0    1    2   right\n"
        "    0 Bag           2    .    1  66.7 %\n"
        "    1 Ankle boot    .    1    . 100.0 %\n"
        "    2               .    .    1 100.0 %"
    )


def test_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = np.zeros((50, 8, 8), np.uint8), np.zeros(50, np.int64)
    right, wrong = np.tile([1.0, 0.0], (50, 1)), np.tile([0.0, 1000.0], (50, 1))
    path = Path("wrong.png")
    assert report.picture(images, labels, right, ["a", "b"], path) == "none: no guess is wrong"
    assert report.picture(images, labels, wrong, ["a", "b"], path) == "wrong.png"
    assert path.read_bytes().startswith(PNG)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    text = "none: matplotlib is not installed (pip install matplotlib)"
    assert report.picture(images, labels, wrong, ["a", "b"], path) == text


# what is refused


@pytest.mark.parametrize("given,text", [
    ("--data cifar", "argument --data: invalid choice: 'cifar'"),
    ("--model resnet", "argument --model: invalid choice: 'resnet'"),
    ("--epochs 0", "argument --epochs: got '0', expected an int >= 1"),
    ("--batch-size 1.5", "argument --batch-size: got '1.5', expected an int >= 1"),
    ("--lr 0", "argument --lr: got '0', expected a number > 0"),
    ("--lr inf", "argument --lr: got 'inf', expected a number > 0"),
    ("--lr fast", "argument --lr: got 'fast', expected a number > 0"),
    ("--momentum 1", "argument --momentum: got '1', expected a number >= 0 and < 1"),
    ("--momentum nan", "argument --momentum: got 'nan', expected a number >= 0 and < 1"),
    ("--seed -1", "argument --seed: got '-1', expected an int >= 0"),
    ("--seed 9223372036854775808", "argument --seed: got '9223372036854775808', expected an int >= 0"),
    ("--checkpoint run.pt", "argument --checkpoint: got 'run.pt', expected a name that ends in .npz, .safetensors"),
    ("--checkpoint no/run.npz", "argument --checkpoint: got 'no/run.npz', but there is no folder 'no'"),
    ("--output wrong.txt", "argument --output: got 'wrong.txt', expected a name that ends in .png, .pdf, .svg, .jpg"),
])  # fmt: skip
def test_bad_arguments(given: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["train", *given.split()])
    assert stopped.value.code == 2 and text in capsys.readouterr().err


def test_missing_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--data", "mnist", "--root", "none"]) == 1
    here = Path.cwd()
    assert capsys.readouterr().err == (
        "error: MNIST: files are missing: got no train-images-idx3-ubyte and no train-labels-idx1-ubyte, with or "
        f"without .gz, expected them in {here / 'none'} or {here / 'none' / 'MNIST' / 'raw'}\n"
        "  hint: --root says where to look, --download fetches them\n"
    )


def settings(**changed: Any) -> dict[str, Any]:
    return {
        "data": "digits", "model": "lenet", "epochs": 7, "batch_size": 100, "lr": 0.02, "momentum": 0.9, "seed": 1,
        **changed,
    }  # fmt: skip


def test_what_resuming_cannot_change(trained: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    """The rate follows the number of steps taken, so a batch keeps its size; and epochs done are not undone."""
    file = str(trained[0] / "graphc_digits_lenet.npz")
    for given, text in (
        ("--batch-size 50", "the checkpoint was trained with --batch-size 100: got --batch-size 50"),
        ("--data mnist", "the checkpoint was trained with --data digits: got --data mnist"),
        ("--epochs 3", "the checkpoint was trained for 7 epochs: got --epochs 3, expected 7 or more"),
    ):
        assert main(["train", "--resume", "--checkpoint", file, *given.split()]) == 1
        assert capsys.readouterr() == ("", f"error: {text}\n")


def test_a_checkpoint_that_is_replaced(
    trained: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said before; what is no checkpoint of the command is not replaced."""
    old = (trained[0] / "graphc_digits_lenet.npz").read_bytes()
    path = Path("graphc_digits_lenet.npz")
    path.write_bytes(old)
    with monkeypatch.context() as patched:
        interrupted(patched, 0)
        assert main(RUN) == 130
    line = f"replaces    {path}, trained for 7 epochs (--resume goes on from it)"
    assert capsys.readouterr().out.splitlines()[-1] == line
    assert path.read_bytes() == old
    with monkeypatch.context() as patched:
        interrupted(patched, 1)
        assert main(RUN) == 130
    assert len(gc.load(path)["history"]) == 1
    capsys.readouterr()
    hint = "  hint: nothing but such a checkpoint is replaced: --checkpoint FILE names another file\n"
    path.write_bytes(old[:-1])
    gc.save("mine.npz", w=np.ones(3))
    for name, text in (
        (str(path), f"not a checkpoint: {path}: got BadZipFile: File is not a zip file, "
                    "expected a whole npz file, not cut off"),
        ("mine.npz", "mine.npz is not a checkpoint of the train command: got one that holds w, "
                     "expected train, settings, history, model, opt"),
    ):  # fmt: skip
        before = Path(name).read_bytes()
        assert main([*RUN, "--checkpoint", name]) == 1
        assert capsys.readouterr() == ("", f"error: {text}\n{hint}")
        assert Path(name).read_bytes() == before


@pytest.mark.parametrize("changed,text", [
    ({"history": None}, "got history None, expected a loss and an accuracy of at most 7 epochs"),
    ({"history": [[0.5]]}, "got history [[0.5]], expected a loss and an accuracy of at most 7 epochs"),
    ({"history": [[0.5, 0.5]] * 8}, f"got history {str([[0.5, 0.5]] * 8)[:40]}, "
     "expected a loss and an accuracy of at most 7 epochs"),
    ({"settings": 3}, "got settings 3, expected data, model, epochs, batch_size, lr, momentum, seed"),
    ({"settings": {"data": 3}}, "got settings data, expected data, model, epochs, batch_size, lr, momentum, seed"),
    *(({"settings": settings(**{name: value})}, f"got {name} {value}, expected the settings of a training")
      for name, value in (("data", "cifar"), ("model", ["lenet"]), ("epochs", 0), ("batch_size", 1.5), ("lr", "fast"),
                          ("momentum", 1.0), ("seed", True))),
])  # fmt: skip
def test_crafted_checkpoints(changed: dict[str, Any], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    content = {"train": 1, "settings": settings(), "history": [], "model": {}, "opt": {}, **changed}
    gc.save("crafted.npz", **content)
    assert main(["train", "--resume", "--checkpoint", "crafted.npz"]) == 1
    error = f"error: crafted.npz is not a checkpoint of the train command: {text}\n"
    assert capsys.readouterr() == ("", error)


def test_foreign_checkpoints(capsys: pytest.CaptureFixture[str]) -> None:
    def refused(name: str) -> str:
        assert main(["train", "--resume", "--checkpoint", name]) == 1
        return capsys.readouterr().err

    assert refused("none.npz") == f"error: no checkpoint: got no file {Path.cwd() / 'none.npz'}\n"
    Path("text.npz").write_text("PK, or so")
    assert refused("text.npz").startswith("error: not a checkpoint: text.npz: got BadZipFile")
    np.savez("arrays.npz", w=np.ones(3))
    assert refused("arrays.npz").startswith("error: not a checkpoint: arrays.npz: got ")
    gc.save("other.npz", model=gc.nn.Linear(2, 1), epoch=3)
    assert refused("other.npz") == (
        "error: other.npz is not a checkpoint of the train command: got one that holds model, epoch, expected train, "
        "settings, history, model, opt\n"
    )
    gc.save("half.npz", train=1, settings=settings(), model={}, opt={})
    assert refused("half.npz") == (
        "error: half.npz is not a checkpoint of the train command: got one that holds train, settings, model, opt, "
        "expected train, settings, history, model, opt\n"
    )


# LeNet against PyTorch, and MNIST


@pytest.fixture(scope="module")
def in_float64() -> tuple[gc.Step, gc.nn.Module, gc.optim.Optimizer]:
    """The training step of the command for float64."""
    model, settings = LeNet().to("float64"), cases.SETTINGS
    x, t = gc.input("x", ("batch", 1, 32, 32)), gc.input("t", ("batch",), "int64")
    loss = gc.nn.cross_entropy(model(x), t)
    total = settings["epochs"] * -(-1437 // settings["batch_size"])
    rate = gc.optim.one_cycle(settings["lr"], total)
    opt = gc.optim.SGD(model.parameters(), lr=rate, momentum=settings["momentum"])
    return gc.compile([x, t], loss, opt.minimize(loss)), model, opt


NAMED = {name: cases.SETTINGS[name] for name in ("batch_size", "epochs", "seed")}


@pytest.mark.parametrize("name", ["digits", pytest.param("mnist", marks=needs_mnist)])
def test_the_loss_curve_is_pytorchs(name: str, in_float64: tuple[gc.Step, gc.nn.Module, gc.optim.Optimizer]) -> None:
    """From the same weights, on the same batches, with the same schedule."""
    step, model, opt = in_float64
    model.load_state_dict(cases.weights("float64"))
    opt.load_state_dict({key: np.zeros_like(value) for key, value in opt.state_dict().items()})
    data = cases.data(name)
    losses = step.run(data.x, data.t, shuffle=True, **NAMED)[: cases.STEPS]
    np.testing.assert_allclose(losses, np.load(cases.FIXTURE)[name], rtol=0, atol=1e-10)


def test_the_loss_curve_of_the_command_is_pytorchs() -> None:
    """In float32, for its first steps: later ones may differ by more than rounding, see `cases.SETS`."""
    data = cases.data("digits")
    data = data._replace(x=data.x.astype("float32"))
    training = Training(cases.SETTINGS, data)
    training.model.load_state_dict(cases.weights("float32"))
    losses = training.step.run(data.x, data.t, shuffle=True, **NAMED)[:50]
    np.testing.assert_allclose(losses, np.load(cases.FIXTURE)["digits"][:50], rtol=0, atol=1e-4)


@needs_mnist
@pytest.mark.slow
def test_lenet_reads_mnist(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--data", "mnist", "--root", os.environ["GRAPHC_MNIST"], "--no-plot"]) == 0
    accuracies = [float(n) for n in re.findall(r"test accuracy (\S+) %", capsys.readouterr().out)]
    assert len(accuracies) == 3 and accuracies[-1] >= 98.8
