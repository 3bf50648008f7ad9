"""The models of the command: LeNet-5 and a network of dense layers, of images [batch, 1, 32, 32] and ten classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from graphc import nn


class LeNet(nn.Module):
    """Two convolutions with pooling, then three dense layers; 61,706 parameters.

    After Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition" (1998),
    with what replaced its parts since: rectifiers for tanh, the largest of 2 x 2 for their mean, all channels joined,
    cross-entropy.

    >>> import graphc as gc
    >>> LeNet()(gc.input("x", ("batch", 1, 32, 32), "float32")).shape
    (batch, 10)
    """

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
        return self.fc3(nn.relu(self.fc2(x)))


def mlp() -> nn.Module:
    """Two hidden layers of 300 and 100 units, as in the same article; 338,610 parameters."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(32 * 32, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)
    )


MODELS: Mapping[str, Callable[[], nn.Module]] = {"lenet": LeNet, "mlp": mlp}


def model(name: str, seed: int) -> nn.Module:
    """A new model; its weights depend on `seed` alone."""
    nn.init.manual_seed(seed)
    return MODELS[name]()
