"""Optimisers, schedules and clipping as PyTorch computes them: the cases, and the script that stores its values.

``python tests/torch_cases_optim.py`` in an environment with torch writes `tests/fixtures/torch_optim.npz`; the tests
read that file and need no torch.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np

FIXTURE = Path(__file__).parent / "fixtures" / "torch_optim.npz"
SHAPES = ((3, 4), (5,))
STEPS = 6
RATES = 32


def grid(**axes: tuple[Any, ...]) -> list[dict[str, Any]]:
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


OPTIMISERS: dict[str, list[dict[str, Any]]] = {
    "SGD": [
        {},
        *grid(momentum=(0.0, 0.9), weight_decay=(0.0, 0.1), maximize=(False, True), lr=(0.1,)),
        *grid(momentum=(0.7,), dampening=(0.3, 1.0), weight_decay=(0.0, 0.05), maximize=(False, True), lr=(0.1,)),
        *grid(momentum=(0.9,), nesterov=(True,), weight_decay=(0.0, 0.1), maximize=(False, True), lr=(0.1,)),
    ],
    "Adam": [
        {},
        *grid(lr=(0.05,), amsgrad=(False, True), weight_decay=(0.0, 0.1), maximize=(False, True)),
        {"lr": 0.05, "betas": (0.0, 0.5), "eps": 1e-3},
    ],
    "AdamW": [
        {},
        *grid(lr=(0.05,), amsgrad=(False, True), weight_decay=(0.0, 0.2), maximize=(False, True)),
        {"lr": 0.05, "betas": (0.5, 0.9), "eps": 1e-3},
    ],
    "RMSprop": [
        {},
        *grid(momentum=(0.0, 0.8), centered=(False, True), weight_decay=(0.0, 0.1), maximize=(False, True)),
        {"lr": 0.05, "alpha": 0.5, "eps": 1e-3},
    ],
    "Adagrad": [
        {},
        *grid(lr_decay=(0.0, 0.1), weight_decay=(0.0, 0.1), initial_accumulator_value=(0.0, 0.5)),
        {"lr": 0.1, "lr_decay": 0.5, "eps": 1e-3, "maximize": True},
    ],
}
CASES = [(name, options) for name, found in OPTIMISERS.items() for options in found]

SCHEDULES: dict[str, dict[str, Any]] = {
    "step": {"lr": 0.3, "step_size": 5, "gamma": 0.7},
    "multi_step": {"lr": 0.3, "milestones": [3, 4, 20], "gamma": 0.5},
    "exponential": {"lr": 0.3, "gamma": 0.9},
    "linear": {"lr": 0.3, "steps": 7, "start_factor": 0.25, "end_factor": 0.75},
    "linear, defaults": {"lr": 0.3, "steps": 5},
    "polynomial": {"lr": 0.3, "steps": 20, "power": 1.7},
    "cosine": {"lr": 0.3, "steps": RATES - 1, "eta_min": 0.01},
    "one_cycle": {"max_lr": 0.3, "steps": RATES},
    "one_cycle, linear": {"max_lr": 0.3, "steps": RATES, "anneal_strategy": "linear", "pct_start": 0.45},
    "one_cycle, three phases": {"max_lr": 0.3, "steps": RATES, "three_phase": True, "div_factor": 5.0},
}
"""By the name of our function, with its arguments."""
NORMS = {"two": (1.5, 2.0), "one": (1.5, 1.0), "three": (1.5, 3.0), "largest": (0.4, float("inf")), "loose": (1e3, 2.0)}
SKIPPED = (0, 1, 3)
"""Steps at which, in the case "skips", the second param has no gradient."""


def key(name: str, options: dict[str, Any]) -> str:
    return f"{name}({', '.join(f'{k}={v}' for k, v in options.items())})"


def start() -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [rng.standard_normal(shape) for shape in SHAPES]


def gradients(step: int) -> list[np.ndarray]:
    """With a zero in each, where the roots of running averages are 0."""
    rng = np.random.default_rng(100 + step)
    found = [rng.standard_normal(shape) for shape in SHAPES]
    for g in found:
        g.flat[1] = 0.0
    return found


def flat(arrays: Any) -> np.ndarray:
    return np.concatenate([np.ravel(a) for a in arrays])


def groups(params: Any) -> list[dict[str, Any]]:
    """Two groups, of which one has options of its own."""
    return [{"params": [params[0]]}, {"params": [params[1]], "lr": 0.2, "weight_decay": 0.3}]


def torch_values() -> dict[str, np.ndarray]:
    import torch

    def run(make: Any, skipped: tuple[int, ...] = ()) -> np.ndarray:
        params = [torch.nn.Parameter(torch.tensor(a)) for a in start()]
        optimiser = make(params)
        rows = []
        for step in range(STEPS):
            for p, g in zip(params, gradients(step), strict=True):
                p.grad = torch.tensor(g)
            if step in skipped:
                params[1].grad = None
            optimiser.step()
            rows.append(flat([p.detach().numpy() for p in params]))
        return np.array(rows)

    found = {}
    for name, options in CASES:
        found[key(name, options)] = run(lambda ps, n=name, o=options: getattr(torch.optim, n)(ps, **o))
    for name, own in (("Adam", {}), ("SGD", {"momentum": 0.9, "dampening": 0.5}), ("Adagrad", {"lr_decay": 0.5})):
        found[f"skips {name}"] = run(lambda ps, n=name, o=own: getattr(torch.optim, n)(ps, lr=0.1, **o), SKIPPED)
    found["groups"] = run(lambda ps: torch.optim.AdamW(groups(ps), lr=0.05))
    for name, (bound, order) in NORMS.items():
        params = [torch.nn.Parameter(torch.tensor(a)) for a in start()]
        for p, g in zip(params, gradients(0), strict=True):
            p.grad = torch.tensor(g)
        norm = torch.nn.utils.clip_grad_norm_(params, bound, norm_type=order)
        found[f"norm {name}"] = flat([norm.numpy(), *[p.grad.numpy() for p in params]])
    return {**found, **torch_schedules()}


def torch_schedules() -> dict[str, np.ndarray]:
    from torch.optim import SGD
    from torch.optim import lr_scheduler as lrs

    def rates(lr: float, make: Any) -> np.ndarray:
        import torch

        optimiser = SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
        scheduler, found = make(optimiser), []
        for _ in range(RATES):
            found.append(optimiser.param_groups[0]["lr"])
            optimiser.step()
            scheduler.step()
        return np.array(found)

    made: dict[str, Any] = {
        "step": lambda o, step_size, gamma: lrs.StepLR(o, step_size, gamma),
        "multi_step": lambda o, milestones, gamma: lrs.MultiStepLR(o, milestones, gamma),
        "exponential": lambda o, gamma: lrs.ExponentialLR(o, gamma),
        "linear": lambda o, steps, **kw: lrs.LinearLR(o, total_iters=steps, **kw),
        "polynomial": lambda o, steps, power: lrs.PolynomialLR(o, steps, power),
        "cosine": lambda o, steps, eta_min: lrs.CosineAnnealingLR(o, steps, eta_min),
        "one_cycle": lambda o, steps, max_lr, **kw: lrs.OneCycleLR(o, max_lr, steps, cycle_momentum=False, **kw),
    }
    found = {}
    for name, options in SCHEDULES.items():
        own = {k: v for k, v in options.items() if k != "lr"}
        function = made[name.split(",")[0]]
        found[f"rate {name}"] = rates(options.get("lr", 0.3), lambda o, f=function, own=own: f(o, **own))
    found["rate warmup"] = rates(
        0.3,
        lambda o: lrs.SequentialLR(o, [lrs.LinearLR(o, 0.1, total_iters=4), lrs.CosineAnnealingLR(o, 40)], [4]),
    )
    found["rate product"] = rates(
        0.3, lambda o: lrs.ChainedScheduler([lrs.LinearLR(o, 0.5, total_iters=10), lrs.ExponentialLR(o, 0.95)])
    )
    return found


if __name__ == "__main__":
    FIXTURE.parent.mkdir(exist_ok=True)
    values = torch_values()
    np.savez_compressed(FIXTURE, **values)
    print(f"{FIXTURE}: {len(values)} cases, {FIXTURE.stat().st_size} bytes")
