"""What to do instead: hints for what Python, PyTorch and SciPy offer and a symbolic tensor does not."""

from __future__ import annotations

import builtins
import inspect
import sys
from collections.abc import Collection, Mapping
from typing import Any

from ..errors import MissingAttributeError, message, user_line
from ..ir.dtypes import SUPPORTED
from ..ir.evaluate import value_hint
from ..ir.leaves import INPUT, PARAM, UNROLLED, Param, function_of
from ..ir.naming import called, is_membership
from ..ir.traversal import topological
from .common import describe, labels
from .functions import PUBLIC

ELSEWHERE = {"expit": "sigmoid", "fsum": "sum", "gammaln": "lgamma", "log_expit": "log_sigmoid", "psi": "digamma"}
"""Names that functions of `math` and `scipy.special` have here; those of the same name need no entry."""

_COMPOSED = {
    "betaln": "gc.lgamma(a) + gc.lgamma(b) - gc.lgamma(a + b)",
    "degrees": "x * (180 / math.pi)",
    "exp10": "10.0**x",
    "gamma": "gc.exp(gc.lgamma(x)), for x > 0",
    "logit": "gc.log(x) - gc.log1p(-x)",
    "ndtr": "gc.erfc(-x / math.sqrt(2)) / 2",
    "radians": "x * (math.pi / 180)",
}
"""Functions that we do not have, by those that we have."""

_ALGEBRA = "there is no linear algebra beyond products (gc.matmul, gc.einsum): np.linalg takes what a step returned"
_DATA = "there is none, for shapes do not depend on data: gc.where(condition, x, y), and reduce over that"
_ABSENT = {
    "average": "there is none: gc.mean(x), and with weights gc.sum(w * x) / gc.sum(w)",
    "median": "there is none: of n numbers, s = gc.sort(x), it is (s[(n - 1) // 2] + s[n // 2]) / 2",
    "unique": "there is none, for shapes do not depend on data: np.unique takes what a step returned",
    **dict.fromkeys(("argwhere", "flatnonzero", "nonzero"), _DATA),
    **dict.fromkeys(("cholesky", "det", "eig", "eigh", "inv", "inverse", "linalg", "lstsq", "pinv", "qr"), _ALGEBRA),
    **dict.fromkeys(("slogdet", "solve", "svd"), _ALGEBRA),
}
"""Functions that there are not, neither as such nor in one expression, with the reason."""

_MAKING = ("creation", "ranges")
"""Modules of functions that make a tensor of numbers, and so take no tensors themselves."""
_GOING_ALONG = ("all", "any", "max", "min", "sum")
_JOINING = ("array", "asarray", "constant", "param")
_TRUTH = (
    "choose with gc.where(condition, x, y); Python's and, or, not, max, min, sorted are gc.logical_and, logical_or, "
    "logical_not, maximum, minimum, sort; `if` and `while` on values need gc.eager, or a value: what a step returned"
)


def own_name(name: str) -> str | None:
    """What a function that is called `name` elsewhere is called here."""
    own = ELSEWHERE.get(name, name)
    return own if own in PUBLIC else None


def number_hint(x: Any) -> str:
    """For a function that wants a number, or an array: gc's own, or how to come by the value."""
    written = called(user_line()) or ""
    module, _, name = written.rpartition(".")
    if name in _JOINING or (module in ("np", "numpy") and name in PUBLIC):  # which would have come here itself
        return f"gc.stack([a, b]) makes a tensor of tensors; {value_hint(x)}"
    return function_hint(written) or int_hint(x)


def function_hint(written: str) -> str:
    """For a function of another library, as the user wrote it (``math.exp``): what does it for tensors, or ""."""
    name = written.rpartition(".")[2]
    own = own_name(name)
    if name == written and hasattr(builtins, name):  # float, max: no library's
        return ""
    if own is not None and PUBLIC[own].__module__.rpartition(".")[2] not in _MAKING:
        return f"gc.{own} is {written} for tensors"
    if name in _COMPOSED:
        return f"{written} for tensors is {_COMPOSED[name]}"
    if name in _ABSENT:
        return _ABSENT[name]
    if name in [d.name for d in SUPPORTED]:
        return f"gc.astype(x, {name!r}) converts a tensor"
    return ""


def int_hint(x: Any) -> str:
    """For what wants an int of a tensor: a number of repetitions, an axis."""
    return argument_hint(x) or value_hint(x)


def loop_hint(x: Any) -> str:
    """For what goes along a tensor whose size is not known while building."""
    written = called(user_line()) or ""
    label = labels(x, inside=False)[0] or "x"
    if written in _GOING_ALONG:
        return f"gc.{written}({label}, axis=0)"
    by_index = f"take its parts by index, {label}[0], {label}[1], or {fixed_size(x)}"
    return function_hint(written) or f"{by_index}; a loop over data is written for the whole axis at once"


def loop_size(x: Any) -> str:
    """What is expected of the first axis of a tensor that Python goes along."""
    if _function(x):
        return f"a first axis of at most {UNROLLED}, up to which a traced function fixes sizes"
    return "a first axis whose size is known while building"


def fixed_size(x: Any) -> str:
    """How the first axis of a tensor gets a size that is known while building, however large."""
    if _function(x):
        return f"compile a graph of inputs whose sizes are ints, gc.input('x', ({UNROLLED + 1},))"
    return "declare the size as an int"


def _function(x: Any) -> str | None:
    """The name of the traced function of whose arguments `x` is made."""
    return next(filter(None, map(function_of, topological([x]))), None)


def truth_hint(x: Any) -> str:
    """For what wants to know whether a tensor is true."""
    if is_membership(user_line()):
        return "== builds a tensor: any(x is one for one in many) looks for a tensor, gc.any(x == values) for a value"
    fixed = argument_hint(x)
    if fixed:
        return f"{fixed}; or choose with gc.where(condition, x, y)"
    held = any(n.op is PARAM for n in topological([x])) and all(n.op is not INPUT for n in topological([x]))
    return f"{value_hint(x)}; or {_TRUTH}" if held else _TRUTH


def assignment_hint(x: Any) -> str:
    """For what would change elements of a tensor: a param has a value, any other tensor is one."""
    if isinstance(x, Param):
        name = labels(x)[0] or "w"
        return (
            f"{name}.value = ... sets the value of a param, all of it: v = {name}.value, v[...] = ..., "
            f"{name}.value = v; in the updates of a step, {{{name}: {name}.at[index].set(value)}}"
        )
    return "tensors are values: x = x.at[index].set(value) gives a changed copy, .add(value) adds"


def argument_hint(x: Any) -> str:
    """For a Python int or bool that a traced function was given: how it stays one."""
    leaves = [n for n in topological([x]) if n.op is INPUT or n.op is PARAM]
    function = _function(x)
    if function is None or any(n.op is PARAM or n.shape or n.dtype.kind not in "bi" for n in leaves):
        return ""
    names = ", ".join(f"{n.name}=..." for n in leaves)
    return (
        f"the numbers that a compiled function is called with are traced: fix this one before, with "
        f"gc.compile(functools.partial({function}, {names}))"
        + (", or pass it as a string or None" if all(n.dtype.kind == "b" for n in leaves) else "")
    )


# attributes

_SETTERS = frozenset({"assign", "copy_", "fill_", "set", "set_value", "update"})
_VALUES = frozenset({"value", "values", "numpy", "data", "cpu", "eval", "get_value"})
_MARKS = frozenset({"requires_grad", "requires_grad_", "is_leaf", "grad_fn", "retain_grad"})
_CASTS = {
    "float": "float32",
    "double": "float64",
    "half": "float32",
    "int": "int32",
    "long": "int64",
    "short": "int16",
    "char": "int8",
    "byte": "uint8",
    "bool": "bool",
}
_INSTEAD = {
    "backward": "gc.grad({x}, wrt) gives the gradients as tensors: outputs of a step, or part of its updates",
    "grad": "gc.grad(loss, {x}) is the gradient, a tensor: an output of a step, or part of its updates",
    "detach": "gc.stop_gradient({x}) cuts the derivative",
    "to": "{x}.astype(dtype) converts; gc.compile(target=...) says where a step runs",
    "type": "{x}.astype(dtype) converts, {x}.dtype tells",
    "cuda": "gc.compile(target=...) says where a step runs",
    "device": "gc.compile(target=...) says where a step runs",
    "copy": "tensors are values, which nothing changes: use {x} itself",
    "clone": "tensors are values, which nothing changes: use {x} itself",
    "contiguous": "tensors are values, without a layout: use {x} itself",
    "fill": "tensors are values: gc.full_like({x}, value)",
    "numel": "{x}.size",
    "nelement": "{x}.size",
    "dim": "{x}.ndim",
    "view": "{x}.reshape(...)",
    "expand": "gc.broadcast_to({x}, shape)",
    "H": "{x}.mT",
    "t": "{x}.T",
    "real": "there are no complex numbers: use {x} itself",
    "conj": "there are no complex numbers: use {x} itself",
    "flat": "gc.ravel({x})",
    "map": "functions of tensors work on all elements: gc.exp({x}); gc.vmap(f) maps one of your own",
    "apply": "functions of tensors work on all elements: gc.exp({x}); gc.vmap(f) maps one of your own",
}


def missing_attribute(self: Any, name: str) -> Any:
    """``__getattr__`` of symbolic tensors: an `AttributeError` that says what stands in place of `name`."""
    if name.startswith("_") or name in type(self).__slots__ or name in ("op", "inputs", "attrs", "avals"):
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
    error = MissingAttributeError(
        message(
            f"a symbolic tensor has no attribute {name!r}",
            got=describe(self, inside=False),
            at=user_line(),
            created=False,
            hint=attribute_hint(self, name),
        )
    )
    error.name, error.obj = name, self  # for Python's "Did you mean"
    raise error


def attribute_hint(x: Any, name: str) -> str:
    """What stands in place of the attribute `name`; "" where nothing is known."""
    if name in _VALUES:
        return value_hint(x)
    if name in _MARKS:
        return "gc.grad(y, wrt) differentiates by any tensor: none is marked for it, gc.stop_gradient excludes"
    label = labels(x, inside=False)[0] or "x"
    if name in _SETTERS:
        set_it = f"{label}.value = ... sets it; the updates of a step set it at each call"
        return set_it if isinstance(x, Param) else "tensors are values, which nothing changes: a gc.param has state"
    if name in _CASTS:
        return f"{label}.astype({_CASTS[name]!r})"
    if name == "backward" and not any(node.op is INPUT for node in topological([x])):
        return "what is made of arrays and params is a graph, too: gc.eager.tensor(array) computes at once"
    if name in _INSTEAD:
        return _INSTEAD[name].format(x=label)
    if name in _ABSENT:
        return _ABSENT[name]
    own = own_name(name) or own_name(name.rstrip("_"))
    if own is None:
        near = closest(name, [member for member in dir(type(x)) if not member.startswith("_")])
        return f"did you mean {label}.{near}?" if near else ""
    parameters = list(inspect.signature(PUBLIC[own]).parameters.values())
    more = any(p.default is p.empty and p.kind is not p.VAR_KEYWORD for p in parameters[1:])
    return f"it is a function: gc.{own}({label}{', ...' if more else ''})"


# names of modules

_RANDOM = "gc.random: key = gc.random.Key(seed), gc.random.{name}(key, ...)"
_CONTROL = "no loops or branches on values in a graph: gc.where, a loop unrolled in Python, step.run, or gc.eager"
_DEVICES = "gc.compile(..., target='cuda') compiles a step for an NVIDIA GPU; all else runs on the CPU"
_NAMES = {
    "tensor": "gc.input is data, gc.param state, gc.constant a constant of a graph; gc.eager.tensor computes at once",
    "placeholder": "gc.input(name, shape, dtype)",
    **dict.fromkeys(("Variable", "variable", "Parameter", "parameter", "shared"), "gc.param(value, name) is state"),
    "array": "gc.asarray(value)",
    **dict.fromkeys(("jit", "function"), "gc.compile(f) compiles a function, gc.compile(inputs, outputs) a graph"),
    **dict.fromkeys(("gradient", "gradients", "backward", "derivative"), "gc.grad(y, wrt), or gc.grad(f)"),
    "no_grad": "gc.stop_gradient(x) cuts the derivative; gc.eager.no_grad() is PyTorch's",
    **{name: f"gc.nn.{name}" for name in ("Module", "Sequential", "Linear", "Conv2d", "Dropout", "cross_entropy")},
    **{name: f"gc.optim.{name}" for name in ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "clip_grad_norm")},
    **{name: _RANDOM.format(name=name) for name in ("uniform", "normal", "bernoulli", "randint", "permutation")},
    **{name: _RANDOM.format(name="uniform") for name in ("rand", "manual_seed")},
    "randn": _RANDOM.format(name="normal"),
    "randperm": _RANDOM.format(name="permutation"),
    **dict.fromkeys(("cond", "while_loop", "fori_loop", "scan", "switch"), _CONTROL),
    **dict.fromkeys(("pi", "e", "inf", "nan"), "math has it, as a Python number"),
    **dict.fromkeys([d.name for d in SUPPORTED], "dtypes are given by name, or as NumPy's: 'float32', np.float32"),
    **dict.fromkeys(("cuda", "device", "backends"), _DEVICES),
}
_SPLIT = "a key is not split: every draw from it has other numbers; gc.random.Key(seed, stream) is independent"
_RATES = (
    "rates are functions of a step counter: lr=gc.optim.cosine(0.1, steps), as gc.optim.one_cycle, step, exponential"
)
_IN_MODULES = {
    "graphc.data": {
        "TensorDataset": "gc.data.ArrayDataset(x, y) is a dataset of arrays",
        "ConcatDataset": "gc.data.ArrayDataset(np.concatenate([a, b]), ...) of the arrays",
    },
    "graphc.nn": {"F": "gc.nn.functional"},
    "graphc.optim": dict.fromkeys(
        ("lr_scheduler", "StepLR", "ExponentialLR", "CosineAnnealingLR", "OneCycleLR", "LambdaLR", "MultiStepLR"),
        _RATES,
    ),
    "graphc.random": {
        **dict.fromkeys(("split", "fold_in"), _SPLIT),
        **dict.fromkeys(("PRNGKey", "key", "seed", "manual_seed", "default_rng", "Generator"), "gc.random.Key(seed)"),
        **dict.fromkeys(("rand", "random"), "gc.random.uniform(key, shape)"),
        "randn": "gc.random.normal(key, shape)",
    },
}


def missing_name(module: str, name: str, names: Collection[str] = ()) -> AttributeError:
    """The error for a name that a module of the package does not have; it has `names`, or those of its `__all__`."""
    text = f"module {module!r} has no attribute {name!r}"
    if name.startswith("_"):
        return AttributeError(text, name=name)
    own, here = own_name(name), module.replace("graphc", "gc", 1)
    hint = _IN_MODULES.get(module, {}).get(name) or (_NAMES | _ABSENT).get(name) or (f"gc.{own}" if own else "")
    if not hint:
        near = closest(name, names or getattr(sys.modules[module], "__all__", ()))
        listed = "python -m graphc ops lists the functions" if here == "gc" else f"dir({here}) lists its names"
        hint = f"did you mean {here}.{near}?" if near else listed
    return MissingAttributeError(message(text, at=user_line(), created=False, hint=hint))


def missing_member(of: Any, name: str, instead: Mapping[str, str]) -> AttributeError:
    """The error for an attribute that an object of a public class does not have.

    instead   for a name that people look for, what to do
    """
    what = type(of).__name__
    text = f"{what!r} object has no attribute {name!r}"
    if name.startswith("_"):
        return AttributeError(text, name=name, obj=of)
    near = closest(name, [member for member in dir(of) if not member.startswith("_")])
    hint = instead.get(name) or (f"did you mean .{near}?" if near else f"dir({what.lower()}) lists its names")
    error = MissingAttributeError(message(text, at=user_line(), created=False, hint=hint))
    error.name, error.obj = name, None if near else of  # Python's own "Did you mean" only where there is no other
    return error


def closest(name: str, names: Collection[str]) -> str:
    """What `name` is a misspelling of, upper and lower case being alike, or "": ReLU of Relu, but relu of reLU."""
    if not names:  # Python asks for modules while graphc is being imported
        return ""
    from difflib import get_close_matches

    found: dict[str, str] = {}
    for own in sorted(names):
        if own.lower() not in found or own[0].isupper() == name[0].isupper():
            found[own.lower()] = own
    near = get_close_matches(name.lower(), found, n=3, cutoff=0.75)
    letters = [own for own in near if sorted(own) == sorted(name.lower())]  # tahn is tanh rather than tan
    return found[(letters or near)[0]] if near else ""
