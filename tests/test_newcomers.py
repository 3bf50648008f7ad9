"""What newcomers do with functions, other libraries' names and two engines: it works, or the error says how."""

from __future__ import annotations

import copy
import functools
import importlib
import inspect
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special
from messages import text_of

import graphc as gc
from graphc.tracing import UNROLLED

S = gc.input("s")
X = gc.input("x", ("n", 3))
M = gc.input("m", (3, 2), "float32")
W = gc.param([1.0, 2.0], name="w")
E = gc.eager.tensor([1.0, 2.0])

Case = tuple[Callable[[], Any], type[Exception], str]


def table(cases: dict[str, Case]) -> Any:
    return pytest.mark.parametrize(("call", "error", "text"), cases.values(), ids=cases)


def check(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(Exception) as caught:
        call()
    assert (type(caught.value), text_of(caught.value)) == (error, text)


# going along an axis in Python


def decay(p: Any, t: Any) -> Any:
    a, k, c = p
    return gc.sum(a * gc.exp(-k * t) + c)


def test_parameters_are_unpacked_from_a_vector() -> None:
    p, t = np.array([2.0, 0.5, 1.0]), np.linspace(0, 1, 5)
    f = gc.compile(decay)
    assert f(p, t) == pytest.approx(np.sum(2 * np.exp(-0.5 * t) + 1))
    assert f(p, t[:4]) == pytest.approx(np.sum(2 * np.exp(-0.5 * t[:4]) + 1))
    assert len(f.steps) == 1  # the size of t is free, that of p is not
    assert gc.grad(decay)(p, t)[2] == pytest.approx(5.0)
    graph = gc.trace(decay, gc.input("p", (3,)), gc.input("t", ("n",)))
    assert [str(i.aval) for i in graph.inputs] == ["float64[3]", "float64[n]"]


def test_a_size_that_python_needs_is_fixed() -> None:
    f = gc.compile(lambda rows: functools.reduce(lambda a, b: 2 * a + b, [gc.sum(r) for r in rows]))
    assert f(np.ones((2, 4))) == 12.0 and f(np.ones((2, 3))) == 9.0 and len(f.steps) == 1
    assert f(np.ones((3, 4))) == 28.0 and len(f.steps) == 2
    assert f(np.ones((2, 4))) == 12.0 and len(f.steps) == 2
    np.testing.assert_allclose(gc.vmap(decay, in_axes=(0, None))(np.eye(3), np.zeros(2)), [2.0, 0.0, 2.0])
    check(
        lambda: f(np.ones((UNROLLED + 1, 4))), gc.TraceError,
        "cannot iterate over a tensor: got rows: float64[d0, d1], expected a first axis of at most 64, up to which a "
        "traced function fixes sizes\n  at LINE\n  hint: take its parts by index, rows[0], rows[1], or compile a graph "
        "of inputs whose sizes are ints, gc.input('x', (65,)); a loop over data is written for the whole axis at once",
    )  # fmt: skip
    p = gc.input("p", (UNROLLED + 1,))
    assert gc.compile([p], sum(p))(np.ones(UNROLLED + 1)) == UNROLLED + 1  # as the hint says
    check(
        lambda: gc.compile(lambda x: x / len(x))(np.ones(3)), gc.TraceError,
        "len() is not known while building: got x: float64[d0]\n  at LINE\n"
        "  hint: x.shape[0] is the size, as a dim: gc.sum(x) / x.shape[0]; or compile a graph of inputs whose "
        "sizes are ints, gc.input('x', (65,))",
    )  # fmt: skip
    with pytest.raises(ValueError, match="too many values to unpack"):
        gc.compile(decay)(np.ones(4), np.ones(2))


# arguments that are no arrays


@gc.compile
def scaled(x: Any, twice: Any) -> Any:
    return 2 * x if twice else x


@gc.compile
def powers(x: Any, k: Any) -> Any:
    return [x**i for i in range(k)]


def square(x: Any) -> Any:
    return gc.sum(x**2)


def median(x: Any) -> Any:
    s, n = gc.sort(x), x.shape[0]
    return (s[(n - 1) // 2] + s[n // 2]) / 2


FIX = (
    "the numbers that a compiled function is called with are traced: fix this one before, with "
    "gc.compile(functools.partial({}, {}=...))"
)
LIST = (
    "square failed while it was traced: unsupported operand type(s) for ** or pow(): 'list' and 'int': got a list of "
    "scalars, each traced by itself, for x\n  at LINE\n"
    "  hint: pass np.array(x) for a tensor; inside, gc.stack(x) makes one of a list"
)
RETURNED = (
    "<lambda> returned what is no tensor: got {}, expected tensors and numbers, or lists, tuples and dicts of them"
)
ARGUMENTS: dict[str, Case] = {
    "flag": (
        lambda: scaled(1.0, True), gc.TraceError,
        "a symbolic tensor has no truth value: got twice: bool[]\n  at LINE\n  hint: " + FIX.format("scaled", "twice")
        + ", or pass it as a string or None; or choose with gc.where(condition, x, y)",
    ),
    "number": (
        lambda: powers(1.0, 3), gc.TraceError,
        "a symbolic tensor has no int value: got k: int64[]\n  at LINE\n  hint: " + FIX.format("powers", "k"),
    ),
    "axis": (
        lambda: gc.compile(lambda x, axis: gc.sum(x, axis=axis))(np.ones(3), axis=0), gc.TraceError,
        "a symbolic tensor has no int value: got axis: int64[]\n  at LINE\n  hint: " + FIX.format("<lambda>", "axis"),
    ),
    "value": (
        lambda: float(gc.sum(X)), gc.TraceError,
        "a symbolic tensor has no float value: got gc.sum(X): float64[]\n  at LINE\n"
        "  hint: values exist when a compiled step runs: gc.compile([x], gc.sum(X)) called with arrays; or use "
        "gc.eager",
    ),
    "value of an argument": (
        lambda: gc.compile(lambda x: float(x))(1.0), gc.TraceError,
        "a symbolic tensor has no float value: got x: float64[]\n  at LINE\n"
        "  hint: values exist when the compiled <lambda> runs, not while it is traced: return it; or use gc.eager",
    ),
    "list": (lambda: gc.compile(square)([1.0, 2.0]), gc.TraceError, LIST),
    "list of a derivative": (lambda: gc.grad(square)([1.0, 2.0]), gc.TraceError, LIST),
    "list for a function of ours": (
        lambda: gc.compile(lambda x: gc.exp(x))([1.0]), gc.DTypeError,
        "cannot use as a tensor: got list [<Tensor 'x_0' input float64[]>], expected a number, an array of numbers, or "
        "a tensor\n  at LINE\n  hint: gc.stack(x) makes one tensor of a list of them; where it is an argument of "
        "<lambda>, pass np.array(x) instead of a list",
    ),
    "list of samples": (
        lambda: gc.vmap(lambda x: x)([1.0, 2.0]), gc.ShapeError,
        "cannot vmap over axis 0 of x_0: got x_0: float64[], expected an argument that has it\n  at LINE\n"
        "  hint: give None in in_axes for what is the same for all samples; a list is one of scalars: pass np.array(x)",
    ),
    "no return": (
        lambda: gc.compile(lambda x: None)(1.0), gc.TraceError,
        RETURNED.format("None") + "\n  at LINE\n  hint: a function without return gives None",
    ),
    "no return, differentiated": (
        lambda: gc.grad(lambda x: None)(1.0), gc.TraceError,
        RETURNED.format("None") + "\n  at LINE\n  hint: a function without return gives None",
    ),
    "no return, of one sample": (
        lambda: gc.vmap(lambda x: None)(np.ones(2)), gc.TraceError,
        RETURNED.format("None") + "\n  at LINE\n  hint: a function without return gives None",
    ),
    "text": (
        lambda: gc.compile(lambda x: {"x": x, "unit": "m"})(1.0), gc.TraceError, RETURNED.format("'m'") + "\n  at LINE",
    ),
    "set": (lambda: gc.compile(lambda x: {x})(1.0), gc.TraceError, RETURNED.format("a set") + "\n  at LINE"),
    "gradient of nothing": (
        lambda: gc.grad(lambda x: ())(1.0), gc.GradientError,
        "gc.grad is of one tensor: got 0 tensors, expected a 0-d float tensor\n  at LINE",
    ),
    "gradient of two results": (
        lambda: gc.grad(lambda x: (x * 2, x * 3))(1.0), gc.GradientError,
        "gc.grad is of one tensor: got 2 tensors, expected a 0-d float tensor\n  at LINE",
    ),
    "params first": (
        lambda: gc.grad([W, gc.param(1.0)], gc.sum(W)), gc.GradientError,
        "gc.grad is of one tensor: got 2 tensors, expected a 0-d float tensor\n  at LINE\n"
        "  hint: what is differentiated comes first, then what by: gc.grad(loss, [w, b])",
    ),
}  # fmt: skip


@table(ARGUMENTS)
def test_arguments(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    check(call, error, text)


def test_what_the_hints_say_works() -> None:
    assert gc.compile(functools.partial(scaled, twice=True))(3.0) == 6.0
    assert gc.compile(functools.partial(powers, k=3))(2.0) == [1.0, 2.0, 4.0]
    assert gc.grad(square)(np.array([1.0, 2.0])).tolist() == [2.0, 4.0]
    assert gc.compile(lambda x: square(gc.stack(x)))([1.0, 2.0]) == 5.0
    assert gc.compile(lambda x: (1.5, np.arange(2)))(1.0)[0] == 1.5  # constants
    middle = gc.compile(median)
    for values in ([5.0, 1.0, 4.0], [5.0, 1.0, 4.0, 2.0]):
        assert middle(np.array(values)) == np.median(values)


def test_functions_of_scipy_are_ours() -> None:
    for theirs, ours in (
        (scipy.special.expit, gc.sigmoid), (scipy.special.gammaln, gc.lgamma), (scipy.special.digamma, gc.digamma),
        (scipy.special.erf, gc.erf), (scipy.special.erfc, gc.erfc), (scipy.special.log1p, gc.log1p),
        (scipy.special.log_expit, gc.log_sigmoid),
    ):  # fmt: skip
        assert theirs(X) is ours(X)
    assert scipy.special.xlogy(X, 2.0) is gc.xlogy(X, 2.0)


# names of other libraries

EXIST = "values exist when a compiled step runs: gc.compile([s], y) called with arrays; or use gc.eager"
MARKED = "gc.grad(y, wrt) differentiates by any tensor: none is marked for it, gc.stop_gradient excludes"
ATTRIBUTES = {
    "value": EXIST,
    "numpy": EXIST,
    "backward": "gc.grad(s, wrt) gives the gradients as tensors: outputs of a step, or part of its updates",
    "grad": "gc.grad(loss, s) is the gradient, a tensor: an output of a step, or part of its updates",
    "detach": "gc.stop_gradient(s) cuts the derivative",
    "requires_grad": MARKED,
    "requires_grad_": MARKED,
    "clone": "tensors are values, which nothing changes: use s itself",
    "long": "s.astype('int64')",
    "view": "s.reshape(...)",
    "exp": "it is a function: gc.exp(s)",
    "relu_": "it is a function: gc.relu(s)",
    "set_value": "tensors are values, which nothing changes: a gc.param has state",
    "matmul": "it is a function: gc.matmul(s, ...)",
    "median": "there is none: of n numbers, s = gc.sort(x), it is (s[(n - 1) // 2] + s[n // 2]) / 2",
    "nonzero": "there is none, for shapes do not depend on data: gc.where(condition, x, y), and reduce over that",
    "astyp": "did you mean s.astype?",
    "frobnicate": "",
}


@pytest.mark.parametrize(("name", "hint"), ATTRIBUTES.items(), ids=ATTRIBUTES)
def test_attributes(name: str, hint: str) -> None:
    text = f"a symbolic tensor has no attribute {name!r}: got s: float64[]\n  at LINE"
    check(lambda: getattr(S, name), gc.MissingAttributeError, text + (f"\n  hint: {hint}" if hint else ""))
    assert not hasattr(S, name)


def test_attributes_that_python_asks_for_are_missing_quietly() -> None:
    for name in ("__array_interface__", "_repr_html_", "__deepcopy__"):
        with pytest.raises(AttributeError) as caught:
            getattr(S, name)
        assert str(caught.value) == f"'Tensor' object has no attribute {name!r}"


def test_params_show_their_values() -> None:
    assert repr(W) == "<Param 'w' float64[2], value [1., 2.]>"
    assert repr(gc.param(np.float32(1 / 3), name="r")) == "<Param 'r' float32[], value 0.3333>"
    large = gc.param(np.zeros((784, 10)), name="large", trainable=False)
    assert repr(large) == "<Param 'large' float64[784, 10], value [[0., ..., 0.], ..., [0., ..., 0.]], frozen>"
    assert repr(gc.param(np.zeros((2,) * 6), name="deep")) == "<Param 'deep' float64[2, 2, 2, 2, 2, 2]>"


ALGEBRA = "there is no linear algebra beyond products (gc.matmul, gc.einsum): np.linalg takes what a step returned"
DATA = "there is none, for shapes do not depend on data: gc.where(condition, x, y), and reduce over that"
MEDIAN = "there is none: of n numbers, s = gc.sort(x), it is (s[(n - 1) // 2] + s[n // 2]) / 2"
NAMES = {
    "average": "there is none: gc.mean(x), and with weights gc.sum(w * x) / gc.sum(w)",
    "median": MEDIAN,
    "eager.median": MEDIAN,
    "unique": "there is none, for shapes do not depend on data: np.unique takes what a step returned",
    **dict.fromkeys(("argwhere", "nonzero"), DATA),
    **dict.fromkeys(("inv", "lstsq", "solve", "det", "linalg"), ALGEBRA),
    "tensor": "gc.input is data, gc.param state, gc.constant a constant of a graph; gc.eager.tensor computes at once",
    "array": "gc.asarray(value)",
    "jit": "gc.compile(f) compiles a function, gc.compile(inputs, outputs) a graph",
    "expit": "gc.sigmoid",
    "Adam": "gc.optim.Adam",
    "Linear": "gc.nn.Linear",
    "frobnicate": "python -m graphc ops lists the functions",
    "sinn": "did you mean gc.sin?",
    "Compile": "did you mean gc.compile?",
    "nn.Relu": "did you mean gc.nn.ReLU?",
    "nn.reLU": "did you mean gc.nn.relu?",
    "nn.exp": "gc.exp",
    "nn.SGD": "gc.optim.SGD",
    "nn.Transformer": "dir(gc.nn) lists its names",
    "nn.functional.max_pol2d": "did you mean gc.nn.functional.max_pool2d?",
    "nn.init.xavier_uniform": "did you mean gc.nn.init.xavier_uniform_?",
    "optim.Sgd": "did you mean gc.optim.SGD?",
    "random.norml": "did you mean gc.random.normal?",
    "data.Dataloader": "did you mean gc.data.DataLoader?",
    "cuda": "gc.compile(..., target='cuda') compiles a step for an NVIDIA GPU; all else runs on the CPU",
    "nn.F": "gc.nn.functional",
    "optim.StepLR": "rates are functions of a step counter: lr=gc.optim.cosine(0.1, steps), as gc.optim.one_cycle, "
    "step, exponential",
    "random.PRNGKey": "gc.random.Key(seed)",
    "random.split": "a key is not split: every draw from it has other numbers; gc.random.Key(seed, stream) is "
    "independent",
    "eager.tensr": "did you mean gc.eager.tensor?",
    "eager.sinn": "did you mean gc.eager.sin?",
}


@pytest.mark.parametrize(("path", "hint"), NAMES.items(), ids=NAMES)
def test_names_of_modules(path: str, hint: str) -> None:
    module = importlib.import_module(".".join(["graphc", *path.split(".")[:-1]]))
    name = path.split(".")[-1]
    text = f"module {module.__name__!r} has no attribute {name!r}\n  at LINE\n  hint: {hint}"
    check(lambda: getattr(module, name), gc.MissingAttributeError, text)
    with pytest.raises(ImportError):
        exec(f"from {module.__name__} import {name}")
    with pytest.raises(AttributeError) as caught:
        getattr(module, f"_{name}")
    assert str(caught.value) == f"module {module.__name__!r} has no attribute '_{name}'"


# arguments in the wrong place

SGD = gc.optim.SGD([W], lr=0.1)
STEP = gc.compile([S], S * W)
FIRST = "a layer is made first, and then called: "
LIKE = "expected what the layer is like\n  at LINE\n  hint: " + FIRST
SCORES, CLASSES = gc.input("scores", ("n", 4), "float32"), gc.input("classes", ("n",), "int64")
MISPLACED: dict[str, Case] = {
    "updates is a tensor": (
        lambda: gc.compile([S], W, gc.sum(W * S)), gc.InputError,
        "bad updates=: got <Tensor sum float64[]>, expected a dict {param: new value}\n  at LINE\n  hint: "
        "several results are a list, gc.compile(inputs, [loss, gradient]); updates say which param gets which new "
        "value: updates={w: w - 0.1 * gc.grad(loss, w)}",
    ),
    "updates is an optimiser": (
        lambda: gc.compile([S], S, SGD), gc.InputError,
        f"bad updates=: got {SGD!r:.77}..., expected a dict {{param: new value}}\n  at LINE\n"
        "  hint: updates=opt.minimize(loss), of an optimiser opt",
    ),
    "wrt first": (
        lambda: gc.grad(S, gc.exp(S)), gc.GradientError,
        "gc.grad of what its wrt is computed from: got s: float64[], gc.exp(S): float64[], expected first what is "
        "differentiated, then what by\n  at LINE\n  hint: gc.grad(loss, w)",
    ),
    "no wrt": (
        lambda: gc.grad(S), gc.GradientError,
        "cannot differentiate with respect to: got None, expected a tensor, or a nesting of them\n  at LINE\n"
        "  hint: say by what: gc.grad(y, wrt); a function is differentiated by its arguments: gc.grad(f)",
    ),
    "no name": (
        lambda: gc.input(("n",)), gc.InputError,
        "bad input name: got ('n',), expected a non-empty string\n  at LINE\n"
        "  hint: the name comes first: gc.input('x', shape, dtype)",
    ),
    "dtype for a name": (
        lambda: gc.param(1.0, "float32"), gc.InputError,
        "a dtype in the place of a param's name: got 'float32', expected the value, then the name\n  at LINE\n"
        "  hint: the value has the dtype: gc.param(np.float32(0.5), name)",
    ),
    "sizes": (
        lambda: gc.zeros(3, 4), gc.DTypeError,
        "unknown dtype: got 4, expected one of bool, int8..int64, uint8..uint64, float32, float64\n  at LINE\n"
        "  hint: the sizes of a shape are one argument, a tuple: (2, 3)",
    ),
    "steps": (
        lambda: STEP.run(1.0, 100), gc.InputError,
        "too many inputs: got 2, expected 1: s\n  at LINE\n  hint: the rest is given by name: steps=100",
    ),
    "key": (
        lambda: gc.random.normal((3,)), gc.InputError,
        "bad arguments of gc.random.normal: got (3,), expected a gc.random.Key first\n  at LINE\n"
        "  hint: key = gc.random.Key(seed)",
    ),
    "tensors": (
        lambda: gc.concat(X, X), gc.ShapeError,
        "cannot concat: got Tensor, expected a list or tuple of tensors\n  at LINE\n"
        "  hint: the tensors are one argument, a list: gc.concat([x, y])",
    ),
    "tensor": (
        lambda: gc.stack(X), gc.ShapeError,
        "cannot stack: got Tensor, expected a list or tuple of tensors\n  at LINE\n"
        "  hint: the tensors are one argument, a list: gc.stack([x, y])",
    ),
    "layer of a tensor": (
        lambda: gc.nn.ReLU(X), gc.ArgumentError,
        f"cannot make ReLU of a tensor: got x: float64[n, 3], {LIKE}ReLU(...)(x)",
    ),
    "layer of tensors": (
        lambda: gc.nn.CrossEntropyLoss(SCORES, CLASSES), gc.ArgumentError,
        "cannot make CrossEntropyLoss of tensors: got scores: float32[n, 4], classes: int64[n], "
        f"{LIKE}CrossEntropyLoss(...)(x1, x2)",
    ),
    "list of layers": (
        lambda: gc.nn.Sequential([gc.nn.ReLU()]), gc.InputError,
        "Sequential is of modules: got list [ReLU()], expected modules\n  at LINE\n"
        "  hint: Sequential(*modules) of a list",
    ),
    "function for a layer": (
        lambda: gc.nn.Sequential(len), gc.InputError,
        "Sequential is of modules: got builtin_function_or_method <built-in function len>, expected modules\n  at "
        "LINE\n"
        "  hint: functions have modules, as nn.ReLU() is of gc.relu, or are called in a forward",
    ),
    "targets first": (
        lambda: gc.nn.cross_entropy(CLASSES, SCORES), gc.DTypeError,
        "bad dtype for cross_entropy: got classes: int64[n], expected scores that are floats\n  at LINE\n"
        "  hint: the scores come first: cross_entropy(scores, targets)",
    ),
    "rows of 0 and 1": (
        lambda: gc.nn.cross_entropy(SCORES, gc.input("t", ("n", 4), "int64")), gc.ShapeError,
        "bad shape for cross_entropy: got scores: float32[n, 4], t: int64[n, 4], expected targets [n]: the shape of "
        "the scores without axis 1\n  at LINE\n"
        "  hint: rows of 0 and 1: gc.argmax(t, axis=1) of them, or floats, as probabilities",
    ),
    "class of a transform": (
        lambda: gc.data.Digits(transform=gc.data.ToTensor), gc.InputError,
        "bad transform= of Digits: got <class 'graphc.data.transforms.ToTensor'>, expected an instance\n  at LINE\n"
        "  hint: ToTensor(...)",
    ),
    "letters": (
        lambda: gc.tahn, gc.errors.MissingAttributeError,
        "module 'graphc' has no attribute 'tahn'\n  at LINE\n  hint: did you mean gc.tanh?",
    ),
    "arrays in a model": (
        lambda: gc.nn.Linear(2, 1, seed=0)(np.ones((1, 2), "f4")).sum().backward(), gc.errors.MissingAttributeError,
        "a symbolic tensor has no attribute 'backward': got float32[]\n  at LINE\n"
        "  hint: what is made of arrays and params is a graph, too: gc.eager.tensor(array) computes at once",
    ),
    "nothing": (
        lambda: gc.compile([X], None), gc.InputError,
        "a step that computes nothing: got no outputs, and no updates, expected gc.compile(inputs, outputs, updates)\n"
        "  at LINE",
    ),
    "array for a param": (
        lambda: setattr(gc.nn.Linear(2, 1, seed=0), "weight", np.ones((1, 2), "f4")), gc.ArgumentError,
        "cannot replace param 'weight' of Linear: got array([[1., 1.]], dtype=float32), expected a param, or None\n"
        "  at LINE\n  hint: model.weight.value = ... sets its value",
    ),
    "rate of an optimiser": (
        lambda: setattr(SGD, "lr", 1.0), gc.InputError,
        "cannot set lr of SGD: got 1.0, expected it as it was when the optimiser was made\n  at LINE\n"
        "  hint: lr=(rate := gc.param(0.1)) when it is made: then rate.value = 0.01 changes it; or lr=a schedule",
    ),
    "option of an optimiser": (
        lambda: setattr(SGD, "momentum", 0.9), gc.InputError,
        "cannot set momentum of SGD: got 0.9, expected it as it was when the optimiser was made\n  at LINE\n"
        "  hint: make another optimiser",
    ),
    "module for its parameters": (
        lambda: gc.grad(S, gc.nn.Linear(2, 1, seed=0)), gc.GradientError,
        "cannot differentiate with respect to: got Linear(in_features=2, out_features=1, bias=True), expected a "
        "tensor, or a nesting of them\n  at LINE\n  hint: list(model.parameters()) are the params of a module",
    ),
    "data for an input": (
        lambda: gc.compile([np.ones((30, 2))], S), gc.InputError,
        "inputs must be symbolic inputs: got an array, float64[30, 2], expected tensors made by gc.input\n  at LINE\n"
        "  hint: data is given to the step that comes back",
    ),
    "tensor for a function": (
        lambda: gc.contrast(S, np.ones(3)), gc.InputError,
        "gc.contrast compares the engines on a function: got <Tensor 's' input float64[]>, expected a function: "
        "gc.contrast(lambda w, x: ..., w, x)\n  at LINE",
    ),
    "complex numbers": (
        lambda: gc.compile(gc.exp)(np.ones(2, complex)), gc.DTypeError,
        "unsupported dtype: got complex128, expected one of bool, int8..int64, uint8..uint64, float32, float64\n"
        "  at LINE",
    ),
    "None for a value": (
        lambda: setattr(W, "value", None), gc.ShapeError,
        "cannot set param 'w': got object[], expected float64[2]\n  at LINE",
    ),
    "in place": (
        lambda: np.add.at(X, 0, 1.0), gc.UnsupportedError,
        "np.add.at does not work on tensors\n  at LINE\n  hint: x.at[index].add(y) is x with y added there",
    ),
    "one argument twice": (
        lambda: gc.eager.sum(gc.eager.ones(2, 2), dim=0, axis=1), gc.ArgumentError,
        "cannot call gc.eager.sum: got axis= and dim=, expected one of them: they are the same\n  at LINE",
    ),
    "set": (
        lambda: W.set(3.0), gc.MissingAttributeError,
        "a symbolic tensor has no attribute 'set': got w: float64[2]\n  at LINE\n"
        "  hint: w.value = ... sets it; the updates of a step set it at each call",
    ),
    "by name": (
        lambda: gc.sum(X, 1, True), gc.ArgumentError,
        "cannot call gc.sum (too many positional arguments): expected gc.sum(x, /, axis=None, *, dtype=None, "
        "keepdims=False)\n  at LINE\n  hint: what stands behind * is given by name: keepdims=...",
    ),
}  # fmt: skip


@table(MISPLACED)
def test_arguments_in_the_wrong_place(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    check(call, error, text)


def test_functions_of_functions_say_how_they_are_called() -> None:
    for name, more in (("hvp", "v"), ("jvp", "tangents"), ("vjp", "ct")):
        function = getattr(gc, name)
        with pytest.raises(gc.GradientError) as caught:
            function(gc.exp, np.ones(2), np.ones(2))
        assert str(caught.value).endswith(f"comes back: gc.{name}(f)(x, {more}={'v' if name != 'vjp' else 'ct'})")


def test_parameters_that_come_one_by_one() -> None:
    with pytest.raises(gc.GradientError, match=r"(?s)got <.*hint: a list of them: list\(\.\.\.\)$"):
        gc.grad(S, gc.nn.Linear(2, 1, seed=0).parameters())


def test_options_of_an_optimiser_are_found() -> None:
    with pytest.raises(gc.errors.MissingAttributeError, match=r"opt.groups\[0\].lr is the rate of the first group"):
        SGD.lr  # noqa: B018
    assert SGD.groups[0].lr == 0.1
    twin = copy.deepcopy(SGD)
    twin.note = "attributes of one's own are free"
    assert twin.note and pickle.loads(pickle.dumps(SGD)).groups[0].lr == 0.1


def test_a_property_that_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc.Step, "source", property(lambda self: self.graph.nowhere))
    with pytest.raises(AttributeError, match="'Graph' object has no attribute 'nowhere'"):
        STEP.source  # noqa: B018


def test_layers_below_a_rewritten_op_are_owed_too() -> None:
    fc, drop, x = (
        gc.nn.Linear(2, 3, seed=0),
        gc.nn.Dropout(0.5, key=gc.random.Key(0)),
        gc.input("x", ("n", 2), "float32"),
    )
    loss = gc.mean(drop(gc.log(gc.softmax(fc(x), axis=1))))
    with pytest.warns(gc.GraphcWarning, match="Dropout"):
        gc.compile([x], None, gc.optim.SGD(fc.parameters(), lr=0.1).minimize(loss))


def test_layers_of_weights_by_position() -> None:
    w = gc.eager.ones(3)
    y, t = gc.input("y", ("n", 3), "float32"), gc.input("t", ("n", 3), "float32")
    assert gc.nn.BCEWithLogitsLoss(w, "mean", w)(y, t).shape == ()


# names of arguments

OF_COMPILE = (
    "inputs=None, outputs=None, updates=None, target=None, threads=None, check=None, name=None, device_outputs=False"
)
REDUCTION = "axis=None, *, dtype=None, keepdims=False"
MISSPELT: dict[str, tuple[Callable[[], Any], str]] = {
    "torch": (
        lambda: gc.sum(X, dim=0),
        f"call gc.sum (got an unexpected keyword argument 'dim'): expected gc.sum(x, /, {REDUCTION})|"
        "dim= is axis= here",
    ),
    "method": (
        lambda: X.sum(keepdim=True),
        f"call x.sum (got an unexpected keyword argument 'keepdim'): expected x.sum({REDUCTION})|"
        "keepdim= is keepdims= here",
    ),
    "alias": (
        lambda: gc.permute(X, dims=(1, 0)),
        "call gc.permute_dims (missing a required argument: 'axes'): expected gc.permute_dims(x, /, axes)|"
        "dims= is axes= here",
    ),
    "NumPy": (
        lambda: gc.nn.functional.softmax(X, axis=0),
        "call gc.nn.functional.softmax (got an unexpected keyword argument 'axis'): expected "
        "gc.nn.functional.softmax(x, dim=None)|axis= is dim= here",
    ),
    "compile": (
        lambda: gc.compile([S], S, update={}),
        f"call gc.compile (got an unexpected keyword argument 'update'): expected gc.compile({OF_COMPILE})|"
        "did you mean updates=?",
    ),
    "layer": (
        lambda: gc.nn.Linear(4, 2, biass=True),
        "make Linear (got an unexpected keyword argument 'biass'): expected Linear(in_features, out_features, "
        "bias=True, dtype='float32', seed=None)|did you mean bias=?",
    ),
    "optimiser": (
        lambda: gc.optim.SGD([W], learning_rate=0.1),
        "make SGD (got an unexpected keyword argument 'learning_rate'): expected SGD(params, lr=0.001, momentum=0.0, "
        "dampening=0.0, weight_decay=0.0, nesterov=False, *, maximize=False)|learning_rate= is lr= here",
    ),
    "param": (
        lambda: gc.param(1.0, requires_grad=False),
        "call gc.param (got an unexpected keyword argument 'requires_grad'): expected "
        "gc.param(value, name=None, trainable=True, *, role=None)|requires_grad= is trainable= here",
    ),
    "key": (
        lambda: gc.random.normal(gc.random.Key(0), shap=(2,)),
        "call gc.random.normal (got an unexpected keyword argument 'shap'): expected gc.random.normal(key, shape=(), "
        "dtype='float64', mean=0.0, std=1.0, *, draw=None, like=None)|did you mean shape=?",
    ),
    "lazy": (
        lambda: gc.load(pth="a.npz"),
        "call gc.load (missing a required argument: 'path'): expected gc.load(path, /, *unnamed, **into)",
    ),
    "eager": (
        lambda: E.sum(dmi=0),
        f"call gc.eager.sum (got an unexpected keyword argument 'dmi'): expected gc.eager.sum(x, /, {REDUCTION})",
    ),
    "unlike any": (
        lambda: gc.exp(X, out=X), "call gc.exp (got an unexpected keyword argument 'out'): expected gc.exp(x, /)",
    ),
    "missing": (
        lambda: gc.maximum(X), "call gc.maximum (missing a required argument: 'y'): expected gc.maximum(x, y, /)",
    ),
    "sizes": (
        lambda: gc.reshape(X, 3, -1),
        "call gc.reshape (too many positional arguments): expected gc.reshape(x, /, shape, *, copy=None)|"
        "shape is one argument, a tuple: (3, -1)",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("call", "text"), MISSPELT.values(), ids=MISSPELT)
def test_arguments_that_are_not_taken(call: Callable[[], Any], text: str) -> None:
    wanted, _, hint = text.partition("|")
    check(call, gc.ArgumentError, f"cannot {wanted}\n  at LINE" + (f"\n  hint: {hint}" if hint else ""))
    with pytest.raises(TypeError):
        call()
    with pytest.raises(gc.InputError):
        call()


def test_a_type_error_inside_a_function_stays_what_it_is() -> None:
    with pytest.raises(TypeError, match=r"^object of type 'int' has no len\(\)$"):
        gc.vmap(lambda a: len(3))(X)  # type: ignore[arg-type]
    with pytest.raises(gc.ArgumentError, match=r"^cannot call gc.sum \(too many"):  # of what it calls
        gc.vmap(lambda a: gc.sum(a, 0, 1))(X)


@pytest.mark.parametrize("face", ("", ".nn", ".nn.functional", ".nn.init", ".eager", ".optim", ".random", ".data"))
def test_public_functions_pickle_and_show_their_signatures(face: str) -> None:
    module = importlib.import_module(f"graphc{face}")
    functions = [f for name in module.__all__ if inspect.isfunction(f := getattr(module, name))]
    assert functions or face == ".data"
    for function in functions:
        assert pickle.loads(pickle.dumps(function)) is function
        assert "args" not in inspect.signature(function).parameters or function.__name__ in ("sequential", "trace")
        assert function.__doc__


MEMBERS: dict[str, tuple[Any, str]] = {
    "sourc": (STEP, "did you mean .source?"),
    "verfy": (STEP, "did you mean .verify?"),
    "param": (STEP, "params own their values: w.value"),
    "params": (gc.compile([S], S), "it has no params"),
    "fit": (STEP, "step(x) takes one step, step.run(x, steps=100) many"),
    "frobnicate": (STEP, "dir(step) lists its names"),
    "stps": (gc.compile(square), "did you mean .steps?"),
    "source": (
        gc.compile(square),
        "each kind of arguments has a step of its own, once called: [s.source for s in f.steps.values()]",
    ),
}


@pytest.mark.parametrize(("name", "case"), MEMBERS.items(), ids=MEMBERS)
def test_attributes_of_steps(name: str, case: tuple[Any, str]) -> None:
    of, hint = case
    text = f"{type(of).__name__!r} object has no attribute {name!r}\n  at LINE\n  hint: {hint}"
    check(lambda: getattr(of, name), gc.MissingAttributeError, text)
    assert not hasattr(of, "__array__") and copy.deepcopy(of) is not None


def test_classes_are_not_called() -> None:
    for cls in (gc.Tensor, gc.Param):
        with pytest.raises(TypeError) as caught:
            cls([1.0])
        text = f"{cls.__name__}(...): got list, expected gc.input, gc.param or gc.constant, which make tensors"
        assert str(caught.value) == text


def test_traced_functions_pickle_as_functions_do() -> None:
    assert pickle.loads(pickle.dumps(scaled)) is scaled and copy.deepcopy(scaled) is scaled
    twin = pickle.loads(pickle.dumps(gc.compile(square, name="again")))
    assert twin(np.ones(2)) == 2.0 and twin.name == "again"


# two engines

MIXED = "symbolic and eager tensors cannot be mixed: got symbolic {}, beside an eager tensor\n  at LINE\n  hint: " + (
    "data in a graph is a gc.input or a constant, e.numpy() of an eager tensor e; to compute at once, make all of them "
    "with gc.eager.tensor"
)
ENGINES: dict[str, Case] = {
    "operator": (lambda: E + S, gc.TraceError, MIXED.format("s: float64[]")),
    "function": (lambda: gc.where(S > 0, E, 1.0), gc.TraceError, MIXED.format("S > 0: bool[]")),
    "param": (lambda: S * W * E, gc.TraceError, MIXED.format("S * W: float64[2]")),
    "gradient of": (
        lambda: gc.grad(S * 2, E), gc.GradientError,
        "gc.grad of symbolic and eager tensors together: got symbolic S * 2: float64[], beside an eager tensor\n  at "
        "LINE\n  hint: a graph is built of gc.input, gc.param and constants; eager tensors come from eager tensors",
    ),
    "output": (
        lambda: gc.compile([S], [S, E]), gc.InputError,
        "an output is an eager tensor: got float32[2], expected a symbolic tensor, or data\n  at LINE\n"
        "  hint: e.numpy() of an eager tensor e is a constant",
    ),
    "update": (
        lambda: gc.compile([], [], {W: gc.eager.tensor([1.0, 2.0])}), gc.InputError,
        "the update of param 'w' is an eager tensor: got float32[2], expected a symbolic tensor, or data\n  at LINE\n"
        "  hint: e.numpy() of an eager tensor e is a constant",
    ),
}  # fmt: skip


@table(ENGINES)
def test_engines(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    check(call, error, text)


# sizes

SHAPES: dict[str, Case] = {
    "matmul": (
        lambda: X @ gc.ones((4, 2)), gc.ShapeError,
        "cannot matmul: got x: float64[n, 3], gc.ones((4, 2)): float64[4, 2], expected the last axis of x, which is 3, "
        "to equal the second last axis of gc.ones((4, 2)), which is 4\n  at LINE",
    ),
    "dot": (
        lambda: gc.dot(M, W[:1]), gc.ShapeError,
        "cannot dot: got m: float32[3, 2], W[:1]: float64[1], expected axis 1 of m, which is 2, to equal the axis "
        "of W[:1], which is 1\n  at LINE",
    ),
    "inner": (
        lambda: gc.inner(M, X), gc.ShapeError,
        "cannot inner: got m: float32[3, 2], x: float64[n, 3], expected axis 1 of m, which is 2, to equal axis 1 of "
        "x, which is 3\n  at LINE",
    ),
    "tensordot": (
        lambda: gc.tensordot(X, M, axes=([0, 1], [1, 1])), gc.ShapeError,
        "cannot tensordot: got x: float64[n, 3], m: float32[3, 2], expected as many distinct axes of x as of m, not "
        "[0, 1] and [1, 1]\n  at LINE",
    ),
}  # fmt: skip


@table(SHAPES)
def test_shapes(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    check(call, error, text)


def test_sizes_that_do_not_fit_name_inputs_and_both_lines() -> None:
    x, y = gc.input("x", ("n",)), gc.input("y", ("m",))
    total = gc.sum(x[1:] * y)
    step = gc.compile([x, y], [total, gc.grad(total, x)])
    assert step(np.ones(3), np.ones(2))[0] == 2.0
    text = (
        "sizes do not fit: got max(0, n - 1) = 2, m = 4 (axis 0 of 'y'), n = 3 (axis 0 of 'x'), expected size m to be "
        "max(0, n - 1) (or declared as 1)\n  at LINE\n  created at LINE"
    )
    for call in (
        lambda: step(np.ones(3), np.ones(4)),
        lambda: step.run(np.ones(3), np.ones(4), steps=2),
        lambda: step.bind(np.ones(3), np.ones(4)),
    ):
        check(call, gc.ShapeError, text)
    with pytest.raises(gc.ShapeError) as caught:
        step(np.ones(3), np.ones(4))
    assert "created at" in str(caught.value) and str(caught.value).endswith("total = gc.sum(x[1:] * y)")
    check(
        lambda: gc.compile([x, y], x @ y)(np.ones(3), np.ones(4)), gc.ShapeError,
        "sizes do not fit: got n = 3 (axis 0 of 'x'), m = 4 (axis 0 of 'y'), expected n to equal m in the product "
        "k,k-> of float64[n] and float64[m]\n  at LINE",
    )  # fmt: skip


# one expression at two places


def test_a_step_names_its_own_lines() -> None:
    x, w = gc.input("x", ("n",)), gc.param(1.0, name="w")
    gap = w * x - 1.0
    before = gc.mean(gap**2)
    first = gc.compile([x], before, {w: w - 0.1 * gc.grad(before, w)})
    residual = w * x - 1.0
    loss = gc.mean(residual**2)
    second = gc.compile([x], loss, {w: w - 0.1 * gc.grad(loss, w)})
    assert before is loss
    for step, own, other in ((first, ("gap", "before"), "residual"), (second, ("residual", "loss"), "gap")):
        for text in (step.source, str(step.graph), str(step.traced)):
            assert all(name in text for name in own) and other not in text
    here = {line.line for node in second.traced.nodes if node.inputs for line in second.traced.origin[node].lines}
    there = {line.line for node in first.traced.nodes if node.inputs for line in first.traced.origin[node].lines}
    assert not here & there


def test_lines_of_one_graph_are_kept_together() -> None:
    x = gc.input("x")
    shared = gc.exp(x)
    graph = gc.trace(lambda: shared * 2 + gc.exp(x) * 3)
    ((node, lines),) = [(n, graph.origin[n].lines) for n in graph.nodes if n.op.name == "exp"]
    assert node is shared and [line.line for line in lines] == sorted(line.line for line in lines)
    assert len(lines) == 2 and lines[0].text == "shared = gc.exp(x)"


def test_where_of_a_condition_alone() -> None:
    """NumPy's function with arguments that do not fit is an error of ours, and says what it would have been here."""
    check(
        lambda: np.where(X > 0), gc.ArgumentError,
        "cannot call np.where of tensors (missing a required argument: 'x'): expected np.where(condition, x, y)\n"
        "  at LINE\n  hint: which elements it is true of depends on data, and shapes do not: gc.where(condition, x, y) "
        "chooses",
    )  # fmt: skip


def test_a_gradient_by_what_was_not_used_is_warned_of() -> None:
    """Of tensors that are computed: ``p[0]`` made after the loss is another way to read p, which the loss has not."""
    p, w = gc.input("p", (3,)), gc.param(2.0, "w")
    loss = gc.sum(p**2)
    with pytest.warns(
        gc.GraphcWarning, match=r" with respect to a tensor from which the result was not computed: it is 0: got p\[0\]"
    ) as caught:
        assert gc.compile([p], gc.grad(loss, p[0]))([1.0, 2.0, 3.0]) == 0
    assert "(p)" in str(caught[0].message) and caught[0].filename == __file__
    for kind in (gc.jacobian, lambda y, wrt: gc.vjp(y, wrt, gc.ones_like(y))):
        with pytest.warns(gc.GraphcWarning, match="not computed"):
            kind(w * p, w - 0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        unused, used = gc.param(1.0, "unused"), p * 2
        gc.grad(loss, [p, unused])
        gc.grad(gc.sum(used**2), [used, p])
        gc.jacobian(gc.sum(p[0] ** 2), p[0])


def test_the_same_draws_at_every_step_are_warned_of() -> None:
    key, w = gc.random.Key(0), gc.param(0.0, "w")
    moved = {w: w + gc.random.normal(key, ())}
    with pytest.warns(
        gc.GraphcWarning,
        match="a step changes params, and draws the same random numbers at every call: got no new value for key_c",
    ):
        gc.compile([], w, moved)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gc.compile([], w, {**moved, **key.updates()})
        gc.compile([], gc.random.normal(key, ()))  # what changes nothing may well draw the same again
