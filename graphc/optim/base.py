"""`Optimizer`: applies a rule to params, in a compiled step (`minimize`) or at once (`step`), and keeps their state."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..api import grad
from ..eager import Tensor as Eager
from ..eager.modes import no_grad
from ..eager.params import leaf_of
from ..errors import DTypeError, GradientError, InputError, ShapeError, message, shown, user_line
from ..ir.apply import cast, is_tensor
from ..ir.guard import held
from ..ir.leaves import Param
from ..ir.leaves import param as make_param
from ..ir.tensor import Origin, Tensor, tracing_origin
from ..ops.common import describe
from ..ops.creation import zeros_like
from ..ops.hints import missing_member
from . import state as states
from .checks import number
from .clipping import clip_grad_norm, clip_grad_value

FLOAT64 = np.dtype("float64")
_AUTOMATIC = re.compile(r"param\d+")


_FIXED = "it as it was when the optimiser was made"
_AGAIN = "make another optimiser"
_INSTEAD = {"lr": "lr=(rate := gc.param(0.1)) when it is made: then rate.value = 0.01 changes it; or lr=a schedule"}
"""What to do where an option is to change."""
_MEMBERS = {
    "lr": "opt.groups[0].lr is the rate of the first group",
    "param_groups": "opt.groups are the params with their options",
    "params": "opt.groups[0].params are those of the first group",
    "parameters": "opt.groups[0].params are those of the first group",
    "backward": "loss.backward() of an eager loss; opt.minimize(loss) of a symbolic one",
}
"""What people look for on an optimiser."""


class Group(NamedTuple):
    """Params that have the same options."""

    params: tuple[Param, ...]
    lr: Any
    options: dict[str, Any]


class Optimizer:
    """The base of all optimisers.

    A subclass gives three methods, and its own arguments:

    rule(w, gradient, state, lr, **options)  the new param and the new state; of symbolic and of eager tensors
    first_state(param, options)              what its state begins with, {name: array or number}; {} for no state
    check(options)                           the options as the rule wants them, or an error

    groups  the params, with the options of each group
    steps   how many steps were taken: an int64 param, the argument of schedules
    state   {param: {name: param}}, made when the optimiser is, and for a frozen param when it is first trained

    >>> import graphc as gc
    >>> class SignDescent(gc.optim.Optimizer):
    ...     def __init__(self, params, lr=0.01):
    ...         super().__init__(params, lr, {})
    ...     def rule(self, w, gradient, state, lr):
    ...         return w - lr * gc.sign(gradient), {}
    >>> w = gc.param([1.0, -2.0], name="w")
    >>> opt = SignDescent([w], lr=0.5)
    >>> gc.compile([], [], updates=opt.minimize(gc.sum(w * w)))()
    []
    >>> w.value
    array([ 0.5, -1.5])
    """

    rule: Callable[..., tuple[Any, Mapping[str, Any]]]

    def __init__(self, params: Any, lr: Any, options: Mapping[str, Any]):
        what = type(self).__name__
        self.groups: list[Group] = []
        self._names: dict[Param, str] = {}
        named: list[tuple[str | None, Param]] = []
        for pairs, own in _groups(what, params):
            unknown = sorted(set(own) - {"lr", *options})
            if unknown:
                raise _bad(f"unknown option of {what}", unknown[0], f"one of {', '.join(['lr', *options])}")
            merged = self.check({**options, **{k: v for k, v in own.items() if k != "lr"}})
            self.groups.append(Group(tuple(p for _, p in pairs), _checked_rate(what, own.get("lr", lr)), merged))
            named += pairs
        if not named:
            raise _bad(f"{what} of no params", "an empty list", "params", "model.parameters() gives those of a model")
        self._names = _distinct_names(what, named)
        self.steps = make_param(np.int64(0), f"{what.lower()}.steps", trainable=False)
        self.state: dict[Param, dict[str, Param]] = {}
        for group in self.groups:
            for param in group.params:
                if param.trainable:
                    self._state_of(param, group)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in vars(self) and "state" in vars(self) and name in self._options():
            raise _bad(f"cannot set {name} of {type(self).__name__}", shown(value), _FIXED, _INSTEAD.get(name, _AGAIN))
        object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if "groups" not in vars(self):  # a copy that is being made has none yet
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
        own = {option: f"opt.groups[0].options[{option!r}]" for option in self.groups[0].options}
        raise missing_member(self, name, own | _MEMBERS)

    def _options(self) -> tuple[str, ...]:
        return ("lr", "param_groups", *self.groups[0].options)

    def check(self, options: dict[str, Any]) -> dict[str, Any]:
        return options

    def first_state(self, param: Param, options: dict[str, Any]) -> dict[str, Any]:
        return {}

    # in the graph

    def minimize(
        self,
        loss: Tensor,
        params: Iterable[Param] | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> dict[Param, Tensor]:
        """The `updates` of ``gc.compile`` that take one step down the gradient of `loss`, a 0-d float tensor.

        params      which of the optimiser's params to change; None: all. Frozen ones (``trainable=False``) are left
                    as they are when this is called
        clip_norm   scale all gradients so that their common norm is at most this, see `clip_grad_norm`
        clip_value  hold each element of the gradients between minus and plus this; before `clip_norm`

        Raises `GradientError` for a param that `loss` does not depend on: where PyTorch would silently leave it as it
        is, it is named; give `params` without it, or freeze it.

        >>> import graphc as gc
        >>> w = gc.param([3.0, 4.0], name="w")
        >>> opt = gc.optim.SGD([w], lr=1.0)
        >>> step = gc.compile([], [], updates=opt.minimize(gc.sum(w * w), clip_norm=1.0))
        >>> step(), w.value.round(3), int(opt.steps.value)
        ([], array([2.4, 3.2]), 1)
        """
        what = f"{type(self).__name__}.minimize"
        if not isinstance(loss, Tensor):
            got = f"an eager tensor, {describe(loss)}" if is_tensor(loss) else shown(loss)
            hint = "opt.zero_grad(); loss.backward(); opt.step() takes a step at once" if is_tensor(loss) else ""
            raise _bad(what, got, "a symbolic tensor", hint)
        chosen = [p for p in self._chosen(what, params) if p.trainable]
        if not chosen:
            raise _nothing(what, "no param that is trainable", "at least one", "w.trainable = True unfreezes a param w")
        gradients = grad(loss, chosen)
        unused = [p for p, g in zip(chosen, gradients, strict=True) if g is zeros_like(p)]
        if unused:
            raise _nothing(
                what,
                f"a loss that does not depend on {', '.join(repr(self._names[p]) for p in unused[:5])}"
                + (f" and {len(unused) - 5} more" if len(unused) > 5 else ""),
                "one with a gradient for each param",
                "name the params to train, minimize(loss, params=[...]), or freeze the others: w.trainable = False",
            )
        with tracing_origin(Origin("update", (user_line(),))):
            if clip_value is not None:
                gradients = clip_grad_value(gradients, clip_value)
            if clip_norm is not None:
                gradients = clip_grad_norm(gradients, clip_norm)
            return self._updates(dict(zip(chosen, gradients, strict=True)))

    def updates(self, gradients: Mapping[Param, Tensor]) -> dict[Param, Tensor]:
        """The `updates` of ``gc.compile`` for given gradients, {param: gradient}; see `minimize`.

        >>> import graphc as gc
        >>> w = gc.param(1.0, name="w")
        >>> opt = gc.optim.SGD([w], lr=0.1)
        >>> sorted(p.name for p in opt.updates({w: 2.0 * w}))
        ['sgd.steps', 'w']
        """
        what = f"{type(self).__name__}.updates"
        for param in self._chosen(what, gradients):
            given = gradients[param]
            if not isinstance(given, Tensor) or given.dtype != param.dtype:
                got = describe(given) if isinstance(given, Tensor) else shown(given)
                raise DTypeError(_text(f"{what}: the gradient of {self._names[param]!r}", got, str(param.aval)))
            if given.shape != param.shape:
                raise ShapeError(
                    _text(f"{what}: the gradient of {self._names[param]!r}", describe(given), str(param.aval))
                )
        with tracing_origin(Origin("update", (user_line(),))):
            return self._updates(gradients)

    def _updates(self, gradients: Mapping[Param, Any]) -> dict[Param, Any]:
        """The new value of everything that a step changes, of the engine of the gradients."""
        new: dict[Param, Any] = {}
        eager = any(isinstance(g, Eager) for g in gradients.values())
        leaf: Callable[[Param], Any] = leaf_of if eager else _itself
        for group in self.groups:
            params = [p for p in group.params if p in gradients]
            lr = self._rate(group, leaf(self.steps), leaf) if params else None
            for param in params:
                state = self._state_of(param, group)
                before = {name: leaf(s) for name, s in state.items()}
                after_w, after = self.rule(leaf(param), gradients[param], before, lr, **group.options)
                new[param] = after_w
                new.update({state[name]: value for name, value in after.items()})
        new[self.steps] = leaf(self.steps) + 1
        return new

    def _rate(self, group: Group, steps: Any, leaf: Callable[[Param], Any]) -> Any:
        """A Python float, or a 0-d float64 tensor."""
        lr = group.lr
        if isinstance(lr, Tensor):
            lr = leaf(lr) if isinstance(lr, Param) else lr
        elif callable(lr):
            lr = lr(steps)
        else:
            return lr
        if is_tensor(lr):
            if lr.shape != () or lr.dtype.kind not in "fiu":
                raise _bad(
                    f"bad lr= of {type(self).__name__}", f"a schedule that gives {describe(lr)}", "a 0-d float tensor"
                )
            return cast(lr, FLOAT64)
        return number(type(self).__name__, "lr", lr)

    # at once

    def step(self) -> None:
        """Take one step with the gradients that `backward` left in `.grad`, as compiled steps take it.

        Params that are frozen, or have no `.grad`, stay as they are, and so does their state.

        >>> import graphc as gc
        >>> x, w = gc.eager.tensor([1.0, 2.0]), gc.param(0.0, name="w")
        >>> opt = gc.optim.SGD([w], lr=0.5)
        >>> for _ in range(2):
        ...     opt.zero_grad()
        ...     loss = ((w - x.double()) ** 2).mean()
        ...     loss.backward()
        ...     opt.step()
        >>> w.value
        array(1.5)
        """
        gradients = {p: p.grad for g in self.groups for p in g.params if p.trainable and p.grad is not None}
        if not gradients:
            raise _nothing(
                f"{type(self).__name__}.step",
                "no trainable param that has a .grad",
                "at least one",
                "call loss.backward() first, of a loss computed from eager tensors and the params; a compiled step "
                "trains by itself, with gc.compile(..., updates=opt.minimize(loss))",
            )
        for group in self.groups:
            if isinstance(group.lr, Tensor) and not isinstance(group.lr, Param):
                raise _bad(f"{type(self).__name__}.step", f"lr {describe(group.lr)}", "a number, schedule or param")
        for group in self.groups:
            for param in group.params:
                if param in gradients:
                    self._state_of(param, group)
        touched = [self.steps, *gradients, *[s for p in gradients for s in self.state[p].values()]]
        with held(p.state for p in touched), no_grad():
            new = self._updates(gradients)
            states.write({param: value.numpy() for param, value in new.items()})

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the eager gradients: `.grad` of every param becomes None, or zeros where `set_to_none` is False."""
        for group in self.groups:
            for param in group.params:
                if set_to_none:
                    param.grad = None
                elif param.grad is not None:
                    param.grad.zero_()

    def get_lr(self) -> list[float]:
        """The rate of the next step, for each group.

        >>> import graphc as gc
        >>> gc.optim.Adam([gc.param(1.0)], lr=gc.optim.cosine(0.1, 10)).get_lr()
        [0.1]
        """
        with no_grad():
            rates = [self._rate(group, leaf_of(self.steps), leaf_of) for group in self.groups]
        return [float(rate) for rate in rates]

    # saving

    def _entries(self) -> dict[str, Param]:
        """Everything that is saved, by its name."""
        found = {"steps": self.steps}
        for k, group in enumerate(self.groups):
            if isinstance(group.lr, Param):
                found["lr" if len(self.groups) == 1 else f"lr.{k}"] = group.lr
            for param in group.params:
                found.update({f"{self._names[param]}.{name}": s for name, s in self.state.get(param, {}).items()})
        return found

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all that a step reads beside the params themselves, at a whole step: {name: array}.

        ``steps``, the counter of schedules; ``lr`` where it is a param; and of each param what its rule keeps,
        ``w.momentum_buffer``. A param is called by its name (the one given with it in a ``(name, param)`` pair, else
        its own), or by its position where it has none; of equal names each has its position in front. Options that
        are numbers are not in it: they are part of the program.

        >>> import graphc as gc
        >>> gc.optim.SGD([gc.param([1.0, 2.0], name="w")], momentum=0.9).state_dict()
        {'steps': array(0), 'w.momentum_buffer': array([0., 0.])}
        """
        entries = self._entries()
        with held(p.state for p in entries.values()):
            return {name: param.state.array.copy() for name, param in entries.items()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` of such an optimiser gave; from there on it continues bit for bit.

        Strict: `InputError` with a list of all that is missing, not known, or of another shape or dtype, and then
        nothing is changed. Of a param that is frozen here, what was saved is taken; where nothing was, its state is
        as it began.
        """
        what = f"{type(self).__name__}.load_state_dict"
        if not isinstance(state_dict, Mapping):
            raise _bad(what, shown(state_dict), "what state_dict() gives")
        entries, fresh, first = self._entries(), {}, {}
        for group in self.groups:
            for param in group.params:
                begun = param in self.state
                if begun and param.trainable:
                    continue
                found = self.state[param] if begun else self._new_state(param, group)
                own = {f"{self._names[param]}.{name}": s for name, s in found.items()}
                if any(key in state_dict for key in own):
                    fresh[param] = found
                    entries |= own
                elif begun:  # saved before this param, frozen now, was trained: as it began
                    entries = {key: s for key, s in entries.items() if key not in own}
                    values = self.first_state(param, group.options)
                    first.update({s: np.asarray(values[name]) for name, s in found.items()})
        arrays = states.matched(what, entries, state_dict)
        with held(p.state for p in [*entries.values(), *first]):
            states.write({**arrays, **first})
        self.state.update(fresh)

    # helpers

    def _state_of(self, param: Param, group: Group) -> dict[str, Param]:
        """The state of `param`; made, once, if there is none yet."""
        found = self.state.get(param)
        if found is None:
            found = self.state[param] = self._new_state(param, group)
        return found

    def _new_state(self, param: Param, group: Group) -> dict[str, Param]:
        name = self._names[param]
        if param.dtype.kind != "f":
            raise _bad(f"{type(self).__name__} cannot train {name!r}", str(param.aval), "a float32 or float64 param")
        first = self.first_state(param, group.options)
        return {k: make_param(v, f"{name}.{k}", trainable=False) for k, v in first.items()}

    def _chosen(self, what: str, params: Iterable[Param] | None) -> list[Param]:
        """`params`, each of them one of the optimiser's, in its order; all of them for None."""
        known = [p for group in self.groups for p in group.params]
        if params is None:
            return known
        wanted = [params] if isinstance(params, Param) else list(params)
        for param in wanted:
            if not isinstance(param, Param) or param not in self._names:
                got = describe(param) if is_tensor(param) else shown(param)
                raise _bad(what, got, "params that the optimiser was made with")
        chosen = set(wanted)
        return [p for p in known if p in chosen]

    def __repr__(self) -> str:
        lines = []
        for group in self.groups:
            options = {"lr": group.lr, **group.options}
            text = ", ".join(f"{k}={v!r}" for k, v in options.items())
            lines.append(f"{', '.join(self._names[p] for p in group.params)}: {text}")
        return f"<{type(self).__name__} of {'; '.join(lines)}>"


def _itself(value: Any) -> Any:
    return value


def _groups(what: str, params: Any) -> Iterator[tuple[list[tuple[str | None, Param]], dict[str, Any]]]:
    """Each group as pairs of a name (or None) and a param, and the options of its own."""
    whole = is_tensor(params) or isinstance(params, (str, Mapping)) or hasattr(params, "parameters")  # Sequential
    if whole or not isinstance(params, Iterable):
        raise _bad(f"bad params= of {what}", shown(params), "an iterable of params", _params_hint(params))
    given = list(params)
    if given and all(isinstance(g, Mapping) for g in given):
        for group in given:
            if "params" not in group:
                raise _bad(f"a group of {what} without params", shown(dict(group)), '{"params": [...], ...}')
            inner = group["params"]
            listed = [inner] if is_tensor(inner) else list(inner)
            yield [_pair(what, p) for p in listed], {k: v for k, v in group.items() if k != "params"}
    else:
        yield [_pair(what, p) for p in given], {}


def _pair(what: str, given: Any) -> tuple[str | None, Param]:
    name, param = given if isinstance(given, tuple) and len(given) == 2 else (None, given)
    if not isinstance(param, Param) or not (name is None or isinstance(name, str)):
        raise _bad(f"bad params= of {what}", shown(given), "gc.param tensors", _params_hint(param))
    return name, param


def _params_hint(given: Any) -> str:
    if hasattr(given, "parameters"):
        return "model.parameters() gives the params of a model"
    if isinstance(given, Param):
        return "put it in a list"
    if isinstance(given, Eager):
        return "state that steps and optimisers share is a gc.param: gc.param(value, name=...)"
    return ""


def _distinct_names(what: str, named: list[tuple[str | None, Param]]) -> dict[Param, str]:
    """What each param is called in the state."""
    names: list[str] = []
    seen: set[Param] = set()
    for position, (name, param) in enumerate(named):
        own = param.name or ""
        if param in seen:
            raise _bad(f"{what} was given a param twice", repr(name or own), "each param once")
        seen.add(param)
        names.append(name or (str(position) if _AUTOMATIC.fullmatch(own) else own))
    often = Counter(names)
    distinct = [n if often[n] == 1 else f"{k}.{n}" for k, n in enumerate(names)]
    if len(set(distinct)) < len(distinct):
        raise _bad(f"names of the params of {what}", ", ".join(distinct)[:80], "names that differ")
    return {param: name for (_, param), name in zip(named, distinct, strict=True)}


def _checked_rate(what: str, lr: Any) -> Any:
    if isinstance(lr, Tensor):
        if lr.shape != () or lr.dtype.kind != "f":
            raise _bad(f"bad lr= of {what}", describe(lr), "a 0-d float tensor")
        return lr
    return lr if callable(lr) else number(what, "lr", lr)


def _text(failed: str, got: str, expected: str, hint: str = "") -> str:
    return message(failed, got=got, expected=expected, at=user_line(), created=False, hint=hint)


def _bad(failed: str, got: str, expected: str, hint: str = "") -> InputError:
    return InputError(_text(failed, got, expected, hint))


def _nothing(failed: str, got: str, expected: str, hint: str) -> GradientError:
    return GradientError(_text(failed, got, expected, hint))
