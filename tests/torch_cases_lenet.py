"""LeNet-5 trained by PyTorch: the weights it begins with, and the script that stores its losses.

``python tests/torch_cases_lenet.py`` in an environment with torch and graphc writes `tests/fixtures/torch_lenet.npz`;
the tests read that file and need no torch. MNIST's images are taken from the folder GRAPHC_MNIST.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

FIXTURE = Path(__file__).parent / "fixtures" / "torch_lenet.npz"
SETTINGS = {
    "data": "digits", "model": "lenet", "epochs": 7, "batch_size": 100, "lr": 0.01, "momentum": 0.9, "seed": 3,
}  # fmt: skip
STEPS = 100
SETS = ("digits", "mnist")
"""Trained in float64: in float32 a number that is 1e-8 before a rectifier may be -1e-8 where sums are added in another
order, and the curves part there. PyTorch's own, of one thread and of two, are 2e-2 apart after 80 steps at the constant
rate 0.02, from some first weights."""
SHAPES = {
    "conv1": (6, 1, 5, 5),
    "conv2": (16, 6, 5, 5),
    "fc1": (120, 400),
    "fc2": (84, 120),
    "fc3": (10, 84),
}


def weights(dtype: str) -> dict[str, np.ndarray]:
    """First weights and biases, uniform up to the fan-in to the power -1/2, of float32 values in either dtype."""
    rng = np.random.default_rng(11)
    found = {}
    for name, shape in SHAPES.items():
        bound = np.prod(shape[1:]) ** -0.5
        found[f"{name}.weight"] = rng.uniform(-bound, bound, shape).astype("float32").astype(dtype)
        found[f"{name}.bias"] = rng.uniform(-bound, bound, shape[:1]).astype("float32").astype(dtype)
    return found


def data(name: str) -> Any:
    """The digits, or as many images of MNIST, so that both take the same compiled step."""
    from graphc.train.images import images

    found = images(name, Path(os.environ.get("GRAPHC_MNIST", "")), False)
    count = 1437
    return found._replace(
        x=found.x[:count].astype("float64"), t=found.t[:count], test_x=found.test_x[:100], test_t=found.test_t[:100]
    )


def losses(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    """PyTorch's losses of the first steps, in the order of rows of `step.run`, in the dtype of `x`."""
    import torch
    from torch.nn import functional

    from graphc.runtime.batches import permutation

    params = {name: torch.nn.Parameter(torch.tensor(value)) for name, value in weights(x.dtype.name).items()}

    def forward(images: torch.Tensor) -> torch.Tensor:
        for name in ("conv1", "conv2"):
            images = functional.max_pool2d(
                functional.relu(functional.conv2d(images, params[f"{name}.weight"], params[f"{name}.bias"])), 2
            )
        images = images.flatten(1)
        for name in ("fc1", "fc2", "fc3"):
            images = functional.linear(images, params[f"{name}.weight"], params[f"{name}.bias"])
            images = images if name == "fc3" else functional.relu(images)
        return images

    size = SETTINGS["batch_size"]
    total = SETTINGS["epochs"] * -(-len(x) // size)
    opt = torch.optim.SGD(params.values(), lr=SETTINGS["lr"], momentum=SETTINGS["momentum"])
    rate = torch.optim.lr_scheduler.OneCycleLR(opt, SETTINGS["lr"], total, cycle_momentum=False)
    found: list[float] = []
    for epoch in range(SETTINGS["epochs"]):
        order = permutation(len(x), SETTINGS["seed"], epoch)
        for start in range(0, len(x), size):
            rows = order[start : start + size]
            opt.zero_grad()
            loss = functional.cross_entropy(forward(torch.from_numpy(x[rows])), torch.from_numpy(t[rows]))
            loss.backward()
            opt.step()
            rate.step()
            found.append(loss.item())
    return np.array(found[:STEPS], x.dtype)


if __name__ == "__main__":
    np.savez(FIXTURE, **{name: losses(*data(name)[:2]) for name in SETS})
