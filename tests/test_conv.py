"""Convolution and pooling as they run: compiled kernels, named sizes, threads, memory, certificates; and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from wrong_rules import broken

import graphc as gc
from graphc import nn
from graphc.ir.evaluate import evaluate
from graphc.ir.graph import Graph
from graphc.ops.table import OPS
from graphc.passes.pipeline import optimise
from graphc.schedule.plan import make_plan

LAYERS = (
    ("padded", lambda dtype: nn.Conv2d(2, 5, 3, padding=1, dtype=dtype, seed=0), (2, 9, 8)),
    ("strided", lambda dtype: nn.Conv2d(2, 9, (4, 2), stride=(2, 3), dilation=(1, 2), dtype=dtype, seed=1), (2, 9, 8)),
    ("groups", lambda dtype: nn.Conv2d(4, 6, 3, groups=2, dtype=dtype, seed=2), (4, 6, 19)),
    ("point", lambda dtype: nn.Conv2d(3, 7, 1, dtype=dtype, seed=3), (3, 5, 4)),
    ("inlined", lambda dtype: nn.Sequential(nn.ReLU(), nn.Conv1d(3, 2, 1, dtype=dtype, seed=3)), (3, 5)),
    ("line", lambda dtype: nn.Conv1d(3, 4, 5, padding="same", padding_mode="reflect", dtype=dtype, seed=4), (3, 33)),
    ("spread", lambda dtype: nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1, dtype=dtype, seed=5), (3, 4, 5)),
    ("wide", lambda dtype: nn.ConvTranspose2d(2, 3, 4, dtype=dtype, seed=6), (2, 5, 20)),
    ("pools", lambda dtype: nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2, 1)), (2, 9, 8)),
    ("adaptive", lambda dtype: nn.AdaptiveAvgPool2d((3, 2)), (2, 7, 4)),
)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_equals_reference(dtype: str, rng: np.random.Generator) -> None:
    """Values and gradients of all layers in one step, for batches of several sizes; two threads give the same bits."""
    inputs, outputs, shapes = [], [], []
    for name, make, shape in LAYERS if dtype == "float32" else LAYERS[:6:2]:
        x = gc.input(f"x_{name}", (f"n_{name}", *shape), dtype)
        module = make(dtype)
        y = module(x)
        inputs.append(x)
        shapes.append(shape)
        outputs += [y, *gc.grad(gc.sum(gc.sin(y)), [x, *module.parameters()])]
    step = gc.compile(inputs, outputs, threads=1)
    both = gc.compile(inputs, outputs, threads=2)
    for batch in (1, 3, 40):
        arrays = [rng.standard_normal((batch, *shape)).astype(dtype) for shape in shapes]
        found, wanted = step(*arrays), evaluate(outputs, dict(zip(inputs, arrays, strict=True)))
        for out, have, want, other in zip(outputs, found, wanted, both(*arrays), strict=True):
            assert have.dtype == want.dtype and have.shape == want.shape
            scale = (5e-5 if dtype == "float32" else 1e-12) * (1 + np.abs(want).max())
            np.testing.assert_allclose(have, want, rtol=0, atol=scale, err_msg=repr(out))
            np.testing.assert_array_equal(have, other)
    empty = step(*[np.zeros((0, *shape), dtype) for shape in shapes])
    assert all(not np.any(v) for v in empty)


def test_named_sizes_of_images(rng: np.random.Generator) -> None:
    x = gc.input("x", ("n", 2, "h", "w"))
    w = gc.input("w", (3, 2, 3, 3))
    y = nn.max_pool2d(nn.conv2d(x, w, stride=2, padding=1), 2, ceil_mode=True)
    step = gc.compile([x, w], [y, *gc.grad(gc.sum(y * y), [x, w])])
    for shape in ((2, 2, 9, 12), (1, 2, 4, 3), (3, 2, 20, 7)):
        given = {x: rng.standard_normal(shape), w: rng.standard_normal((3, 2, 3, 3))}
        fixed = gc.input("fixed", shape)
        known = nn.max_pool2d(nn.conv2d(fixed, w, stride=2, padding=1), 2, ceil_mode=True)
        want = evaluate([known, *gc.grad(gc.sum(known * known), [fixed, w])], {fixed: given[x], w: given[w]})
        for have, value in zip(step(*given.values()), want, strict=True):
            np.testing.assert_allclose(have, value, rtol=1e-12, atol=1e-12)


def test_an_image_too_small_is_refused_at_call_time() -> None:
    x = gc.input("x", ("n", 1, "h", "h"))
    step = gc.compile([x], nn.conv2d(x, gc.constant(np.ones((1, 1, 5, 5))), padding=1))
    assert step(np.ones((1, 1, 3, 3))).item() == 9.0
    with pytest.raises(gc.ShapeError, match="index 2 within axis 2"):
        step(np.ones((1, 1, 2, 2)))


def temporary(batch: int) -> tuple[int, int]:
    """Bytes of temporary memory of a step with two convolutions; and of the unfolded windows of the whole batch."""
    model = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2, seed=0), nn.ReLU(), nn.Conv2d(6, 16, 5, seed=1))
    x = gc.input("x", (batch, 1, 28, 28), "float32")
    loss = gc.sum(model(x) ** 2)
    graph, _ = optimise(Graph([x], [loss, *gc.grad(loss, [x, *model.parameters()])]))
    plan = make_plan(graph)
    temps = [b.size * b.dtype.itemsize for b in plan.buffers if b.kind == "temp"]
    return sum(temps), batch * (150 * 24 * 24 + 25 * 784) * 4


def test_windows_of_a_batch_are_never_in_memory_at_once() -> None:
    """What a larger batch needs more is what the arrays have that users' expressions stand for, and their adjoints."""
    (small, _), (large, windows) = temporary(112), temporary(1120)
    arrays = 1008 * (28 * 28 * 6 * 4 + 24 * 24 * 16 * 2) * 4
    assert arrays <= large - small <= arrays + (1 << 20) < windows / 2


def test_an_image_stays_in_cache() -> None:
    """Convolution, bias, activation and pooling are one kernel, that does all of it for a few images at a time."""
    first, second = nn.Conv2d(1, 6, 5, padding=2, seed=0), nn.Conv2d(6, 16, 5, seed=1)
    model = nn.Sequential(first, nn.ReLU(), nn.MaxPool2d(2), second)
    x = gc.input("x", ("n", 1, 28, 28), "float32")
    plan = make_plan(optimise(Graph([x], [model(x)]))[0])
    assert [[u.kind for u in g.units] for g in plan.groups] == [["convolve", "reduce", "convolve", "map"]]
    assert plan.kernels[0].chunks is not None and plan.kernels[0].chunks.extent == x.shape[0]


def test_the_source_shows_the_gradient_by_weights() -> None:
    """As the sum that defines it."""
    x, w = gc.input("x", ("n", 3, 8, 8)), gc.param(np.ones((4, 3, 3, 3)), name="w")
    loss = gc.sum(nn.conv2d(x, w) ** 2)
    source = gc.compile([x], gc.grad(loss, w), name="g").source
    body = [line.split("#")[0].strip() for line in source.split("\n")]
    start = body.index("for p in range(n):")
    assert body[start - 1 : start + 5] == [
        "w_bar_0ijkl = 0.0",
        "for p in range(n):",
        "for q in range(6):",
        "for u in range(6):",
        "x_at = x[p, j, q + k, u + l]",
        "w_bar_0ijkl += ct_mul(2.0 * convolved_2[p, i, q, u], x_at)",
    ]


def test_certified_like_everything_else() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 2, padding=1, dtype="float64", seed=0), nn.Tanh(), nn.AvgPool2d(2))
    x = gc.input("x", (1, 1, 3, 3))
    loss = gc.sum(model(x) ** 2)
    certificate = gc.verify(loss, list(model.parameters()))
    assert "passed  backward graph against sympy.diff" in str(certificate)
    with broken(OPS["convolve"]), pytest.raises(gc.VerificationError, match="rule of convolve is wrong"):
        gc.verify(gc.sum(model(x) ** 2), list(model.parameters()))


def test_max_pool_by_the_first_of_ties() -> None:
    x = gc.eager.tensor([[[1.0, 1.0, 0.0, 2.0], [1.0, 0.0, 2.0, 2.0]]], requires_grad=True)
    values, places = nn.max_pool2d(x, 2, return_indices=True)
    values.sum().backward()
    assert places.tolist() == [[[0, 3]]]
    assert x.grad.tolist() == [[[1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]]]


PLACES = ({}, {"stride": 1, "padding": 1}, {"dilation": 2, "stride": 2}, {"ceil_mode": True})


@pytest.mark.parametrize("options", PLACES)
def test_places_of_the_largest(options: dict[str, Any], rng: np.random.Generator) -> None:
    """Where the indices say stands what is returned."""
    x = rng.standard_normal((2, 3, 7, 9))
    values, places = nn.max_pool2d(gc.eager.tensor(x), 3, **options, return_indices=True)
    flat = x.reshape(2, 3, -1)
    found = np.take_along_axis(flat, places.numpy().reshape(2, 3, -1), axis=2)
    np.testing.assert_array_equal(found.reshape(values.shape), values.numpy())


def test_pooling_of_nan_and_infinities() -> None:
    x = np.array([[[1.0, np.nan, -np.inf, -np.inf], [2.0, 3.0, -np.inf, -np.inf]]])
    s = gc.input("x", x.shape)
    step = gc.compile([s], [nn.max_pool2d(s, 2), gc.grad(gc.sum(nn.max_pool2d(s, 2)), s)])
    value, grad = step(x)
    np.testing.assert_array_equal(value, [[[np.nan, -np.inf]]])
    np.testing.assert_array_equal(grad, [[[0, 1, 1, 0], [0, 0, 0, 0]]])


def test_padding_never_wins() -> None:
    """Where all of a window is -inf, its first place inside does, in the gradient and in the indices; as in torch."""
    lowest = np.full((1, 1, 3, 3), -np.inf)
    s = gc.input("x", (1, 1, "h", "w"))
    values, places = nn.max_pool2d(s, 2, padding=1, return_indices=True)
    found = gc.compile([s], [values, places, gc.grad(gc.sum(values), s)])(lowest)
    x = gc.eager.tensor(lowest, requires_grad=True)
    eager_values, eager_places = nn.max_pool2d(x, 2, padding=1, return_indices=True)
    eager_values.sum().backward()
    for value, place, grad in (found, (eager_values.detach().numpy(), eager_places.numpy(), x.grad.numpy())):
        np.testing.assert_array_equal(value, np.full((1, 1, 2, 2), -np.inf))
        np.testing.assert_array_equal(place, [[[[0, 1], [3, 4]]]])
        np.testing.assert_array_equal(grad, [[[[1, 1, 0], [1, 1, 0], [0, 0, 0]]]])


@pytest.mark.parametrize("mode, padding, least", [("reflect", 1, 2), ("circular", 2, 2), ("replicate", 3, 1)])
def test_both_engines_need_what_padding_copies(mode: str, padding: int, least: int) -> None:
    layer = nn.Conv1d(1, 1, 1, padding=padding, padding_mode=mode, seed=0)
    x = gc.input("x", ("n", 1, "l"), "float32")
    step = gc.compile([x], layer(x))
    data = np.ones((1, 1, least), "float32")
    assert step(data).shape == layer(gc.eager.tensor(data)).shape == (1, 1, least + 2 * padding)
    for call in (step, lambda data: layer(gc.eager.tensor(data))):
        with pytest.raises(gc.ShapeError):
            call(data[..., 1:])


def test_both_engines_refuse_to_spread_nothing() -> None:
    layer = nn.ConvTranspose1d(1, 1, 3, padding=1, seed=0)
    x = gc.input("x", ("n", 1, "l"), "float32")
    step = gc.compile([x], layer(x))
    assert step(np.ones((1, 1, 1), "float32")).shape == (1, 1, 1)
    for call in (step, lambda data: layer(gc.eager.tensor(data))):
        with pytest.raises(gc.ShapeError):
            call(np.ones((1, 1, 0), "float32"))


def test_samples_of_weights_and_images() -> None:
    """`vmap` over either operand, or both: the same as one by one."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((4, 2, 3, 5)), rng.standard_normal((4, 2, 3, 2))
    for axes in ((0, None), (None, 0), (0, 0)):
        mapped = gc.vmap(nn.conv1d, in_axes=axes)
        given = [a if axis == 0 else a[0] for a, axis in zip((x, w), axes, strict=True)]
        symbols = [gc.input(f"x{k}", a.shape) for k, a in enumerate(given)]
        found = evaluate([mapped(*symbols)], dict(zip(symbols, given, strict=True)))[0]
        one = [
            nn.conv1d(*[gc.eager.tensor(a[k] if axis == 0 else a) for a, axis in zip(given, axes, strict=True)]).numpy()
            for k in range(4)
        ]
        np.testing.assert_allclose(found, one, rtol=1e-12, atol=1e-12)


X = gc.input("x", ("n", 3, 8, 8), "float32")
W = gc.input("w", (4, 3, 3, 3), "float32")
CONV = "Conv2d(3, 4, kernel_size=(3, 3), stride=(1, 1))"
REFUSED = (
    (lambda: nn.Conv2d(3, 4, 3)(gc.input("x", ("n", 1, 8, 8), "float32")),
     f"bad shape for {CONV}: got x: float32[n, 1, 8, 8], expected 3 channels, as its weight has, on axis 1"),
    (lambda: nn.Conv2d(3, 4, 3)(gc.input("x", (1, 8, 8), "float32")),
     f"bad shape for {CONV}: got x: float32[1, 8, 8], expected 3 channels, as its weight has, on axis 0"),
    (lambda: nn.Conv2d(3, 4, 9)(X),
     "bad shape for Conv2d(3, 4, kernel_size=(9, 9), stride=(1, 1)): got x: float32[n, 3, 8, 8], "
     "expected at least 9 places, as its windows cover, on axis 2"),
    (lambda: nn.Conv2d(3, 4, 3)(gc.input("x", ("n", 3), "float32")),
     f"bad shape for {CONV}: got x: float32[n, 3], expected [batch, channels, height, width] or "
     "[channels, height, width]"),
    (lambda: nn.Conv2d(3, 4, 3)(gc.input("x", ("n", 3, 8, 8), "float64")),
     f"bad dtype for {CONV}: got x: float64[n, 3, 8, 8], expected the dtype of its parameters, float32"),
    (lambda: nn.Conv2d(3, 4, 3, groups=2), "bad in_channels= of Conv2d: got 3, expected a multiple of groups = 2"),
    (lambda: nn.Conv2d(4, 3, 3, groups=2), "bad out_channels= of Conv2d: got 3, expected a multiple of groups = 2"),
    (lambda: nn.Conv2d(3, 4, (3, 3, 3)),
     "bad kernel_size= of Conv2d: got (3, 3, 3), expected an int >= 1, or 2 of them"),
    (lambda: nn.Conv1d(3, 4, 0), "bad kernel_size= of Conv1d: got 0, expected an int >= 1"),
    (lambda: nn.Conv2d(3, 4, 3, padding="full"),
     "bad padding= of Conv2d: got 'full', expected 'same', 'valid', or ints >= 0"),
    (lambda: nn.Conv2d(3, 4, 3, stride=2, padding="same"),
     "bad padding= of Conv2d: got 'same', expected stride 1 with it"),
    (lambda: nn.Conv2d(3, 4, 3, padding_mode="mirror"),
     "bad padding_mode= of Conv2d: got 'mirror', expected 'zeros' or 'reflect' or 'replicate' or 'circular'"),
    (lambda: nn.conv2d(X, gc.input("w", (4, 3, "k", 3), "float32")),
     "bad shape for conv2d: got w: float32[4, 3, k, 3], expected a weight whose spatial sizes are ints > 0"),
    (lambda: nn.conv2d(X, gc.input("w", (4, 3, 3), "float32")),
     "bad shape for conv2d: got w: float32[4, 3, 3], expected a weight [out, in / groups] and 2 spatial axes"),
    (lambda: nn.conv2d(X, W, gc.input("b", (3,), "float32")),
     "bad shape for conv2d: got b: float32[3], expected a bias [4]"),
    (lambda: nn.conv2d(X, gc.input("w", (4, 1, 3, 3), "float32"), groups=3),
     "bad shape for conv2d: got w: float32[4, 1, 3, 3], expected a weight whose first size groups = 3 divides"),
    (lambda: nn.ConvTranspose2d(3, 4, 3, stride=2, output_padding=2)(X),
     "bad output_padding= of ConvTranspose2d(3, 4, kernel_size=(3, 3), stride=(2, 2), output_padding=(2, 2)): "
     "got (2, 2), expected less than stride or dilation"),
    (lambda: nn.ConvTranspose2d(3, 4, 3, stride=2)(X, output_size=(30, 30)),
     "bad output_size= of ConvTranspose2d(3, 4, kernel_size=(3, 3), stride=(2, 2)): got (30, 30), "
     "expected sizes from 17 to 18, 17 to 18"),
    (lambda: nn.ConvTranspose2d(3, 4, 3, padding=9)(X),
     "bad shape for ConvTranspose2d(3, 4, kernel_size=(3, 3), stride=(1, 1), padding=(9, 9)): "
     "got x: float32[n, 3, 8, 8], expected at least 17 places on axis 2, for a result of one"),
    (lambda: nn.ConvTranspose2d(1, 1, 3)(gc.eager.ones(1, 1, 3, 0)),
     "bad shape for ConvTranspose2d(1, 1, kernel_size=(3, 3), stride=(1, 1)): "
     "got float32[1, 1, 3, 0], expected at least 1 place on axis 3, for a result of one"),
    (lambda: nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect")(gc.eager.ones(1, 1, 1, 4)),
     "bad shape for Conv2d(1, 1, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), padding_mode=reflect): "
     "got float32[1, 1, 1, 4], expected at least 2 places on axis 2, which its padding copies"),
    (lambda: nn.Conv1d(1, 1, 3, padding=2, padding_mode="circular")(gc.eager.ones(1, 1, 1)),
     "bad shape for Conv1d(1, 1, kernel_size=(3,), stride=(1,), padding=(2,), padding_mode=circular): "
     "got float32[1, 1, 1], expected at least 2 places on axis 2, which its padding copies"),
    (lambda: nn.ConvTranspose2d(3, 4, 3, padding_mode="reflect"),
     "bad padding_mode= of ConvTranspose2d: got 'reflect', expected 'zeros'"),
    (lambda: nn.ConvTranspose2d(3, 4, 3, padding="same"),
     "bad padding= of ConvTranspose2d: got 'same', expected ints >= 0"),
    (lambda: nn.conv_transpose2d(X, gc.input("w", (4, 3, 3, 3), "float32")),
     "bad shape for conv_transpose2d: got x: float32[n, 3, 8, 8], expected 4 channels, as its weight has, on axis 1"),
    (lambda: nn.MaxPool2d(3, padding=2)(X),
     "bad padding= of MaxPool2d(kernel_size=3, stride=3, padding=2, dilation=1, ceil_mode=False): got 2, "
     "expected at most half of what a window covers"),
    (lambda: nn.max_pool2d(gc.input("x", (1, 1, 4, 4), "int64"), 2),
     "bad dtype for max_pool2d: got x: int64[1, 1, 4, 4], expected floats"),
    (lambda: nn.MaxPool1d((2, 3)), "bad kernel_size= of MaxPool1d: got (2, 3), expected an int >= 1"),
    (lambda: nn.AvgPool2d(2, divisor_override=0), "bad divisor_override= of AvgPool2d: got 0, expected an int >= 1"),
    (lambda: nn.AdaptiveAvgPool2d((2, 3, 4)),
     "bad output_size= of AdaptiveAvgPool2d: got (2, 3, 4), expected an int >= 1 or None, or 2 of them"),
    (lambda: nn.adaptive_avg_pool2d(X, 0), "bad output_size= of adaptive_avg_pool2d: got 0, expected an int >= 1"),
)  # fmt: skip


@pytest.mark.parametrize(("call", "text"), REFUSED, ids=[text.split(":")[0] for _, text in REFUSED])
def test_error_text(call: Any, text: str) -> None:
    with pytest.raises(gc.GraphcError) as caught:
        call()
    assert str(caught.value).split("\n")[0] == text


@pytest.mark.parametrize(
    "read",
    [
        lambda v: nn.functional.avg_pool1d(v, 1, 3),
        lambda v: nn.functional.max_pool1d(v, 1, 3),
        lambda v: nn.functional.conv1d(v, gc.ones((1, 1, 1), "float64"), stride=3),
        lambda v: nn.functional.conv_transpose1d(v, gc.ones((1, 1, 1), "float64"), padding=1),
    ],
    ids=["avg_pool1d", "max_pool1d", "conv1d", "conv_transpose1d"],
)
def test_an_index_out_of_range_is_an_error_where_no_window_reads_it(read: Any) -> None:
    x, i = gc.input("x", (1, 1, 4), "float64"), gc.input("i", (1, 1, 4), "int64")
    step = gc.compile([x, i], read(gc.take_along_axis(x, i, axis=2)))
    values, places = np.arange(4.0).reshape(1, 1, 4), np.zeros((1, 1, 4), "int64")
    assert np.isfinite(step(values, places)).all()
    for place in range(4):
        wrong = places.copy()
        wrong[0, 0, place] = 4
        with pytest.raises(gc.OutOfBoundsError):
            step(values, wrong)
