"""LeNet-5 reads handwritten digits: the model is traced once, and a training step is one compiled function.

scikit-learn's digits by default; MNIST from the folder of its files with --root.

    python examples/lenet_mnist.py [--root data] [--source lenet_step.py]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import graphc as gc
from graphc import nn
from graphc.data import MNIST, Compose, Digits, Normalize, Pad, Resize, ToTensor

BATCH, RATE, SEED = 100, 0.05, 0


class LeNet(nn.Module):
    """Two convolutions with pooling, then three dense layers."""

    def __init__(self) -> None:
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: Any) -> Any:
        x = nn.max_pool2d(nn.relu(self.conv1(x)), 2)
        x = nn.max_pool2d(nn.relu(self.conv2(x)), 2)
        x = nn.relu(self.fc1(self.flatten(x)))
        x = nn.relu(self.fc2(x))
        return self.fc3(x)


def data(root: str | None) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Images float32[n, 1, 32, 32] and labels int64[n] to train on, and to test with."""
    if root is None:  # 8 x 8 pixels, enlarged
        layout = Compose([Resize(28), Pad(2), ToTensor(), Normalize(0.2339, 0.3114)])
        return Digits(transform=layout).arrays(), Digits(train=False, transform=layout).arrays()
    layout = Compose([Pad(2), ToTensor(), Normalize(0.1000, 0.2752)])
    return MNIST(root, transform=layout).arrays(), MNIST(root, train=False, transform=layout).arrays()


def eagerly(model: LeNet, x: np.ndarray) -> np.ndarray:
    """What the same model guesses, run by the define-by-run engine."""
    with gc.eager.no_grad():
        return model(gc.eager.from_numpy(x)).argmax(1).numpy()


def main(root: str | None = None, epochs: int = 20, source: str | None = None) -> dict[str, Any]:
    """Train, and test after every epoch; the losses of all steps, the accuracies, the model and its step."""
    (train_x, train_t), (test_x, test_t) = data(root)
    nn.init.manual_seed(SEED)
    model = LeNet()
    print(model, f"{model.num_parameters()} parameters", sep="\n")

    x = gc.input("x", ("batch", 1, 32, 32), "float32")
    t = gc.input("t", ("batch",), "int64")
    logits = model(x)
    loss = nn.cross_entropy(logits, t)
    rate = gc.optim.one_cycle(RATE, steps=epochs * -(-len(train_x) // BATCH))
    opt = gc.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    step = gc.compile([x, t], loss, updates=opt.minimize(loss), name="lenet")
    guess = gc.compile([x], gc.argmax(logits, axis=1), name="lenet_guess")

    losses, accuracies = [], []
    for epoch in range(epochs):
        losses.append(step.run(train_x, train_t, batch_size=BATCH, shuffle=True, seed=SEED, first_epoch=epoch))
        accuracies.append(float(np.mean(guess.run(test_x, batch_size=500) == test_t)))
        print(f"epoch {epoch + 1}: loss {losses[-1].mean():.4f}, {100 * accuracies[-1]:.2f} % of test images right")
    assert np.array_equal(eagerly(model, test_x[:BATCH]), guess(test_x[:BATCH]))
    if source is not None:
        Path(source).write_text(step.source, encoding="utf-8")
        print(f"generated code: {source}")
    return {"model": model, "step": step, "losses": losses, "accuracies": accuracies}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", help="folder of MNIST's files (default: scikit-learn's digits)")
    parser.add_argument("--epochs", type=int, help="passes over the images (default: 20 digits, 3 MNIST)")
    parser.add_argument("--source", help="file for the generated code")
    chosen = parser.parse_args()
    main(chosen.root, chosen.epochs or (20 if chosen.root is None else 3), chosen.source)
