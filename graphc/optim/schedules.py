"""Learning rates as functions of the number of steps taken: inside the graph, in eager mode, and for a plot.

They are named after PyTorch's schedulers without the "LR", and give the same values where those are stepped once per
optimiser step. Counted are steps, not epochs: ``step(0.1, 30 * steps_per_epoch)`` is PyTorch's ``StepLR(opt, 30)``,
stepped once per epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arguments import whole
from ..eager import tensor as eager_tensor
from ..errors import InputError, message, user_line
from ..ir.apply import cast, is_tensor
from ..ops.creation import full_like
from ..ops.elementwise import where
from ..ops.piecewise import minimum
from ..ops.power import pow
from ..ops.trigonometry import cos
from .checks import number

FLOAT64 = np.dtype("float64")


class Schedule:
    """A learning rate as a function of the number of steps taken so far, 0 before the first.

    Of a 0-d integer tensor, symbolic or eager, it is a 0-d float64 tensor; of an int or an array of them, plain
    numbers. Schedules multiply with numbers and with each other: ``linear(1.0, 100) * exponential(0.1, 0.999)``.

    >>> import numpy as np, graphc as gc
    >>> rate = gc.optim.step(0.1, step_size=2, gamma=0.5)
    >>> rate, rate(0), rate(np.arange(5))
    (step(0.1, step_size=2, gamma=0.5), 0.1, array([0.1  , 0.1  , 0.05 , 0.05 , 0.025]))
    """

    def __init__(self, name: str, rule: Callable[..., Any], first: Any, **options: Any):
        self.name, self.rule, self.first, self.options = name, rule, first, options

    def __call__(self, step: Any) -> Any:
        if is_tensor(step):
            return self.rule(step, self.first, **self.options)
        values = self.rule(eager_tensor(np.asarray(step, np.int64)), self.first, **self.options)
        array = values.numpy() if is_tensor(values) else np.broadcast_to(np.float64(values), np.shape(step))
        return array if array.ndim else float(array)

    def __mul__(self, other: Any) -> Schedule:
        if not isinstance(other, Schedule):
            other = constant(number("schedule", "factor", other))
        return Schedule("product", _product, (self, other))

    __rmul__ = __mul__

    def __repr__(self) -> str:
        if self.rule is _product:
            return " * ".join(map(repr, self.first))
        return f"{self.name}({', '.join([repr(self.first), *[f'{k}={v!r}' for k, v in self.options.items()]])})"


def _product(step: Any, both: tuple[Schedule, Schedule]) -> Any:
    return both[0](step) * both[1](step)


def constant(lr: float) -> Schedule:
    """The same rate at every step; for `sequential`."""
    return Schedule("constant", _constant, number("constant", "lr", lr))


def _constant(step: Any, lr: float) -> Any:
    return full_like(step, lr, dtype=FLOAT64)


def step(lr: float, step_size: int, gamma: float = 0.1) -> Schedule:
    """``lr * gamma ** (t // step_size)``: `gamma` times lower (or higher) after every `step_size` steps; `StepLR`.

    >>> import graphc as gc
    >>> gc.optim.step(1.0, 10)(25)
    0.010000000000000002
    """
    size = whole("step", "step_size", step_size)
    return Schedule("step", _step, number("step", "lr", lr), step_size=size, gamma=number("step", "gamma", gamma))


def _step(step: Any, lr: float, step_size: int, gamma: float) -> Any:
    return lr * pow(gamma, cast(step // step_size, FLOAT64))


def multi_step(lr: float, milestones: Sequence[int], gamma: float = 0.1) -> Schedule:
    """`lr`, multiplied with `gamma` once at each of `milestones`; `MultiStepLR`.

    >>> import graphc as gc
    >>> gc.optim.multi_step(1.0, [10, 20], gamma=0.5)(20)
    0.25
    """
    return Schedule(
        "multi_step",
        _multi_step,
        number("multi_step", "lr", lr),
        milestones=_milestones("multi_step", milestones),
        gamma=number("multi_step", "gamma", gamma),
    )


def _multi_step(step: Any, lr: float, milestones: Sequence[int], gamma: float) -> Any:
    passed = full_like(step, 0.0, dtype=FLOAT64)
    for milestone in milestones:
        passed = passed + where(step < milestone, 0.0, 1.0)
    return lr * pow(gamma, passed)


def exponential(lr: float, gamma: float) -> Schedule:
    """``lr * gamma ** t``; `ExponentialLR`."""
    return Schedule(
        "exponential", _exponential, number("exponential", "lr", lr), gamma=number("exponential", "gamma", gamma)
    )


def _exponential(step: Any, lr: float, gamma: float) -> Any:
    return lr * pow(gamma, cast(step, FLOAT64))


def linear(lr: float, steps: int, start_factor: float = 1.0 / 3.0, end_factor: float = 1.0) -> Schedule:
    """From ``start_factor * lr`` to ``end_factor * lr`` in a straight line of `steps` steps, then level; `LinearLR`.

    >>> import graphc as gc
    >>> gc.optim.linear(1.0, 4, start_factor=0.5)([0, 1, 2, 3, 4, 5])
    array([0.5  , 0.625, 0.75 , 0.875, 1.   , 1.   ])
    """
    return Schedule(
        "linear",
        _linear,
        number("linear", "lr", lr),
        steps=whole("linear", "steps", steps),
        start_factor=number("linear", "start_factor", start_factor),
        end_factor=number("linear", "end_factor", end_factor),
    )


def _linear(step: Any, lr: float, steps: int, start_factor: float, end_factor: float) -> Any:
    done = _part(step, steps)
    return lr * (start_factor + (end_factor - start_factor) * done)


def _part(step: Any, steps: int) -> Any:
    """How much of `steps` is done: from 0 to 1, and 1 from there on."""
    return minimum(cast(step, FLOAT64), float(steps)) / float(steps)


def polynomial(lr: float, steps: int, power: float = 1.0) -> Schedule:
    """``lr * (1 - t / steps) ** power``, and 0 after `steps` steps; `PolynomialLR`."""
    return Schedule(
        "polynomial",
        _polynomial,
        number("polynomial", "lr", lr),
        steps=whole("polynomial", "steps", steps),
        power=number("polynomial", "power", power),
    )


def _polynomial(step: Any, lr: float, steps: int, power: float) -> Any:
    return lr * pow(1.0 - _part(step, steps), power)


def cosine(lr: float, steps: int, eta_min: float = 0.0) -> Schedule:
    """Half a period of a cosine, from `lr` down to `eta_min` in `steps` steps; then it stays there.

    `CosineAnnealingLR` with ``T_max=steps``, which however rises again after its end.

    >>> import graphc as gc
    >>> gc.optim.cosine(0.5, steps=100)([0, 50, 100, 150])
    array([0.5 , 0.25, 0.  , 0.  ])
    """
    return Schedule(
        "cosine",
        _cosine,
        number("cosine", "lr", lr),
        steps=whole("cosine", "steps", steps),
        eta_min=number("cosine", "eta_min", eta_min),
    )


def _cosine(step: Any, lr: float, steps: int, eta_min: float) -> Any:
    return _anneal_cos(lr, eta_min, _part(step, steps))


def _anneal_cos(start: float, end: float, part: Any) -> Any:
    return end + (start - end) / 2.0 * (1.0 + cos(math.pi * part))


def _anneal_linear(start: float, end: float, part: Any) -> Any:
    return start + (end - start) * part


_ANNEAL = {"cos": _anneal_cos, "linear": _anneal_linear}


def one_cycle(
    max_lr: float,
    steps: int,
    pct_start: float = 0.3,
    anneal_strategy: str = "cos",
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    three_phase: bool = False,
) -> Schedule:
    """Up from ``max_lr / div_factor`` to `max_lr`, and down to the former divided by `final_div_factor`; `OneCycleLR`.

    steps            of the whole cycle; after it the rate stays as it is at its end
    pct_start        the part of the steps in which the rate rises
    anneal_strategy  "cos" or "linear"
    three_phase      down as fast as up, to where it began, and then on down

    The momentum is left alone: it is PyTorch's with ``cycle_momentum=False``. The rate rises for
    ``pct_start * steps - 1`` steps. InputError where a phase has no length: where these are 0; with `three_phase` where
    one of the three would take less than a step.

    >>> import graphc as gc
    >>> rate = gc.optim.one_cycle(1.0, steps=100)
    >>> [float(f"{rate(t):.2g}") for t in (0, 29, 99)]
    [0.04, 1.0, 4e-06]
    """
    if anneal_strategy not in _ANNEAL:
        raise InputError(
            message(
                "unknown anneal_strategy of one_cycle",
                got=repr(anneal_strategy),
                expected="'cos' or 'linear'",
                at=user_line(),
                created=False,
            )
        )
    steps = whole("one_cycle", "steps", steps)
    pct_start = number("one_cycle", "pct_start", pct_start, most=1.0)
    _check_phases(steps, pct_start, bool(three_phase))
    return Schedule(
        "one_cycle",
        _one_cycle,
        number("one_cycle", "max_lr", max_lr),
        steps=steps,
        pct_start=pct_start,
        anneal_strategy=anneal_strategy,
        div_factor=number("one_cycle", "div_factor", div_factor, above=0.0),
        final_div_factor=number("one_cycle", "final_div_factor", final_div_factor, above=0.0),
        three_phase=bool(three_phase),
    )


def _check_phases(steps: int, pct_start: float, three_phase: bool) -> None:
    """Refuse a rise that begins and ends at the same step, and each of three phases that takes less than a step.

    Of two phases each may be left out, by a `pct_start` of 0 or 1, and a rise that would take less than a step is.
    """
    up = pct_start * steps  # the rise ends at step up - 1, of three phases the second at 2 * up - 2, all at steps - 1
    if three_phase:
        fits, expected = round(up, 9) >= 2 and pct_start <= 0.5, "pct_start * steps >= 2 and pct_start <= 0.5"
    else:
        fits, expected = up != 1, "pct_start * steps other than 1"
    if not fits:
        raise InputError(
            message(
                "one_cycle: a phase without length",
                got=f"steps={steps}, pct_start={pct_start:g}, three_phase={three_phase}",
                expected=expected,
                at=user_line(),
                created=False,
            )
        )


def _one_cycle(
    step: Any,
    max_lr: float,
    steps: int,
    pct_start: float,
    anneal_strategy: str,
    div_factor: float,
    final_div_factor: float,
    three_phase: bool,
) -> Any:
    low = max_lr / div_factor
    least = low / final_div_factor
    ends = [(pct_start * steps - 1, max_lr)]
    if three_phase:
        ends.append((2 * pct_start * steps - 2, low))
    ends.append((steps - 1, least))
    t = cast(step, FLOAT64)
    rate = full_like(t, least)
    starts = [(0, low), *ends[:-1]]
    for (begin, start), (finish, end) in reversed(list(zip(starts, ends, strict=True))):
        if finish > begin:  # a phase without a step, as the first is with pct_start=0, has no slope
            rate = where(t <= finish, _ANNEAL[anneal_strategy](start, end, (t - begin) / (finish - begin)), rate)
    return rate


def sequential(schedules: Sequence[Schedule], milestones: Sequence[int]) -> Schedule:
    """One schedule after the other, each counting from its own beginning; `SequentialLR`.

    milestones  at which step the second begins, the third ...: one fewer than there are schedules

    >>> import graphc as gc
    >>> gc.optim.sequential([gc.optim.constant(0.1), gc.optim.step(1.0, 1)], [2])([0, 1, 2, 3])
    array([0.1, 0.1, 1. , 0.1])
    """
    given = tuple(schedules)
    starts = _milestones("sequential", milestones)
    if len(starts) != len(given) - 1 or not all(callable(s) for s in given):
        raise InputError(
            message(
                "sequential",
                got=f"{len(given)} schedules and {len(starts)} milestones",
                expected="schedules, and one milestone fewer",
                at=user_line(),
                created=False,
            )
        )
    return Schedule("sequential", _sequential, list(given), milestones=starts)


def _sequential(step: Any, schedules: Sequence[Schedule], milestones: Sequence[int]) -> Any:
    rate = schedules[-1](step - milestones[-1]) if milestones else schedules[0](step)
    begins = [0, *milestones]
    for k in reversed(range(len(milestones))):
        rate = where(step < milestones[k], schedules[k](step - begins[k]), rate)
    return rate


def warmup(schedule: Schedule, steps: int, start_factor: float = 0.0) -> Schedule:
    """`schedule` after a linear rise to its first rate, from `start_factor` of that, in `steps` steps.

    As ``SequentialLR([LinearLR(opt, start_factor, total_iters=steps), ...], [steps])``, where `start_factor` may be 0.

    >>> import graphc as gc
    >>> gc.optim.warmup(gc.optim.cosine(1.0, steps=100), steps=4)([0, 1, 2, 3, 4, 54])
    array([0.  , 0.25, 0.5 , 0.75, 1.  , 0.5 ])
    """
    if not isinstance(schedule, Schedule):
        schedule = constant(number("warmup", "schedule", schedule))
    return sequential([linear(schedule(0), steps, start_factor), schedule], [whole("warmup", "steps", steps)])


def _milestones(what: str, given: Sequence[int]) -> list[int]:
    steps = [whole(what, "milestone", m) for m in given]
    if steps != sorted(steps):
        raise InputError(
            message(
                f"bad milestones= of {what}",
                got=repr(list(given)),
                expected="them in increasing order",
                at=user_line(),
                created=False,
            )
        )
    return steps
