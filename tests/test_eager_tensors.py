"""Eager tensors as people handle them: creation, dtypes, views, conversions, printing, bad input."""

import subprocess
import sys

import numpy as np
import pytest

from graphc import eager
from graphc.errors import DTypeError, GradientError, GraphcError, ShapeError, TraceError, UnsupportedError


def text_of(info):
    return "\n".join(x for x in str(info.value).split("\n") if not x.startswith(("  at ", "  created at ")))


# creation


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, "float32"),
        ([1.0, 2], "float32"),
        ([[1, 2], [3, 4]], "int64"),
        (True, "bool"),
        ([], "float32"),
        (np.float64(1.5), "float64"),
        (np.arange(3, dtype="int8"), "int8"),
        (np.ones(2), "float64"),
        ([np.float64(1.0)], "float64"),
        (np.ones(2, ">f4"), "float32"),
        ([eager.ones(2), eager.zeros(2)], "float32"),
    ],
)
def test_dtype_of_data(data, dtype):
    assert eager.tensor(data).dtype == dtype
    for chosen in ("float64", eager.int32, np.float32, bool):
        assert eager.tensor(data, dtype=chosen).dtype == np.dtype(chosen)


def test_tensor_copies_and_from_numpy_shares():
    array = np.arange(3.0)
    copied, shared = eager.tensor(array), eager.from_numpy(array)
    array[0] = 9.0
    assert copied[0].item() == 0.0 and shared[0].item() == 9.0
    shared.add_(1)
    assert array.tolist() == [10.0, 2.0, 3.0]
    assert np.shares_memory(shared.numpy(), array) and np.shares_memory(shared.detach().numpy(), array)
    assert np.shares_memory(eager.as_tensor(array).numpy(), array) and eager.as_tensor(shared) is shared
    assert eager.as_tensor([1, 2]).tolist() == [1, 2]


def test_creation_by_size():
    for f in (eager.zeros, eager.ones, eager.empty, eager.rand, eager.randn):
        for size in ((2, 3), ((2, 3),), ([2, 3],)):
            made = f(*size)
            assert made.shape == (2, 3) and made.dtype == eager.float32 and made._array.flags.writeable
        assert f(0, 3, dtype="float64").shape == (0, 3) and f(2, requires_grad=True).requires_grad
    assert eager.full((2,), 7).tolist() == [7, 7] and eager.full((2,), 7).dtype == eager.int64
    assert eager.full((2,), 0.5).dtype == eager.float32 and eager.full((), True).dtype == eager.bool
    assert eager.eye(2).tolist() == [[1.0, 0.0], [0.0, 1.0]] and eager.eye(1, 2).shape == (1, 2)
    assert eager.arange(3).dtype == eager.int64 and eager.arange(0, 1, 0.5).tolist() == [0.0, 0.5]
    assert eager.arange(3.0).dtype == eager.float32 and eager.linspace(0, 1, 3).tolist() == [0.0, 0.5, 1.0]
    x = eager.tensor([[1, 2, 3]], dtype="int8")
    for f in (eager.zeros_like, eager.ones_like, eager.empty_like):
        assert f(x).shape == (1, 3) and f(x).dtype == eager.int8 and f(x, dtype=eager.double).dtype == eager.float64
    assert eager.randn_like(x, dtype="float32").shape == (1, 3) and eager.rand_like(eager.ones(2)).shape == (2,)
    assert eager.full_like(x, 5).tolist() == [[5, 5, 5]]
    assert x.new_ones(2).dtype == eager.int8 and x.new_zeros((2, 2)).shape == (2, 2)
    assert x.new_full((2,), 3).tolist() == [3, 3] and x.new_tensor([1.0]).dtype == eager.int8
    assert x.new_empty(4, dtype=eager.float32).shape == (4,)


def test_random_numbers_follow_the_seed():
    def draw():
        x = eager.empty(3)
        return [
            *eager.rand(3).tolist(), *eager.randn(3).tolist(), *eager.randint(0, 10, (3,)).tolist(),
            *eager.randperm(4).tolist(), *x.normal_().tolist(), *x.uniform_(-1, 1).tolist(),
        ]  # fmt: skip

    eager.manual_seed(3)
    first = draw()
    eager.manual_seed(3)
    assert draw() == first != draw()
    g = eager.Generator().manual_seed(-1)
    assert 0 <= eager.rand(1, generator=g).item() < 1
    assert eager.randint(5, (2, 2)).shape == (2, 2)


# handling


def test_sizes_views_and_values():
    x = eager.arange(16.0).view(4, 4)
    assert x.size() == x.shape == (4, 4) and x.size(0) == x.size(-1) == 4
    assert x.dim() == x.ndim == 2 and x.numel() == 16
    y = x.view(-1, 8)
    assert y.shape == (2, 8) and np.shares_memory(y.numpy(), x.numpy())
    assert (
        x[1].tolist() == [4.0, 5.0, 6.0, 7.0] and x[:, 1].tolist() == [1.0, 5.0, 9.0, 13.0] and x[1, -1].item() == 7.0
    )
    assert (
        x[1:, ::2].shape == (3, 2)
        and x[..., 0].shape == (4,)
        and x[None].shape == (1, 4, 4)
        and x[[0, 2]].shape == (2, 4)
    )
    assert x.T[0].tolist() == x.t()[0].tolist() == x.transpose(0, 1)[0].tolist() == x[:, 0].tolist()
    assert x.flatten().shape == (16,) and eager.ones(2, 3, 4).flatten(1).shape == (2, 12)
    assert x.unsqueeze(1).shape == (4, 1, 4) and x.unsqueeze(-1).squeeze().shape == (4, 4)
    assert x.unsqueeze(0).squeeze(1).shape == (1, 4, 4) and eager.ones(1).squeeze().shape == ()
    assert eager.ones(2, 3, 4).permute(2, 0, 1).shape == (4, 2, 3) and eager.ones(1, 3).expand(2, -1).shape == (2, 3)
    assert eager.ones(3).expand_as(eager.ones(2, 3)).shape == (2, 3) and x.view_as(y).shape == (2, 8)
    assert x.T.contiguous().is_contiguous() and not x.T.is_contiguous() and x.contiguous() is x
    assert x.clone().add_(1)[0, 0].item() == 1.0 and x[0, 0].item() == 0.0
    assert len(x) == 4 and [r[0].item() for r in x] == [0.0, 4.0, 8.0, 12.0]
    with pytest.raises(ShapeError) as info:
        x.T.view(16)
    assert text_of(info) == (
        "view(16,): got float32[4, 4], expected a layout that allows it without a copy\n  hint: use .reshape()"
    )
    assert x.T.reshape(16).shape == (16,)


def test_conversions():
    x = eager.tensor([1.9, -1.9])
    assert (
        x.long().tolist() == [1, -1] and x.double().dtype == eager.float64 and x.double().float().dtype == eager.float32
    )
    assert x.int().dtype == eager.int32 and x.bool().tolist() == [True, True] and x.short().dtype == eager.int16
    assert (
        x.to("float64").dtype == x.to(eager.double).dtype == x.to(eager.ones(1, dtype="float64")).dtype == eager.float64
    )
    assert x.to("cpu") is x and x.cpu() is x and x.to(x.dtype, copy=True) is not x and x.device == "cpu"
    assert x.is_floating_point() and not x.long().is_floating_point()
    assert eager.tensor(2).item() == 2 and float(eager.tensor([[2.5]])) == 2.5 and int(eager.tensor(2.9)) == 2
    assert (
        [10, 20, 30][eager.tensor(1)] == 20 and bool(eager.tensor([0.0])) is False and 2.0 in eager.tensor([1.0, 2.0])
    )
    assert f"{eager.tensor(1.23456):.2f}" == "1.23" and np.asarray(x).tolist() == x.tolist()
    assert eager.is_tensor(x) and not eager.is_tensor(1)


def test_arithmetic_with_numbers_and_arrays():
    x = eager.tensor([1.0, 2.0])
    assert (x * 2).dtype == (2.5 * x).dtype == (x + 1).dtype == (1 - x).dtype == (x / 3).dtype == eager.float32
    assert (1 - x).tolist() == [0.0, -1.0] and (2 / x).tolist() == [2.0, 1.0] and (x**2).tolist() == [1.0, 4.0]
    assert (x > 1).tolist() == [False, True] and (x == x).all() and ((x != 1) & (x < 3)).tolist() == [False, True]
    assert (eager.tensor([7, -7]) // 2).tolist() == [3, -4] and (-eager.tensor([7, -7]) % 4).tolist() == [1, 3]
    assert (eager.arange(3) / 2).dtype == eager.float64, "as ops have it everywhere in graphc"
    array = np.array([10.0, 20.0])
    assert (
        isinstance(array * x, eager.Tensor)
        and (array * x).tolist() == [10.0, 40.0]
        and (x + array).dtype == eager.float64
    )
    assert isinstance(np.exp(x), eager.Tensor) and np.sum(x, axis=0).item() == 3.0
    assert (x @ x).item() == 5.0 and (eager.ones(2, 3) @ eager.ones(3, 4)).shape == (2, 4)
    assert x.sum(0).item() == x.sum(dim=0).item() == x.sum(axis=0).item() == 3.0
    assert x.view(1, 2).sum(dim=1, keepdim=True).shape == (1, 1) and x.mean().item() == 1.5 and x.max().item() == 2.0
    assert eager.exp([0.0]).tolist() == [1.0] and eager.add(1, 2).item() == 3
    assert eager.cat([x, x]).shape == (4,) and eager.stack([x, x], dim=1).shape == (2, 2)
    assert eager.mul(x, x).tolist() == eager.multiply(x, x).tolist() == x.mul(x).tolist()
    assert (x == None) is False  # noqa: E711 - what Python does with a comparison nobody answers


def test_symbolic_constants_beside_eager_tensors():
    import graphc.ir.leaves as symbolic

    x = eager.tensor([1.0, 2.0])
    assert eager.add(x, symbolic.constant(np.float32(1.0))).tolist() == [2.0, 3.0]
    with pytest.raises(TraceError) as info:
        eager.add(x, symbolic.input("s", (2,), "float32"))
    assert text_of(info) == (
        "symbolic and eager tensors cannot be mixed: got symbolic s: float32[2], beside an eager tensor\n"
        "  hint: data in a graph is a gc.input or a constant, e.numpy() of an eager tensor e; to compute at once, make "
        "all of them with gc.eager.tensor"
    )


# printing


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (lambda: eager.tensor(129.0), "tensor(129.)"),
        (lambda: eager.tensor(1.5), "tensor(1.5000)"),
        (lambda: eager.tensor(7), "tensor(7)"),
        (lambda: eager.tensor(True), "tensor(True)"),
        (lambda: eager.tensor([1.0, 2.0], requires_grad=True), "tensor([1., 2.], requires_grad=True)"),
        (lambda: eager.tensor([[1, 2], [3, 40]]), "tensor([[ 1,  2],\n        [ 3, 40]])"),
        (lambda: eager.tensor([True, False]), "tensor([ True, False])"),
        (lambda: eager.tensor([0.1, -20.25]), "tensor([  0.1000, -20.2500])"),
        (lambda: eager.tensor([1e-5, 1.0]), "tensor([1.0000e-05, 1.0000e+00])"),
        (lambda: eager.tensor([1.0, 1e9]), "tensor([1.0000e+00, 1.0000e+09])"),
        (lambda: eager.tensor([1.0, float("nan"), -float("inf")]), "tensor([1., nan, -inf])"),
        (lambda: eager.tensor([0.5, float("nan")]), "tensor([0.5000,    nan])"),
        (lambda: eager.tensor(1.0, dtype="float64"), "tensor(1., dtype=float64)"),
        (lambda: eager.tensor([1], dtype="int8"), "tensor([1], dtype=int8)"),
        (lambda: eager.tensor([]), "tensor([])"),
        (lambda: eager.zeros(0, 3), "tensor([], size=(0, 3))"),
        (lambda: eager.zeros(0, dtype="int64"), "tensor([], dtype=int64)"),
        (lambda: eager.zeros(2), "tensor([0., 0.])"),
        (
            lambda: eager.ones(2, 1, 2, requires_grad=True) * 2,
            "tensor([[[2., 2.]],\n\n        [[2., 2.]]], grad_fn=<MulBackward>)",
        ),
        (lambda: eager.arange(2000), "tensor([   0,    1,    2,  ..., 1997, 1998, 1999])"),
        (
            lambda: eager.arange(2000.0).view(2, 1000),
            "tensor([[0.0000e+00, 1.0000e+00, 2.0000e+00,  ..., 9.9700e+02, 9.9800e+02,\n"
            "         9.9900e+02],\n"
            "        [1.0000e+03, 1.0010e+03, 1.0020e+03,  ..., 1.9970e+03, 1.9980e+03,\n"
            "         1.9990e+03]])",
        ),
        (
            lambda: eager.arange(30),
            "tensor([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17,\n"
            "        18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29])",
        ),
    ],
)
def test_printing(made, text):
    assert repr(made()) == text and str(made()) == text


def test_long_notes_go_on_a_new_line():
    x = eager.full((4,), 0.123456, dtype="float64", requires_grad=True)
    text = repr(eager.cat([x, x[:3]]))
    assert text == (
        "tensor([0.1235, 0.1235, 0.1235, 0.1235, 0.1235, 0.1235, 0.1235], dtype=float64,\n       grad_fn=<CatBackward>)"
    )


# bad input


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: eager.tensor("abc"),
            DTypeError,
            "cannot make a tensor: got str 'abc', expected a number, or nested lists or an array of numbers",
        ),
        (
            lambda: eager.tensor([1j]),
            DTypeError,
            "cannot make a tensor: got list [1j], expected a number, or nested lists or an array of numbers",
        ),
        (
            lambda: eager.tensor([[1, 2], [3]]),
            ShapeError,
            "cannot make a tensor: got [[1, 2], [3]], expected lists of equal length",
        ),
        (
            lambda: eager.tensor(1.0, dtype="float16"),
            DTypeError,
            "unsupported dtype: got float16, expected one of bool, int8..int64, uint8..uint64, float32, float64",
        ),
        (
            lambda: eager.from_numpy(np.ones(2, ">f8")),
            DTypeError,
            "from_numpy cannot share memory: got ndarray >f8, "
            "expected a NumPy array of a dtype that graphc has, in the machine's byte order\n"
            "  hint: eager.tensor(data) copies",
        ),
        (
            lambda: eager.from_numpy([1.0]),
            DTypeError,
            "from_numpy cannot share memory: got list, "
            "expected a NumPy array of a dtype that graphc has, in the machine's byte order\n"
            "  hint: eager.tensor(data) copies",
        ),
        (lambda: eager.zeros(-1), ShapeError, "bad size: got -1, expected an int >= 0 or a dim name"),
        (lambda: eager.zeros("n"), ShapeError, "bad shape: got ('n',), expected ints"),
        (
            lambda: eager.rand(2, dtype="int64"),
            DTypeError,
            "rand of int64: expected float32 or float64\n  hint: use randint",
        ),
        (
            lambda: eager.ones(2).item(),
            ShapeError,
            "item() of a tensor of several elements: got float32[2], expected one element\n  hint: use .tolist()",
        ),
        (
            lambda: bool(eager.ones(2)),
            TraceError,
            "truth value of a tensor of several elements: got float32[2], expected one element\n"
            "  hint: use .any() or .all()",
        ),
        (
            lambda: [1, 2][eager.tensor(1.0)],
            TraceError,
            "a tensor as an index: got float32[], expected one element of an integer dtype\n  hint: convert it: int(x)",
        ),
        (
            lambda: len(eager.tensor(1.0)),
            TraceError,
            "len() of a 0-d tensor: got float32[], expected at least one axis",
        ),
        (
            lambda: list(eager.tensor(1.0)),
            TraceError,
            "iteration over a 0-d tensor: got float32[], expected at least one axis",
        ),
        (
            lambda: eager.ones(2, 2, 2).t(),
            ShapeError,
            "t(): got float32[2, 2, 2], expected at most two axes\n  hint: use .permute() or .transpose()",
        ),
        (
            lambda: eager.ones(2).transpose(0, 1),
            ShapeError,
            "transpose(0, 1): got float32[2], expected axes that the tensor has",
        ),
        (
            lambda: setattr(eager.ones(2), "data", 1),
            GradientError,
            "cannot set .data: got int, expected an eager tensor of dtype float32",
        ),
    ],
)
def test_bad_input(call, error, text):
    with pytest.raises(error) as info:
        call()
    assert text_of(info) == text


@pytest.mark.parametrize(
    "call",
    [
        lambda: eager.ones(2).to("cuda"),
        lambda: eager.ones(2).cuda(),
        lambda: eager.ones(2, device="cuda:0"),
        lambda: eager.tensor([1.0], device="cuda"),
        lambda: eager.ones(2).to(device="mps"),
        lambda: eager.rand(2, device="cuda"),
    ],
)
def test_devices_name_the_compiled_target(call):
    with pytest.raises(UnsupportedError) as info:
        call()
    assert "the eager engine runs on the CPU only" in str(info.value)
    hint = 'GPUs are for compiled steps: gc.compile(..., target="cuda")'
    assert hint in str(info.value)


@pytest.mark.parametrize(
    "call",
    [
        lambda: eager.ones(2) + eager.ones(3),
        lambda: eager.ones(2, 3) @ eager.ones(2, 3),
        lambda: eager.ones(2)[5],
        lambda: eager.ones(2)[0, 0],
        lambda: eager.ones(3).view(2, 2),
        lambda: eager.zeros(0).max(),
        lambda: eager.ones(2).sum(dim=3),
        lambda: eager.stack([eager.ones(2), eager.ones(3)]),
        lambda: -eager.tensor([True]),
    ],
)
def test_errors_of_ops_are_those_of_graphc(call):
    with pytest.raises(GraphcError):
        call()


def test_import_stays_light():
    heavy = ("numba", "sympy", "matplotlib", "scipy.linalg")
    code = f"import graphc.eager, sys; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
