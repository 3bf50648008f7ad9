"""The optimisers, with the arguments and defaults of PyTorch's: their options checked, and the state they keep."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arguments import bad_argument
from ..errors import InputError, message, user_line
from ..ir.leaves import Param
from . import rules
from .base import Optimizer
from .checks import number


def _zeros(param: Param) -> np.ndarray:
    return np.zeros(param.shape, param.dtype)


_COUNT = np.int64(0)


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum where one is given.

    params        an iterable of params, of ``(name, param)`` pairs, or of dicts ``{"params": ..., "lr": ...}``
    lr            a number, a schedule (any function of the number of steps), or a 0-d param that you set
    momentum      how much of the last move is kept
    dampening     the part of a gradient that does not enter the momentum, but for the first
    weight_decay  of the gradient of ``weight_decay / 2 * sum(w * w)``, added
    nesterov      look ahead; needs momentum, and no dampening
    maximize      go up

    The form of `torch.optim.SGD`: ``v = momentum * v + (1 - dampening) * g``, ``w = w - lr * v``.

    >>> import graphc as gc
    >>> x, w = gc.input("x", ("n",)), gc.param(0.0, name="w")
    >>> loss = gc.mean((w - x) ** 2)
    >>> opt = gc.optim.SGD([w], lr=0.25, momentum=0.5)
    >>> step = gc.compile([x], loss, updates=opt.minimize(loss))
    >>> [float(l) for l in step.run([1.0, 3.0], steps=3)]
    [5.0, 2.0, 1.0]
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ):
        options = {"momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov}
        super().__init__(params, lr, {**options, "maximize": maximize})

    rule = staticmethod(rules.sgd)

    def check(self, options: dict[str, Any]) -> dict[str, Any]:
        checked = {
            "momentum": number("SGD", "momentum", options["momentum"]),
            "dampening": number("SGD", "dampening", options["dampening"], least=-np.inf),
            "weight_decay": number("SGD", "weight_decay", options["weight_decay"]),
            "nesterov": bool(options["nesterov"]),
            "maximize": bool(options["maximize"]),
        }
        if checked["nesterov"] and (not checked["momentum"] or checked["dampening"]):
            raise InputError(
                message(
                    "bad nesterov= of SGD",
                    got=f"momentum={options['momentum']!r}, dampening={options['dampening']!r}",
                    expected="momentum > 0 and dampening 0 with nesterov=True",
                    at=user_line(),
                    created=False,
                )
            )
        return checked

    def first_state(self, param: Param, options: dict[str, Any]) -> dict[str, Any]:
        if not options["momentum"]:
            return {}
        return {"momentum_buffer": _zeros(param), **({"step": _COUNT} if options["dampening"] else {})}


class Adam(Optimizer):
    """Adam: moves of about `lr` for each element, by running averages of its gradient and of that squared.

    params        an iterable of params, of ``(name, param)`` pairs, or of dicts ``{"params": ..., "lr": ...}``
    lr            a number, a schedule (any function of the number of steps), or a 0-d param that you set
    betas         how much the averages of the gradient and of its square keep at each step
    eps           added to the square root that is divided by
    weight_decay  of the gradient of ``weight_decay / 2 * sum(w * w)``, added
    amsgrad       divide by the largest average of squares so far
    maximize      go up

    Kingma and Ba, "Adam: a method for stochastic optimization", 2015, in the form of `torch.optim.Adam`.

    >>> import graphc as gc
    >>> w = gc.param([1.0, -3.0], name="w")
    >>> opt = gc.optim.Adam([w], lr=gc.optim.cosine(0.1, steps=1000))
    >>> step = gc.compile([], [], updates=opt.minimize(gc.sum(w * w)))
    >>> _ = step()
    >>> w.value.round(6), sorted(opt.state_dict())
    (array([ 0.9, -2.9]), ['steps', 'w.exp_avg', 'w.exp_avg_sq', 'w.step'])
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ):
        options = {"betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad, "maximize": maximize}
        super().__init__(params, lr, options)

    decoupled = False

    def rule(self, w: Any, gradient: Any, state: Any, lr: Any, **options: Any) -> Any:
        return rules.adam(w, gradient, state, lr, decoupled=self.decoupled, **options)

    def check(self, options: dict[str, Any]) -> dict[str, Any]:
        what, betas = type(self).__name__, options["betas"]
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise bad_argument(what, "betas", betas, "two")
        return {
            "betas": tuple(number(what, f"betas[{k}]", beta, below=1.0) for k, beta in enumerate(betas)),
            "eps": number(what, "eps", options["eps"]),
            "weight_decay": number(what, "weight_decay", options["weight_decay"]),
            "amsgrad": bool(options["amsgrad"]),
            "maximize": bool(options["maximize"]),
        }

    def first_state(self, param: Param, options: dict[str, Any]) -> dict[str, Any]:
        names = ["exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if options["amsgrad"] else [])]
        return {"step": _COUNT, **{name: _zeros(param) for name in names}}


class AdamW(Adam):
    """Adam with decoupled weight decay: each step first takes ``lr * weight_decay`` of the param away.

    The arguments are those of `Adam`; `weight_decay` is 0.01 here. Loshchilov and Hutter, "Decoupled weight decay
    regularization", 2019, in the form of `torch.optim.AdamW`.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)

    decoupled = True


class RMSprop(Optimizer):
    """RMSprop: the gradient over the root of its running mean square.

    params        an iterable of params, of ``(name, param)`` pairs, or of dicts ``{"params": ..., "lr": ...}``
    lr            a number, a schedule (any function of the number of steps), or a 0-d param that you set
    alpha         how much the running averages keep at each step
    eps           added to the square root that is divided by
    weight_decay  of the gradient of ``weight_decay / 2 * sum(w * w)``, added
    momentum      how much of the last move is kept
    centered      divide by the running standard deviation instead
    maximize      go up

    Tieleman and Hinton 2012, in the form of `torch.optim.RMSprop`.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ):
        options = {"alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(params, lr, {**options, "centered": centered, "maximize": maximize})

    rule = staticmethod(rules.rmsprop)

    def check(self, options: dict[str, Any]) -> dict[str, Any]:
        return {
            "alpha": number("RMSprop", "alpha", options["alpha"], most=1.0),
            "eps": number("RMSprop", "eps", options["eps"]),
            "weight_decay": number("RMSprop", "weight_decay", options["weight_decay"]),
            "momentum": number("RMSprop", "momentum", options["momentum"]),
            "centered": bool(options["centered"]),
            "maximize": bool(options["maximize"]),
        }

    def first_state(self, param: Param, options: dict[str, Any]) -> dict[str, Any]:
        names = {"square_avg": True, "grad_avg": options["centered"], "momentum_buffer": options["momentum"]}
        return {name: _zeros(param) for name, used in names.items() if used}


class Adagrad(Optimizer):
    """Adagrad: the gradient over the root of the sum of all its squares so far.

    params                     an iterable of params, of ``(name, param)`` pairs, or of dicts ``{"params": ...}``
    lr                         a number, a schedule (any function of the number of steps), or a 0-d param that you set
    lr_decay                   divides the rate by ``1 + lr_decay * t``, t the updates that the param has had
    weight_decay               of the gradient of ``weight_decay / 2 * sum(w * w)``, added
    initial_accumulator_value  what the sums begin with
    eps                        added to the square root that is divided by
    maximize                   go up

    Duchi, Hazan and Singer 2011, in the form of `torch.optim.Adagrad`.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ):
        options = {"lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps, "maximize": maximize}
        super().__init__(params, lr, {**options, "initial_accumulator_value": initial_accumulator_value})

    def rule(
        self, w: Any, gradient: Any, state: Any, lr: Any, *, initial_accumulator_value: float, **options: Any
    ) -> Any:
        return rules.adagrad(w, gradient, state, lr, **options)

    def check(self, options: dict[str, Any]) -> dict[str, Any]:
        names = ("lr_decay", "weight_decay", "initial_accumulator_value", "eps")
        return {
            **{name: number("Adagrad", name, options[name]) for name in names},
            "maximize": bool(options["maximize"]),
        }

    def first_state(self, param: Param, options: dict[str, Any]) -> dict[str, Any]:
        start = np.full(param.shape, options["initial_accumulator_value"], param.dtype)
        return {"sum": start, **({"step": _COUNT} if options["lr_decay"] else {})}
