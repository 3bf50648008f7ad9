"""In-place changes of eager tensors: views, recorded changes, version counters, refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphc import eager
from graphc.errors import DTypeError, GradientError, OutOfBoundsError, ShapeError


def leaf(values, dtype=None):
    return eager.tensor(values, dtype=dtype, requires_grad=True)


def text_of(info):
    return "\n".join(x for x in str(info.value).split("\n") if not x.startswith(("  at ", "  created at ")))


def test_plain_changes_and_views_share_memory():
    x = eager.arange(12.0)
    y, z = x.view(3, 4), x[2:6]
    row, t, back = y[1], y.T, x[::-1]
    z += 100
    assert x.tolist()[2:6] == [102.0, 103.0, 104.0, 105.0]
    assert y[0, 2].item() == 102.0 and row[0].item() == 104.0 and t[3, 0].item() == 103.0 and back[9].item() == 102.0
    y[:, 0] = eager.tensor([-1.0, -2.0, -3.0])
    assert [x[k].item() for k in (0, 4, 8)] == [-1.0, -2.0, -3.0]
    x[[0, -1]] = 7
    x[x > 101] = 0
    assert x.tolist() == [7.0, 1.0, 0.0, 0.0, -2.0, 0.0, 6.0, 7.0, -3.0, 9.0, 10.0, 7.0]
    assert x.add_(1) is x and x.zero_().sum().item() == 0.0 and x.fill_(2).mul_(3).div_(4).tolist() == [1.5] * 12
    assert x.copy_(y.reshape(-1)) is x


def test_assignment_to_elements():
    x = eager.zeros(2, 3)
    x[:, ::-1] = eager.tensor([[1.0, 2.0, 3.0]])
    assert x.tolist() == [[3.0, 2.0, 1.0]] * 2
    x[0] = eager.ones(1, 1, 3)  # leading sizes of 1 are left out
    x[..., 1], x[1, [0, 2]] = 5, eager.tensor([7.0, 8.0], dtype="float64")
    assert x.tolist() == [[1.0, 5.0, 1.0], [7.0, 5.0, 8.0]]
    x[...] = 0
    x[2:] = 1  # nothing is there
    assert x.sum().item() == 0.0
    n = eager.tensor(1)
    n[()] = 4
    assert n.item() == 4
    with pytest.raises(DTypeError):
        n[...] = 1.5
    with pytest.raises(OutOfBoundsError):
        x[5] = 1


def test_out_argument():
    x, y, r = eager.ones(3), eager.arange(3), eager.empty(3)
    assert eager.add(x, y, out=r) is r and r.tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(ShapeError) as info:
        eager.add(x, y, out=eager.empty(2))
    assert text_of(info) == (
        "cannot write the result of add: got float64[3] into float32[2], "
        "expected a shape that broadcasts to that of the target: a tensor cannot grow in place"
    )
    w = leaf([1.0, 2.0, 3.0])
    with pytest.raises(GradientError) as info:
        eager.add(w, x, out=r)
    assert text_of(info) == (
        "add(out=) is not recorded: got a tensor that requires a gradient\n"
        "  hint: leave out= away, or call it inside 'with eager.no_grad():'"
    )
    with eager.no_grad():
        eager.add(w, x, out=r)
    assert r.tolist() == [2.0, 3.0, 4.0]
    with pytest.raises(GradientError, match=r"add\(out=\): got ndarray, expected an eager tensor"):
        eager.add(x, y, out=np.zeros(3))


def test_leaf_outside_no_grad():
    w = leaf([1.0, 2.0])
    for change in (
        lambda: w.add_(1),
        lambda: w.zero_(),
        lambda: w[0:1].mul_(2),
        lambda: w.__setitem__(0, 1.0),
        lambda: w.__setitem__([0], 1.0),
        lambda: w.__iadd__(1),
        lambda: w.view(2, 1).fill_(0),
    ):
        with pytest.raises(GradientError, match=r"that requires a gradient|of such a leaf"):
            change()
    with pytest.raises(GradientError) as info:
        w -= 1
    assert text_of(info) == (
        "in-place change by subtract_: got a leaf that requires a gradient, "
        "expected a leaf only inside no_grad(): its value is what gradients are taken at\n"
        "  hint: with eager.no_grad(): ..., or use the form that makes a new tensor, w = w - step"
    )
    assert w.tolist() == [1.0, 2.0]
    with eager.no_grad():
        w -= 1
        w[0:1].mul_(5)
    assert w.tolist() == [0.0, 1.0] and w.is_leaf and w.requires_grad
    w.data += 1
    assert w.tolist() == [1.0, 2.0]


def test_kinds_and_shapes_do_not_grow():
    with pytest.raises(DTypeError) as info:
        eager.arange(3).add_(0.5)
    assert text_of(info) == (
        "cannot write the result of add_: got float64 into int64[3], "
        "expected a dtype of the same kind or a higher one\n"
        "  hint: convert the tensor first, or use the form that makes a new one: add"
    )
    with pytest.raises(ShapeError, match="a tensor cannot grow in place"):
        eager.ones(3).add_(eager.ones(2, 3))
    x = eager.ones(3)
    x += eager.tensor([1.0, 2.0, 3.0], dtype="float64")
    assert x.dtype == eager.float32 and x.tolist() == [2.0, 3.0, 4.0]
    x += eager.arange(3)
    assert x.tolist() == [2.0, 4.0, 6.0]


def test_memory_that_cannot_be_written():
    with pytest.raises(GradientError) as info:
        eager.ones(3).expand(2, 3).add_(1)
    assert text_of(info) == (
        "in-place change by add_: got memory that cannot be written: an expanded tensor, or a read-only array, "
        "expected a tensor whose elements are its own\n"
        "  hint: change a copy, made with .clone()"
    )
    array = np.ones(2)
    array.flags.writeable = False
    with pytest.raises(GradientError, match="memory that cannot be written"):
        eager.from_numpy(array).zero_()


# what a later backward needs


def test_changed_result():
    x = leaf([1.0, 2.0])
    y = x.exp()
    z = y.sum()
    y[0] = 5.0
    with pytest.raises(GradientError) as info:
        z.backward()
    assert text_of(info) == (
        "a value that ExpBackward needs was changed in place after it was used: "
        "got its result, float32[2], at version 1, expected version 0\n"
        "  hint: change a copy instead (y = y + 1, or y.clone()), or change it after backward()"
    )
    assert "y = x.exp()" in str(info.value) and x.grad is None


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.add_(1),
        lambda d: d[1:].zero_(),
        lambda d: d.view(1, 3).mul_(2),
        lambda d: d.T.fill_(0),
        lambda d: d.detach().add_(1),
        lambda d: d.data.add_(1),
        lambda d: d.__setitem__(0, 9.0),
        lambda d: d.view(3, 1)[2].neg_(),
        lambda d: d.__setitem__(d > 0, 9.0),
        lambda d: eager.exp(d, out=d),
    ],
)
def test_changed_operand_also_through_a_view(change):
    w, d = leaf([1.0, 2.0, 3.0]), eager.tensor([4.0, 5.0, 6.0])
    loss = (w * d).sum()
    change(d)
    with pytest.raises(GradientError, match=r"MulBackward needs was changed in place.*got its operand 1, float32"):
        loss.backward()


def test_only_what_a_rule_reads_is_guarded():
    w, d = leaf([1.0, 2.0]), eager.tensor([4.0, 5.0])
    loss = (w * 2.0 + d - d * 3).sum()  # sums, and products of two constants, read no operand
    d.zero_()
    with eager.no_grad():
        w += 1  # w * 2 reads 2
    loss.backward()
    assert w.grad.tolist() == [2.0, 2.0]
    x, y = leaf([1.0]), leaf([2.0])
    product = x * y
    with eager.no_grad():
        x.zero_()
    assert eager.grad(product, x, retain_graph=True)[0].item() == 2.0, "reads y only"
    with pytest.raises(GradientError, match="changed in place"):
        eager.grad(product, y)
    z = leaf([1.0])
    big = (z * 3).exp()
    total = big.reshape(1, 1).sum()
    big.mul_(0)
    with pytest.raises(GradientError, match="its result"):
        total.backward()


def test_own_memory_of_an_in_place_op_is_no_error():
    x = leaf([1.0, 2.0])
    y = x * 1
    y.mul_(y)  # reads the old y twice
    y.exp_()
    y.add_(1)  # the result of exp_ was kept
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.array([1, 2]) * np.exp([1.0, 4.0]), rtol=1e-6)


# recorded changes


def test_recorded_change_has_the_history_of_the_op():
    x = leaf([1.0, 2.0])
    y = x * 2
    kept = y
    y += 1
    assert y is kept and y.grad_fn.name() == "AddBackward"
    y *= x
    y.sum().backward()
    assert x.grad.tolist() == [4 * 1 + 1.0, 4 * 2 + 1.0]


def test_a_buffer_filled_piece_by_piece():
    w = leaf([1.0, 2.0])
    buffer = eager.zeros(3, 2)
    row = buffer[1]
    assert buffer.is_leaf and not row.requires_grad
    buffer[0] = w * 3
    assert buffer.grad_fn.name() == "CopySlices" and row.requires_grad, "a view made before sees the new history"
    row.mul_(2).add_(w)
    (buffer * buffer).sum().backward()
    assert w.grad.tolist() == [20.0, 40.0]


def test_what_was_written_over_gets_no_gradient():
    x, v = leaf([1.0, 2.0, 3.0]), leaf([10.0])
    y = x * 2
    y[1:2] = v
    y[[0, 0]] = eager.stack([v[0] * 5, v[0] * 7])  # of repeated places the last one wins
    (y * eager.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 200.0] and v.grad.tolist() == [17.0]
    z = leaf([1.0, 2.0])
    t = z * 3
    t.zero_()
    assert t.requires_grad
    t.sum().backward()
    assert z.grad.tolist() == [0.0, 0.0]


def test_second_derivative_through_a_recorded_change():
    x = leaf([1.0, 2.0, 3.0], "float64")

    def f(t):
        y = t * t
        y.view(3, 1)[1:].mul_(y[:2].clone().view(2, 1))
        return (y * y).sum()

    def g(t):
        y = t * t
        return (eager.cat([y[:1], y[1:] * y[:2]]) ** 2).sum()

    (a,), (b,) = eager.grad(f(x), x, create_graph=True), eager.grad(g(x), x, create_graph=True)
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy())
    np.testing.assert_allclose(eager.grad(a.sum(), x)[0].numpy(), eager.grad(b.sum(), x)[0].numpy())


def test_a_change_in_memory_of_another_order():
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    w = leaf([1.0] * 6, "float64")
    base = eager.from_numpy(array)
    base.T.view(6)[1:3] = w[1:3] * 7
    (base * eager.arange(6.0, dtype="float64").view(2, 3)).sum().backward()
    assert w.grad.tolist() == [0.0, 7 * 3.0, 7 * 1.0, 0.0, 0.0, 0.0]
    assert array[1, 0] == 7.0 and array[0, 1] == 7.0


def test_view_made_under_no_grad():
    buffer, w = eager.zeros(3), leaf([1.0])
    with eager.no_grad():
        view = buffer[:1]
    view.add_(1)
    assert buffer.tolist() == [1.0, 0.0, 0.0]
    with pytest.raises(GradientError) as info:
        view.mul_(w)
    assert text_of(info) == (
        "in-place change by mul_: got a view that was made under no_grad(), "
        "expected a view made while recording, since the change is to be recorded\n"
        "  hint: make the view outside no_grad(), or change a copy, made with .clone()"
    )


def test_masks():
    x = eager.arange(6.0).view(2, 3)
    assert x[x > 2].tolist() == [3.0, 4.0, 5.0] and x[eager.tensor([True, False])].tolist() == [[0.0, 1.0, 2.0]]
    assert x[:, [True, False, True]].tolist() == [[0.0, 2.0], [3.0, 5.0]]
    with pytest.raises(OutOfBoundsError) as info:
        x[[True, False, True]]
    assert text_of(info) == (
        "a mask of the wrong shape: got x: float32[2, 3], mask: bool[3], expected the sizes of x from axis 0 on"
    )
    w = leaf([1.0, 2.0, 3.0])
    w[w > 1].sum().backward()
    assert w.grad.tolist() == [0.0, 1.0, 1.0]


# random sequences of views and changes, against the same sequence written without changes


VIEWS = {
    "half": (lambda t: t[: (len(t) + 1) // 2], lambda n: np.arange((n + 1) // 2)),
    "odd": (lambda t: t[1::2], lambda n: np.arange(1, n, 2)),
    "flip": (lambda t: t.flip(0), lambda n: np.arange(n)[::-1]),
    "fold": (lambda t: t.view(1, -1).T.reshape(-1), lambda n: np.arange(n)),
}
CHANGES = {
    "add": (lambda t, w: t.add_(w), lambda v, w: v + w),
    "mul": (lambda t, w: t.mul_(w), lambda v, w: v * w),
    "sin": (lambda t, w: t.sin_(), lambda v, w: v.sin()),
    "fill": (lambda t, w: t.copy_(w), lambda v, w: v * 0 + w),
}


STEP = st.tuples(st.lists(st.sampled_from(sorted(VIEWS)), max_size=3), st.sampled_from(sorted(CHANGES)))


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=5))
def test_any_sequence_of_views_and_changes(steps):
    def run(in_place):
        x = leaf(np.linspace(0.5, 1.5, 7), "float64")
        w = leaf(0.75, "float64")
        y = x * 2
        early = y[2:5]
        for views, change in steps:
            if in_place:
                view = y
                for name in views:
                    view = VIEWS[name][0](view)
                CHANGES[change][0](view, w)
            else:
                places = np.arange(7)
                for name in views:
                    places = places[VIEWS[name][1](len(places))]
                if len(places):
                    parts = list(y)
                    for k in places:
                        parts[k] = CHANGES[change][1](parts[k], w)
                    y = eager.stack(parts)
                early = y[2:5]
        result = (y * y).sum() + (early**3).sum()
        gx, gw = eager.grad(result, [x, w], create_graph=True)
        (second,) = eager.grad(gx.sum() + gw, x)
        return [t.detach().numpy() for t in (result, gx, gw, second)]

    for mine, expected in zip(run(True), run(False), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-10, atol=1e-12)
