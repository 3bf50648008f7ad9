"""The define-by-run engine: recording, backward, its errors, modes, functions of the user's own."""

import gc
import pickle
import threading
import weakref

import numpy as np
import pytest

from graphc import eager
from graphc.errors import GradientError


def leaf(*values, dtype=None):
    return eager.tensor(list(values) if len(values) > 1 else values[0], dtype=dtype, requires_grad=True)


def text_of(info):
    """The error's text without the machine's file names."""
    lines = str(info.value).split("\n")
    return "\n".join(x for x in lines if not x.startswith("  at ") and not x.startswith("  created at "))


# the seed's expression graph


def test_seed_expression_graph():
    a, b, c = leaf(3.0), leaf(5.0), leaf(8.0)
    u = b * c
    v = a + u
    j = 3 * v
    assert j.item() == 129.0
    assert repr(j) == "tensor(129., grad_fn=<MulBackward>)"
    assert repr(v) == "tensor(43., grad_fn=<AddBackward>)"
    j.backward()
    assert [t.grad.item() for t in (a, b, c)] == [3.0, 24.0, 15.0]
    assert u.grad is None and v.grad is None and j.grad is None
    assert a.is_leaf and not u.is_leaf and a.grad_fn is None


def test_sum_over_paths():
    a, w1, w2, w3, w4 = leaf(2.0), leaf(3.0), leaf(5.0), leaf(7.0), leaf(11.0)
    b, c = w1 * a, w2 * a
    loss = 10 - (w3 * b + w4 * c)
    loss.backward()
    assert a.grad.item() == -(3 * 7 + 5 * 11)
    assert w4.grad.item() == -10.0 and w1.grad.item() == -14.0


def test_vector_graph():
    x, y, z = (leaf(*np.arange(6.0).reshape(2, 3).tolist(), dtype="float64") for _ in range(3))
    c = (x * y + z).sum()
    c.backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())
    np.testing.assert_array_equal(z.grad.numpy(), np.ones((2, 3)))


def test_line_fit_in_float32():
    t_y = eager.tensor([0.5, 14.0, 15.0, 28.0, 11.0, 8.0, 3.0, -4.0, 6.0, 13.0, 21.0])
    t_x = eager.tensor([35.7, 55.9, 58.2, 81.9, 56.3, 48.9, 33.9, 21.8, 48.4, 60.4, 68.4])

    def fit(rate, scale, steps):
        params = eager.tensor([1.0, 0.0], requires_grad=True)
        losses = []
        for _ in range(steps):
            if params.grad is not None:
                params.grad.zero_()
            w, b = params
            loss = ((w * (t_x * scale) + b - t_y) ** 2).mean()
            losses.append(loss.item())
            loss.backward()
            with eager.no_grad():
                params -= rate * params.grad
        return losses

    np.testing.assert_allclose(fit(1e-2, 1.0, 2), [1763.8846, 5802484.0], rtol=1e-6)
    np.testing.assert_allclose(fit(1e-4, 1.0, 2), [1763.8846, 323.0905], rtol=1e-6)
    np.testing.assert_allclose(fit(1e-2, 0.1, 2), [80.36434, 37.57492], rtol=1e-6)


# recording


def test_requires_grad_is_contagious():
    x, w = eager.tensor([1.0, 2.0]), leaf(3.0, 4.0)
    assert (x * w).requires_grad and not (x * x).requires_grad
    assert not (w > 1).requires_grad, "no gradient flows through a comparison"
    assert not w.long().requires_grad and w.double().requires_grad
    assert not (w.detach() * 2).requires_grad and not w.data.requires_grad
    with eager.no_grad():
        assert not (x * w).requires_grad
        with eager.enable_grad():
            assert (x * w).requires_grad


def test_walking_back_to_the_leaves():
    a, b = leaf(3.0), leaf(5.0)
    j = 3 * (a + b * b)
    assert repr(j.grad_fn) == "<MulBackward>" and j.grad_fn.name() == "MulBackward"
    (add, index), constant = j.grad_fn.next_functions
    assert add.name() == "AddBackward" and index == 0 and constant == (None, 0)
    (to_a, _), (mul, _) = add.next_functions
    assert to_a.name() == "AccumulateGrad" and to_a.variable is a and to_a.next_functions == ()
    assert [n.variable for n, _ in mul.next_functions] == [b, b]
    assert mul.next_functions[0][0] == mul.next_functions[1][0]


def test_names_of_nodes():
    x = leaf([1.0, 2.0], [3.0, 4.0])
    names = {
        "Sum": x.sum(), "Mm": x @ x, "Expand": x.sum().expand(3), "Sub": x - 1, "Div": x / 2, "Neg": -x, "Exp": x.exp(),
        "View": x.view(4), "Permute": x.T, "Cat": eager.cat([x, x]), "Clone": x.clone(), "ToCopy": x.double(),
    }  # fmt: skip
    for name, result in names.items():
        assert result.grad_fn.name() == f"{name}Backward"


def test_no_broadcast_for_a_scalar_times_a_number():
    x = leaf(3.0)
    assert [f and f.name() for f, _ in (x * 2.0).grad_fn.next_functions] == ["AccumulateGrad", None]
    y = leaf(1.0, 2.0)
    assert [f and f.name() for f, _ in (y * x).grad_fn.next_functions] == ["AccumulateGrad", "ExpandBackward"]


# backward


def test_gradients_accumulate_and_are_cleared():
    x = leaf(1.0, 2.0)
    for k in (1, 2):
        (x * x).sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), k * np.array([2.0, 4.0], "float32"))
    kept = x.grad
    kept.zero_()
    assert x.grad is kept and x.grad.tolist() == [0.0, 0.0]
    (3 * x).sum().backward()
    assert kept.tolist() == [3.0, 3.0], "accumulates in place"
    x.grad = None
    (3 * x).sum().backward()
    assert x.grad is not kept and x.grad.tolist() == [3.0, 3.0]


def test_gradients_share_no_memory():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (x + y).backward(eager.ones(2))
    x.grad.zero_()
    assert y.grad.tolist() == [1.0, 1.0]
    z = leaf(1.0, 2.0)
    z.sum().backward()
    z.grad[0] = 5.0  # a gradient that came from a broadcast is still memory of its own
    assert z.grad.tolist() == [5.0, 1.0]


def test_a_gradient_that_cannot_be_written_is_replaced():
    x = leaf(1.0, 2.0)
    x.grad = eager.ones(1).expand(2)
    x.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_gradient_argument():
    x = leaf(1.0, 2.0)
    (x * x).backward(gradient=eager.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [2.0, 40.0]
    one = leaf([[3.0]])
    (one * 2).backward()  # one element needs no gradient, whatever its shape
    assert one.grad.tolist() == [[2.0]]
    own = leaf(2.0)
    own.backward()
    assert own.grad.item() == 1.0


def test_retain_grad():
    x = leaf(2.0)
    y = x * x
    y.retain_grad()
    (3 * y).backward()
    assert y.grad.item() == 3.0 and x.grad.item() == 12.0


def test_zero_derivatives_reach_leaves_as_zeros():
    x, y = leaf(1.5, 2.5), leaf(1.0, 1.0)
    (x.floor() * y).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0] and y.grad.tolist() == [1.0, 2.0]


def test_a_branch_not_taken_contributes_nothing():
    x = leaf(0.0, 4.0)
    eager.where(x > 0, x.sqrt(), 0.0).sum().backward()
    assert x.grad.tolist() == [0.0, 0.25]


def test_higher_derivatives():
    x = leaf(2.0, dtype="float64")
    g = x**4
    for expected in (32.0, 48.0, 48.0):
        (g,) = eager.grad(g, x, create_graph=True)
        assert g.item() == expected
    y = leaf(0.5, dtype="float64")
    (d,) = eager.grad(y.exp() * y.sin(), y, create_graph=True)
    d.backward()
    np.testing.assert_allclose(y.grad.item(), 2 * np.exp(0.5) * np.cos(0.5), rtol=1e-14)


def test_create_graph_in_backward():
    x = leaf(3.0)
    (x**3).backward(create_graph=True)
    first = x.grad
    assert first.item() == 27.0 and first.requires_grad
    x.grad = None
    first.backward()
    assert x.grad.item() == 18.0


def test_grad_function():
    x, unused = leaf(1.0, 2.0), leaf(1.0)
    y = x * x
    z = y.sum()
    gx, gy, none = eager.grad(z, [x, y, unused])
    assert gx.tolist() == [2.0, 4.0] and gy.tolist() == [1.0, 1.0] and none.item() == 0.0
    assert x.grad is None
    (g,) = eager.grad([x * x, x], x, [eager.ones(2), eager.ones(2)])
    assert g.tolist() == [3.0, 5.0]


def test_grad_walks_only_where_it_was_asked():
    x, y = leaf(2.0), leaf(3.0)

    class Trap(eager.Function):
        @staticmethod
        def forward(ctx, t):
            return t * 2

        @staticmethod
        def backward(ctx, g):
            raise AssertionError("visited")

    assert eager.grad(x * x + Trap.apply(y), x)[0].item() == 4.0


def test_unpacking_and_stacking_pass_gradients():
    params = leaf(1.0, 2.0, 3.0)
    a, b, c = params
    eager.stack([a * 2, b * 3, c * c]).sum().backward()
    assert params.grad.tolist() == [2.0, 3.0, 6.0]


def test_a_deep_chain_is_walked_and_freed():
    x = leaf(1.0)
    y = x
    for k in range(100_000):
        y = y + 1e-3 if k % 2 else y * 1.0
    y.backward()
    assert x.grad.item() == 1.0
    node = weakref.ref(y.grad_fn)
    del y
    gc.collect()
    assert node() is None


def test_tape_is_freed_with_its_result():
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        y = (x.exp() * x).sum()
        node = weakref.ref(y.grad_fn)
        del y
        assert node() is None, "no reference cycle keeps a tape alive"
    finally:
        gc.enable()


def test_linear_ops_keep_no_values():
    x = leaf(*range(1, 1001), dtype="float32")
    y = x * 1.0
    array = weakref.ref(y._array)
    z = (y + 1).reshape(10, 100).sum() * 1.0
    del y
    assert array() is None
    z.backward()
    assert x.grad.tolist() == [1.0] * 1000


# errors


def test_second_backward():
    x = leaf(2.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 8.0
    with pytest.raises(GradientError) as info:
        y.backward()
    assert text_of(info) == (
        "backward a second time through MulBackward, whose saved values were freed by the first\n"
        "  hint: pass retain_graph=True to the first backward, or compute the result again"
    )
    assert "y = x * x" in str(info.value), "names the line that made the node"


def test_backward_of_several_elements():
    with pytest.raises(GradientError) as info:
        (leaf(1.0, 2.0) * 2).backward()
    assert text_of(info) == (
        "backward: got a tensor of 2 elements, float32[2], and no gradient, expected one element\n"
        "  hint: reduce it first, loss.sum().backward(), or pass gradient= with the shape of the tensor"
    )


def test_backward_of_a_constant():
    with pytest.raises(GradientError) as info:
        eager.tensor(1.0).backward()
    assert text_of(info) == (
        "backward of a tensor that does not require a gradient: got float32[], "
        "expected one computed from a leaf with requires_grad=True\n"
        "  hint: set requires_grad=True on the leaves before computing, and not under no_grad()"
    )


def test_wrong_gradient():
    with pytest.raises(GradientError) as info:
        (leaf(1.0, 2.0) * 2).backward(eager.ones(3))
    assert text_of(info) == "backward: got gradient float32[3], expected the shape and dtype of the tensor, float32[2]"


def test_grad_of_what_requires_none():
    with pytest.raises(GradientError) as info:
        eager.grad(leaf(1.0) * 2, eager.tensor(1.0))
    assert text_of(info) == (
        "input 0 of eager.grad does not require a gradient: got float32[]\n"
        "  hint: make it with requires_grad=True, before the outputs are computed from it"
    )
    with pytest.raises(GradientError, match="1 grad_outputs, expected one for each of 2 outputs"):
        eager.grad([leaf(1.0), leaf(2.0)], leaf(1.0), [None])


def test_requires_grad_errors():
    with pytest.raises(GradientError) as info:
        eager.tensor([1, 2], requires_grad=True)
    assert text_of(info) == (
        "cannot require a gradient: got int64[2], expected float32 or float64\n"
        "  hint: convert it first, with .float() or .double()"
    )
    with pytest.raises(GradientError) as info:
        (leaf(1.0) * 2).requires_grad_(False)
    assert text_of(info) == (
        "cannot set requires_grad=False on a tensor that was computed: got <MulBackward>, expected a leaf\n"
        "  hint: take it off the tape with .detach()"
    )
    with pytest.raises(GradientError, match=r"cannot set \.grad: got float32\[3\], expected None or an eager tensor"):
        leaf(1.0).grad = eager.ones(3)
    with pytest.raises(GradientError, match="cannot retain a gradient"):
        eager.ones(2).retain_grad()


def test_numpy_of_a_recorded_tensor():
    with pytest.raises(GradientError) as info:
        leaf(1.0).numpy()
    assert text_of(info) == (
        "numpy() of a tensor that requires a gradient: got float32[], "
        "expected a tensor off the tape, since changes of the array would go unseen\n"
        "  hint: use .detach().numpy()"
    )


# modes


def test_modes_nest_decorate_and_belong_to_a_thread():
    @eager.no_grad()
    def quiet(x):
        return x * 2

    @eager.no_grad
    def quieter(x):
        return x * 2

    x = leaf(1.0)
    assert not quiet(x).requires_grad and not quieter(x).requires_grad and eager.is_grad_enabled()
    seen = []
    with eager.no_grad():
        thread = threading.Thread(target=lambda: seen.append(eager.is_grad_enabled()))
        thread.start()
        thread.join()
        with eager.set_grad_enabled(True):
            assert eager.is_grad_enabled()
        assert not eager.is_grad_enabled()
    assert seen == [True]
    with pytest.raises(ZeroDivisionError), eager.no_grad():
        1 / 0  # noqa: B018
    assert eager.is_grad_enabled()


def test_backward_from_many_threads():
    x = leaf(*[0.0] * 8)

    def work():
        for _ in range(50):
            (x + 1).sum().backward()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert x.grad.tolist() == [200.0] * 8


# Function


class Scale(eager.Function):
    """x -> x * factor, of two results: the product and its square."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        y = x * factor
        ctx.save_for_backward(x, y)
        return y, y * y

    @staticmethod
    def backward(ctx, g1, g2):
        _, y = ctx.saved_tensors
        return g1 * ctx.factor + g2 * 2 * y * ctx.factor, None


def test_function():
    x = leaf(1.0, 2.0)
    y, z = Scale.apply(x, 3.0)
    assert repr(y) == "tensor([3., 6.], grad_fn=<ScaleBackward>)" and z.tolist() == [9.0, 36.0]
    (y + z).sum().backward()
    assert x.grad.tolist() == [3 + 18.0, 3 + 36.0]
    y, _ = Scale.apply(x, 3.0)
    x.grad = None
    y.sum().backward(retain_graph=True)  # the other result contributes zeros
    assert x.grad.tolist() == [3.0, 3.0]
    y.sum().backward()
    with pytest.raises(GradientError, match="backward a second time through ScaleBackward"):
        y.sum().backward()


def test_function_is_differentiated_again():
    class Cube(eager.Function):
        @staticmethod
        def forward(ctx, x):
            assert not eager.is_grad_enabled()
            ctx.save_for_backward(x)
            return x * x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * x * x * g

    x = leaf(2.0)
    (g,) = eager.grad(Cube.apply(x), x, create_graph=True)
    assert g.item() == 12.0
    (h,) = eager.grad(g, x, create_graph=True)
    assert h.item() == 12.0
    assert eager.grad(h, x)[0].item() == 6.0


def test_function_saving_its_result():
    class Exp(eager.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return g * y

    x = leaf(0.5, dtype="float64")
    g = Exp.apply(x)
    for _ in range(3):
        (g,) = eager.grad(g, x, create_graph=True)
        np.testing.assert_allclose(g.item(), np.exp(0.5), rtol=1e-14)
    y = Exp.apply(x)
    y.add_(1.0)
    with pytest.raises(GradientError, match="a value that ExpBackward needs was changed in place"):
        y.backward()


def test_function_without_gradients():
    class Half(eager.Function):
        @staticmethod
        def forward(ctx, x):
            assert ctx.needs_input_grad == (True,)
            y, mask = x / 2, x > 1
            ctx.mark_non_differentiable(y)
            return y, mask

        @staticmethod
        def backward(ctx, g, m):
            return g / 2

    y, mask = Half.apply(leaf(1.0, 2.0))
    assert not y.requires_grad and not mask.requires_grad and mask.tolist() == [False, True]


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ((None, None, None), "got 3 gradients, expected one (or None) for each of 2 arguments"),
        ((eager.ones(3), None), "got float32[3] for argument 0, expected float32[2], as the argument, or None"),
        ((1.0, None), "got float for argument 0, expected float32[2], as the argument, or None"),
    ],
)
def test_wrong_backward_of_a_function(result, expected):
    class Wrong(eager.Function):
        @staticmethod
        def forward(ctx, x, k):
            return x * k

        @staticmethod
        def backward(ctx, g):
            return result

    with pytest.raises(GradientError) as info:
        Wrong.apply(leaf(1.0, 2.0), 2.0).sum().backward()
    assert text_of(info) == f"wrong return value of Wrong.backward: {expected}"


def test_wrong_forward_of_a_function():
    class Wrong(eager.Function):
        @staticmethod
        def forward(ctx, x):
            return 1.0

    with pytest.raises(GradientError) as info:
        Wrong.apply(leaf(1.0))
    assert (
        text_of(info) == "wrong return value of Wrong.forward: got float, expected an eager tensor, or a tuple of them"
    )


def test_function_that_changes_its_argument():
    class Wrong(eager.Function):
        @staticmethod
        def forward(ctx, x):
            return x.add_(1)

    with pytest.raises(GradientError) as info:
        Wrong.apply(leaf(1.0, 2.0) * 1)
    assert text_of(info) == (
        "Wrong.forward changed its argument 0 in place: got float32[2], "
        "expected arguments left as they are: the tape would not learn of the change\n"
        "  hint: change a copy, made with .clone(), and return it"
    )


def test_function_that_returns_its_argument():
    class Same(eager.Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 5

    x = leaf(1.0, 2.0)
    y = Same.apply(x)
    assert y is not x and y.grad_fn.name() == "SameBackward"
    (y * x).sum().backward()
    assert x.grad.tolist() == [6.0, 12.0]


# carrying tensors about


def test_pickle_and_deepcopy():
    import copy

    x = leaf(1.0, 2.0)
    for other in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
        assert other.requires_grad and other.tolist() == [1.0, 2.0] and other.is_leaf
        with eager.no_grad():
            other.zero_()
        assert x.tolist() == [1.0, 2.0]
    with pytest.raises(GradientError, match="deepcopy of a computed tensor"):
        copy.deepcopy(x * 2)
