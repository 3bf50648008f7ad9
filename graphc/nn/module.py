"""`Module`: what has parameters. They are found in its attributes; there is nothing to register."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from ..errors import ArgumentError, CompileError, UnsupportedError, message, shown, user_line
from ..ir.apply import is_tensor
from ..ir.dtypes import as_dtype
from ..ir.leaves import Param, param
from ..ops.calls import refuse_misfit
from ..ops.common import describe
from ..runtime import cuda_devices
from . import naming, printing, state
from .forwarding import called
from .parameter import TRANSIENT, Buffer, is_buffer

M = TypeVar("M", bound="Module")
_CONVERTERS = {"double": "float64", "float": "float32"}


class Module:
    """The base of layers and models, as people know it from PyTorch: give `__init__` and `forward`.

    A `Parameter` (or `gc.param`), a `Buffer` and a module are found where an attribute holds them, by itself or in
    lists, tuples and dicts, nested at will. One model serves both worlds: called with symbolic tensors it builds the
    graph that `gc.compile` and `gc.grad` take; called with eager tensors it computes, and `backward` fills
    ``param.grad``.

    training  whether `train` or `eval` was called last; True at first

    `state_dict` names what it finds by the path to it, joined by dots. `InputError` for a name that would break that:
    one with a dot in it or without a letter, keys of a dict that are written alike (1 and "1"), and the name of a
    method.

    >>> import graphc as gc
    >>> from graphc import nn
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         self.hidden = nn.Linear(4, 3, seed=0)
    ...         self.out = [nn.ReLU(), nn.Linear(3, 1, seed=1)]
    ...     def forward(self, x):
    ...         for layer in [self.hidden, *self.out]:
    ...             x = layer(x)
    ...         return x
    >>> net = Net()
    >>> [name for name, _ in net.named_parameters()]
    ['hidden.weight', 'hidden.bias', 'out.1.weight', 'out.1.bias']
    >>> net(gc.input("x", ("n", 4), "float32")), net(gc.eager.ones(5, 4)).shape
    (<Tensor add float32[n, 1]>, (5, 1))
    >>> net
    Net(
      (hidden): Linear(in_features=4, out_features=3, bias=True)
      (out): ModuleList(
        (0): ReLU()
        (1): Linear(in_features=3, out_features=1, bias=True)
      )
    )
    """

    training: bool = True

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        _refuse_tensors(cls, args)
        refuse_misfit(cls.__init__, cls.__name__, (None, *args), kwargs, makes=True, bound=True)
        return super().__new__(cls)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; each module gives its own."""
        raise UnsupportedError(
            message(
                f"{type(self).__name__} has no forward",
                expected="a method forward(self, x)",
                at=user_line(),
                created=False,
            )
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """`forward`, of symbolic or of eager tensors."""
        return called(self, args, kwargs)

    # what is in it

    def __setattr__(self, name: str, value: Any) -> None:
        found = list(_within(name, value, name))
        if found:
            naming.check_attribute(type(self), name)
        elif value is not None and isinstance(vars(self).get(name), Param):
            raise _not_a_param(type(self).__name__, name, value)
        object.__setattr__(self, name, value)
        for path, own in found:
            if isinstance(own, Param):
                _label(own, path)
            elif all(inner is not self for inner in own.modules()):  # a parent is no part
                for inner, leaf in own._all_leaves(path):
                    _label(leaf, inner)

    def _own(self) -> Iterator[tuple[str, Any]]:
        """What the attributes hold, not what is inside modules: parameters, buffers, modules, PyTorch's order."""
        found = [pair for name, value in vars(self).items() for pair in _within(name, value, name)]
        return iter(sorted(found, key=_rank))

    def _all_leaves(self, prefix: str = "", above: tuple[Module, ...] = ()) -> Iterator[tuple[str, Param]]:
        """Every param under every name it has, in the order of `state_dict`."""
        for name, own in self._own():
            path = f"{prefix}.{name}" if prefix else name
            if isinstance(own, Param):
                yield path, own
            elif own is not self and all(own is not other for other in above):  # a module may know its parent
                yield from own._all_leaves(path, (*above, self))

    def _leaves(self, want: Callable[[Param], bool], prefix: str = "") -> Iterator[tuple[str, Param]]:
        """Every param that `want` takes, once."""
        seen: set[Param] = set()
        for name, own in self._all_leaves(prefix):
            if own not in seen and want(own):
                seen.add(own)
                yield name, own

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Param]]:
        """Pairs (name, param), as ``("fc1.weight", ...)``; one that is in several places comes once."""
        return self._leaves(lambda own: not is_buffer(own), prefix)

    def parameters(self) -> Iterator[Param]:
        """The params that are trained, and those that are frozen: ``gc.grad(loss, list(model.parameters()))``.

        >>> from graphc import nn
        >>> print(list(nn.Linear(2, 1, seed=0).parameters()))
        [Parameter containing:
        tensor([[ 0.1937, -0.3256]], requires_grad=True), Parameter containing:
        tensor([-0.6492], requires_grad=True)]
        """
        return (own for _, own in self.named_parameters())

    def named_buffers(self, prefix: str = "") -> Iterator[tuple[str, Param]]:
        """Pairs (name, param) of the state that is not trained, such as running statistics."""
        return self._leaves(is_buffer, prefix)

    def buffers(self) -> Iterator[Param]:
        """The state that is not trained."""
        return (own for _, own in self.named_buffers())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Pairs (name, module) of the modules in the attributes, each module once."""
        seen: set[int] = set()
        for name, own in self._own():
            if isinstance(own, Module) and id(own) not in seen:
                seen.add(id(own))
                yield name, own

    def children(self) -> Iterator[Module]:
        """The modules in the attributes."""
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Pairs (name, module): this one, whose name is `prefix`, and all that are inside, each once."""
        seen: set[int] = set()
        waiting: list[tuple[str, Module]] = [(prefix, self)]
        while waiting:
            path, module = waiting.pop()
            if id(module) not in seen:
                seen.add(id(module))
                yield path, module
                inner = [(f"{path}.{name}" if path else name, child) for name, child in module.named_children()]
                waiting += reversed(inner)

    def modules(self) -> Iterator[Module]:
        """This module and all that are inside."""
        return (module for _, module in self.named_modules())

    def apply(self: M, function: Callable[[Module], Any]) -> M:
        """Call `function` on all modules inside, then on this one; returns it."""
        for module in reversed(list(self.modules())):
            function(module)
        return self

    def num_parameters(self, trainable: bool = False) -> int:
        """How many numbers the parameters have; with `trainable`, those that are not frozen.

        >>> from graphc import nn
        >>> nn.Linear(784, 10).num_parameters()
        7850
        """
        return sum(own.numel() for own in self.parameters() if own.trainable or not trainable)

    def register_buffer(self, name: str, value: Any, persistent: bool = True) -> None:
        """``self.name = Buffer(value)``; None makes no buffer."""
        setattr(self, name, None if value is None else Buffer(value, persistent))

    def register_parameter(self, name: str, value: Param | None) -> None:
        """``self.name = value``."""
        setattr(self, name, value)

    def add_module(self, name: str, module: Module | None) -> None:
        """``self.name = module``."""
        setattr(self, name, module)

    # modes

    def train(self: M, mode: bool = True) -> M:
        """Let this module and all inside train: batch norm takes the statistics of the batch, dropout drops."""
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self: M) -> M:
        """Let this module and all inside evaluate: ``train(False)``."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Freeze (False) or thaw all parameters: optimisers and `backward` leave frozen ones alone.

        A step that was compiled before does what it was compiled for.
        """
        for own in self.parameters():
            if own.dtype.kind == "f":
                own.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the eager gradients of all parameters; with ``set_to_none=False`` write zeros into them."""
        for own in self.parameters():
            if set_to_none or own.grad is None:
                own.grad = None
            else:
                own.grad.zero_()

    def own_updates(self) -> Mapping[Param, Any]:
        """New values that this module itself, not those inside, has for its state after a step; see `updates`."""
        return {}

    def updates(self) -> dict[Param, Any]:
        """What a step does to the state that is not trained: ``gc.compile(updates={**trained, **model.updates()})``.

        To be asked for after the model was called on symbolic tensors: running statistics are of those calls.
        """
        return {own: value for module in self.modules() for own, value in module.own_updates().items()}

    # state

    def state_dict(self) -> dict[str, Any]:
        """The values of parameters and buffers by name, as arrays of their own: all as they are after one whole step.

        >>> from graphc import nn
        >>> {name: value.shape for name, value in nn.Linear(3, 2).state_dict().items()}
        {'weight': (2, 3), 'bias': (2,)}
        """
        return state.values(dict(self._persistent()))

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> state.LoadResult:
        """Set parameters and buffers to values by name: arrays, eager tensors, or what NumPy makes arrays of.

        strict  refuse names that are missing or unexpected; else they are returned only

        They are set together, between two steps of whatever other threads run. Nothing is set unless all fits:
        `InputError` lists every name that is missing, unexpected, of another shape, or of a dtype that would be
        narrowed.
        """
        return state.load(type(self).__name__, dict(self._persistent()), state_dict, strict)

    def _persistent(self) -> Iterator[tuple[str, Param]]:
        return ((name, own) for name, own in self._all_leaves() if own.state.role is not TRANSIENT)

    def to(self: M, target: Any) -> M:
        """The model on a device, or a copy of it whose float params are of another dtype.

        ``model.to("cuda")``, ``model.to("cuda:1")``, ``model.to("cpu")`` choose, for the model itself, the device that
        its steps are compiled for where `gc.compile` is given no ``target=``. On a GPU, the values of the params go
        there with the first step, and come back wherever they are read here: by ``param.value``, by ``state_dict``, and
        by eager tensors, which compute on the CPU. Steps that were compiled before stay as they are, and go on sharing
        the params; ``step.to`` compiles them anew. Raises `UnsupportedError` where there is no such device.

        ``model = model.to("float64")`` makes a copy; the model, and steps that were compiled from it, stay as they are.

        >>> import graphc as gc
        >>> from graphc import nn
        >>> net = nn.Linear(2, 1)
        >>> net.to("cpu") is net, net.to("float64").weight.dtype
        (True, dtype('float64'))
        """
        if isinstance(target, str) and target.split(":")[0] in ("cpu", "cuda", "mps", "xpu"):
            index = _device(type(self).__name__, target)
            for _, own in self._all_leaves():
                own.state.place = "cpu" if index is None else f"cuda:{index}"
            return self
        dtype = as_dtype(target)
        memo: dict[int, Any] = {}
        for name, own in self._all_leaves():
            if own.dtype.kind == "f" and id(own) not in memo:
                made = param(own.value.astype(dtype), own.attrs["name"], own.trainable, role=own.state.role)
                made.state.label = name if own.state.label else None
                made.state.place = own.state.place
                memo[id(own)] = made
        return copy.deepcopy(self, memo)

    def __getattr__(self, name: str) -> Any:
        text = f"{type(self).__name__!r} object has no attribute {name!r}"
        if name in _CONVERTERS:
            text += f"\n  hint: model = model.to({_CONVERTERS[name]!r}) makes a converted copy"
        elif name in ("cpu", "cuda"):
            text += f'\n  hint: model.to("{name}"), before a step is compiled; step.to("{name}") compiles one anew'
        raise AttributeError(text, name=name, obj=self)

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles have: not the updates of the graph that is being built."""
        return {name: value for name, value in vars(self).items() if name != "_pending"}

    def __setstate__(self, values: dict[str, Any]) -> None:
        vars(self).update(values)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _blank, (type(self),), self.__getstate__()

    # printing

    def extra_repr(self) -> str:
        """What stands in the brackets when the module is printed."""
        return ""

    def __repr__(self) -> str:
        return printing.module_text(self)


def _device(module: str, target: str) -> int | None:
    """The number of a device there is; None for the CPU."""
    try:
        index = cuda_devices.parse(target)
    except CompileError:
        raise UnsupportedError(
            message(
                f"{module} cannot be moved",
                got=f"device {target!r}",
                expected="'cpu', 'cuda', 'cuda:1' and so on, or a dtype",
                at=user_line(),
                created=False,
            )
        ) from None
    if index is not None:
        cuda_devices.device(index)
    return index


def _blank(cls: type[Module]) -> Any:
    """A module whose attributes are still to come."""
    return object.__new__(cls)


def _within(name: str, value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Pairs (name, param or module) in an attribute: itself, or in a nesting of lists, tuples and dicts.

    place  where it is, as Python writes it: ``layers[0]['fc']``
    """
    if isinstance(value, (Param, Module)):
        yield name, value
    elif isinstance(value, (list, tuple)):
        for k, part in enumerate(value):
            yield from _within(f"{name}.{k}", part, f"{place}[{k}]")
    elif isinstance(value, dict):
        named: dict[str, Any] = {}
        for key, part in value.items():
            found = list(_within(f"{name}.{key}", part, f"{place}[{key!r}]"))
            if found:
                naming.check_key(place, key, named)
            yield from found


def _rank(pair: tuple[str, Any]) -> int:
    return 2 if isinstance(pair[1], Module) else int(is_buffer(pair[1]))


def _label(own: Param, name: str) -> None:
    """Name a param after its place: the first one, in the outermost module. A name that the user gave stays."""
    known = own.state.label
    if own.state.role is not None and (known is None or name.endswith(f".{known}")):
        own.state.label = name


def _not_a_param(module: str, name: str, value: Any) -> ArgumentError:
    """The error for a value in the place of a param, which steps and optimisers would go on with."""
    return ArgumentError(
        message(
            f"cannot replace param {name!r} of {module}",
            got=shown(value),
            expected="a param, or None",
            at=user_line(),
            created=False,
            hint=f"model.{name}.value = ... sets its value",
        )
    )


_OF_TENSORS = ("weight", "pos_weight", "data")
"""Arguments of layers that may be tensors."""


def _refuse_tensors(cls: type[Module], args: tuple[Any, ...]) -> None:
    """A layer that is made of tensors as if it were a function: some take weights, and none takes other tensors."""
    given = [arg for arg in args if is_tensor(arg) and not isinstance(arg, Param)]
    if not given or not cls.__module__.startswith(f"{__package__}."):
        return
    parameters = [*list(inspect.signature(cls.__init__).parameters)[1:], *[""] * len(args)]
    if any(is_tensor(arg) and name not in _OF_TENSORS for name, arg in zip(parameters, args, strict=False)):
        names = [f"x{k}" if len(given) > 1 else "x" for k in range(1, len(given) + 1)]
        raise ArgumentError(
            message(
                f"cannot make {cls.__name__} of {'tensors' if len(given) > 1 else 'a tensor'}",
                got=describe(*given),
                expected="what the layer is like",
                at=user_line(),
                created=False,
                hint=f"a layer is made first, and then called: {cls.__name__}(...)({', '.join(names)})",
            )
        )
