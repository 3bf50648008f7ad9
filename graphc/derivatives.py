"""Derivatives of tensors, graph to graph, and of Python functions, function to function.

Every function here takes a tensor, or a nesting of them, and what to differentiate it with respect to; then it gives
tensors, which can be differentiated again. Or it takes a Python function and gives one of the same arguments, which
differentiates with respect to the positional arguments `argnums`: an int (the result is nested as that argument is) or
several (the result is a tuple). What the form for tensors takes as its third argument is a keyword argument of the new
function. Called with arrays it is traced and compiled as ``gc.compile(f)`` is; with symbolic tensors it builds nodes.

What is differentiated is the stable form of the graph (`passes.stable`): log(sum(exp(x))) has the gradient of
`gc.logsumexp`, which does not overflow. A tensor that is computed stays what it is where derivatives are taken by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .autodiff.vjp import check_floats
from .errors import GradientError, UnsupportedError, count, message, shown, user_line, warn
from .ir import dims
from .ir.apply import SYMBOLIC, cast, engine_of, is_tensor, lift
from .ir.leaves import INPUT, PARAM, Param
from .ir.tensor import Tensor
from .ir.traversal import topological
from .ir.tree import Tree, flatten
from .ops.common import describe
from .ops.movement import with_shape
from .passes import differentiate
from .tracing import derived

MODES = (None, "forward", "reverse")


def grad(y: Any, wrt: Any = None, *, argnums: Any = 0) -> Any:
    """The gradient of a scalar.

    ``gc.grad(y, wrt)``: of the 0-d float tensor `y` with respect to a float tensor, or a nesting of them; each has the
    shape and dtype of its tensor, and is zeros where `y` does not depend on it (with a warning where that is itself
    computed: `y` has another way to read its data). ``gc.grad(f, argnums=0)``: a function that computes the gradient of
    `f` for its arguments.

    Raises `GradientError` for a `y` that is no scalar, for integers, and where an op on the way has no derivative.

    >>> import graphc as gc
    >>> x = gc.input("x")
    >>> gc.grad(x**3, x).shape
    ()
    >>> gc.grad(lambda x: x**3)(2.0)
    np.float64(12.0)
    """
    if _is_function(y):
        return derived(y, _argnums("grad", argnums, wrt), "grad", grad)
    _no_argnums("grad", argnums)
    tree, leaves = _listed(wrt)
    if _is_eager(y, *leaves):
        for one in (y, *leaves):
            if isinstance(one, Tensor) and (one is y or not isinstance(one, Param)):
                raise _mixed("grad", one)
        from .eager import grad as eager_grad

        return tree.build(list(eager_grad(y, leaves)))
    scalar = _scalar("grad", _outputs(y)[1])
    _in_order(scalar, leaves)
    _warn_of_zeros("grad", [scalar], leaves)
    return tree.build(differentiate.grad(scalar, leaves))


def value_and_grad(f: Any, wrt: Any = None, *, argnums: Any = 0) -> Any:
    """Like `grad`, with the value beside it: ``(y, gradient)``, or a function that returns the pair.

    >>> import graphc as gc
    >>> gc.value_and_grad(lambda x: x**3)(2.0)
    (np.float64(8.0), np.float64(12.0))
    """
    if _is_function(f):
        return derived(f, _argnums("value_and_grad", argnums, wrt), "grad", value_and_grad)
    _no_argnums("value_and_grad", argnums)
    return f, grad(f, wrt)


def vjp(y: Any, wrt: Any = None, ct: Any = None, *, argnums: Any = 0) -> Any:
    """The product of a cotangent with the Jacobian: reverse mode, one pass back.

    ``gc.vjp(y, wrt, ct)``: `ct` has the shape and dtype of `y` (both may be nested); the result is nested as `wrt` is.
    ``gc.vjp(f, argnums=0)``: a function, to be called as ``g(*args, ct=ct)``.

    >>> import numpy as np, graphc as gc
    >>> gc.vjp(lambda x: x**2)(np.array([1.0, 2.0]), ct=np.array([1.0, 10.0]))
    array([ 2., 40.])
    """
    if _is_function(y):
        return derived(y, _argnums("vjp", argnums, wrt, ct), "vjp", vjp, "ct")
    _no_argnums("vjp", argnums)
    _, outputs, tree, leaves = _operands("vjp", y, wrt)
    return tree.build(differentiate.vjp(outputs, leaves, _matching("cotangent", "output", ct, outputs)))


def jvp(y: Any, wrt: Any = None, tangents: Any = None, *, argnums: Any = 0) -> Any:
    """The product of the Jacobian with tangents: forward mode, the derivative of `y` along a direction.

    ``gc.jvp(y, wrt, tangents)``: `tangents` has the nesting, shapes and dtypes of `wrt`; the result those of `y`, and
    is zeros where `y` does not depend on `wrt`. ``gc.jvp(f, argnums=0)``: a function, to be called as
    ``g(*args, tangents=tangents)``.

    Raises `GradientError` for integers and where an op on the way has no forward rule (`custom_gradient` has none).

    >>> import numpy as np, graphc as gc
    >>> gc.jvp(lambda x: x**2)(np.array([1.0, 2.0]), tangents=np.array([1.0, 10.0]))
    array([ 2., 40.])
    """
    if _is_function(y):
        return derived(y, _argnums("jvp", argnums, wrt, tangents), "jvp", jvp, "tangents")
    _no_argnums("jvp", argnums)
    tree, outputs, _, leaves = _operands("jvp", y, wrt)
    return tree.build(differentiate.jvp(outputs, leaves, _matching("tangent", "tensor", tangents, leaves)))


def jacobian(y: Any, wrt: Any = None, mode: str | None = None, *, argnums: Any = 0) -> Any:
    """All derivatives of the elements of `y` by those of `wrt`: shape ``y.shape + wrt.shape``, dtype that of `wrt`.

    ``gc.jacobian(y, wrt)``: nestings of `wrt` give nestings, inside those of `y`. ``gc.jacobian(f, argnums=0)``: a
    function of the same arguments.

    mode  "forward": a pass for each element of `wrt`; "reverse": one for each element of `y`; None: that of fewer
          passes, with named sizes taken as 100; reverse if it is a tie, or if an op on the way has no forward rule.
          All passes are one graph, batched over a basis, so it does not grow with the sizes

    >>> import numpy as np, graphc as gc
    >>> gc.jacobian(lambda x: x**2)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """
    if mode not in MODES:
        raise GradientError(
            message(
                "unknown mode of jacobian",
                got=repr(mode),
                expected="'forward', 'reverse' or None",
                at=user_line(),
                created=False,
            )
        )
    if _is_function(y):
        return derived(y, _argnums("jacobian", argnums, wrt), "jacobian", lambda y, wrt: jacobian(y, wrt, mode))
    _no_argnums("jacobian", argnums)
    out_tree, outputs, tree, leaves = _operands("jacobian", y, wrt)
    return out_tree.build([tree.build(row) for row in differentiate.jacobian(outputs, leaves, mode)])


def hessian(y: Any, wrt: Any = None, *, argnums: Any = 0) -> Any:
    """All second derivatives of a scalar: a tensor of shape ``wrt.shape + wrt.shape``, forward over reverse mode.

    ``gc.hessian(y, wrt)``: for a nesting, a nesting (by the first derivative) of nestings (by the second).
    ``gc.hessian(f, argnums=0)``: a function of the same arguments. A product with a vector needs no Hessian: `hvp`.

    >>> import numpy as np, graphc as gc
    >>> gc.hessian(lambda x: gc.sum(x**3))(np.array([1.0, 2.0]))
    array([[ 6.,  0.],
           [ 0., 12.]])
    """
    if _is_function(y):
        return derived(y, _argnums("hessian", argnums, wrt), "hessian", hessian)
    _no_argnums("hessian", argnums)
    _, outputs, tree, leaves = _operands("hessian", y, wrt)
    rows = differentiate.hessian(_scalar("hessian", outputs), leaves)
    return tree.build([tree.build(row) for row in rows])


def hvp(y: Any, wrt: Any = None, v: Any = None, *, argnums: Any = 0) -> Any:
    """The product of the Hessian of a scalar with a vector, forward over reverse mode; no Hessian is formed.

    ``gc.hvp(y, wrt, v)``: `v` has the nesting, shapes and dtypes of `wrt`, and so has the result.
    ``gc.hvp(f, argnums=0)``: a function, to be called as ``g(*args, v=v)``.

    >>> import numpy as np, graphc as gc
    >>> gc.hvp(lambda x: gc.sum(x**3))(np.array([1.0, 2.0]), v=np.array([1.0, 10.0]))
    array([  6., 120.])
    """
    if _is_function(y):
        return derived(y, _argnums("hvp", argnums, wrt, v), "hvp", hvp, "v")
    _no_argnums("hvp", argnums)
    _, outputs, tree, leaves = _operands("hvp", y, wrt)
    vectors = _matching("vector", "tensor", v, leaves)
    return tree.build(differentiate.hvp(_scalar("hvp", outputs), leaves, vectors))


# operands


def _is_function(y: Any) -> bool:
    return callable(y) and not is_tensor(y)


_CALLS = {
    "hvp": "gc.hvp(f)(x, v=v)",
    "jvp": "gc.jvp(f)(x, tangents=v)",
    "vjp": "gc.vjp(f)(x, ct=ct)",
    **{name: f"gc.{name}(f)(x)" for name in ("grad", "value_and_grad", "jacobian", "hessian")},
}
"""How the functions are called that derivatives of functions are."""


def _argnums(name: str, argnums: Any, wrt: Any, given: Any = None) -> Any:
    """The arguments to differentiate a function by: `argnums`, or ints in the place of `wrt`, as in ``grad(f, 1)``."""
    numbers = wrt if isinstance(wrt, tuple) else (wrt,)
    if wrt is None and given is None:
        return argnums
    if given is None and argnums == 0 and numbers and all(type(k) is int for k in numbers):
        return wrt
    raise GradientError(
        message(
            f"gc.{name} of a function is a function of the same arguments",
            got=f"wrt={shown(wrt)}" if given is None else "what its calls take",
            expected=f"gc.{name}(f, argnums=...)",
            at=user_line(),
            created=False,
            hint=f"give positions of arguments; the arguments go to the function that comes back: {_CALLS[name]}",
        )
    )


def _no_argnums(name: str, argnums: Any) -> None:
    if argnums != 0:
        raise GradientError(
            message(
                f"argnums goes with a function in gc.{name}",
                got=f"a tensor and argnums={argnums!r}",
                expected="wrt: the tensors to differentiate by",
                at=user_line(),
                created=False,
            )
        )


def _is_eager(*tensors: Any) -> bool:
    return engine_of(*tensors) is not SYMBOLIC


def _wrt_hint(leaf: Any) -> str:
    """What to differentiate by instead of `leaf`."""
    if leaf is None:
        return "say by what: gc.grad(y, wrt); a function is differentiated by its arguments: gc.grad(f)"
    if hasattr(leaf, "parameters"):
        return "list(model.parameters()) are the params of a module"
    one_by_one = isinstance(leaf, Iterator)
    return "a list of them: list(...)" if one_by_one else "give the tensor itself, not its value or name"


def _listed(wrt: Any) -> tuple[Tree, list[Any]]:
    tree, leaves = flatten(wrt)
    for leaf in leaves:
        if not is_tensor(leaf):
            raise GradientError(
                message(
                    "cannot differentiate with respect to",
                    got=shown(leaf),
                    expected="a tensor, or a nesting of them",
                    at=user_line(),
                    created=False,
                    hint=_wrt_hint(leaf),
                )
            )
    return tree, leaves


def _in_order(y: Tensor, wrt: Sequence[Tensor]) -> None:
    """Raise `GradientError` where all of `wrt` are computed from `y`: the other way round was meant."""
    if wrt and all(w.inputs and w is not y and y in set(topological([w])) for w in wrt):
        raise GradientError(
            message(
                "gc.grad of what its wrt is computed from",
                got=describe(y, *wrt),
                expected="first what is differentiated, then what by",
                at=user_line(),
                created=False,
                hint="gc.grad(loss, w)",
            )
        )


def _warn_of_zeros(kind: str, outputs: Sequence[Tensor], wrt: Sequence[Tensor]) -> None:
    """Warn of a computed tensor that nothing differentiated was computed from: its derivative is 0. (Inputs and params
    may well be listed for many results, not all of which depend on them.)"""
    computed = [w for w in wrt if w.inputs]
    read = set(topological(outputs)) if computed else set()
    if apart := [w for w in computed if w not in read]:
        sources = [n for n in topological(apart) if n.op in (INPUT, PARAM)]
        names = ", ".join(n.name or "" for n in sources[:3])
        warn(
            message(
                f"gc.{kind} with respect to a tensor from which the result was not computed: it is 0",
                got=describe(*apart),
                expected="an input, a param, or a tensor on the way to the result",
                at=user_line(),
                created=False,
                hint=f"differentiate with respect to what it was made of ({names}), or use it in the result"
                if names
                else "use it in the result",
            )
        )


def _outputs(y: Any) -> tuple[Tree, list[Tensor]]:
    """The leaves of `y`, which must be tensors."""
    tree, leaves = flatten(y)
    for leaf in leaves:
        if not is_tensor(leaf):
            value = leaf is not None and not isinstance(leaf, (str, bytes))
            raise GradientError(
                message(
                    "cannot differentiate",
                    got=shown(leaf),
                    expected="a tensor or a function",
                    at=user_line(),
                    created=False,
                    hint="a value does not know what it was computed from" if value else "",
                )
            )
    return tree, leaves


def _operands(kind: str, y: Any, wrt: Any) -> tuple[Tree, list[Tensor], Tree, list[Tensor]]:
    """The leaves of both arguments: symbolic float tensors."""
    tree, leaves = _listed(wrt)
    if _is_eager(*flatten(y)[1], *leaves):
        raise UnsupportedError(
            message(
                f"gc.{kind} of eager tensors",
                expected="symbolic tensors, or a function called with arrays",
                at=user_line(),
                created=False,
                hint=f"call gc.{kind}(f) with arrays (x.numpy()): it is then traced and compiled",
            )
        )
    out_tree, outputs = _outputs(y)
    check_floats("derivative", outputs, leaves)
    _warn_of_zeros(kind, outputs, leaves)
    return out_tree, outputs, tree, leaves


def _mixed(kind: str, one: Tensor) -> GradientError:
    return GradientError(
        message(
            f"gc.{kind} of symbolic and eager tensors together",
            got=f"symbolic {describe(one)}, beside an eager tensor",
            at=user_line(),
            created=False,
            hint="a graph is built of gc.input, gc.param and constants; eager tensors come from eager tensors",
        )
    )


def _scalar(kind: str, outputs: list[Tensor]) -> Tensor:
    if len(outputs) != 1:
        leaves = outputs and all(not o.inputs for o in outputs)  # params, inputs: what is differentiated by
        raise GradientError(
            message(
                f"gc.{kind} is of one tensor",
                got=count(len(outputs), "tensor"),
                expected="a 0-d float tensor",
                at=user_line(),
                created=False,
                hint=f"what is differentiated comes first, then what by: gc.{kind}(loss, [w, b])" if leaves else "",
            )
        )
    return outputs[0]


def _matching(what: str, of: str, given: Any, tensors: list[Tensor]) -> list[Tensor]:
    """One tensor for each of `tensors`, of its shape and dtype. Data and integers take the dtype."""
    _, leaves = flatten(given)
    if len(leaves) != len(tensors) or given is None:
        raise GradientError(
            message(
                f"wrong number of {what}s",
                got="none" if given is None else str(len(leaves)),
                expected=f"{len(tensors)}, one for each {of}",
                at=user_line(),
                created=False,
            )
        )
    return [_fitted(what, of, leaf, x) for leaf, x in zip(leaves, tensors, strict=True)]


def _fitted(what: str, of: str, leaf: Any, x: Tensor) -> Tensor:
    v = leaf if is_tensor(leaf) else lift(leaf)[0]
    fits = len(v.shape) == len(x.shape) and all(
        dims.equal(m, n) is not False for m, n in zip(v.shape, x.shape, strict=True)
    )
    if not fits or (is_tensor(leaf) and v.dtype.kind == "f" and v.dtype != x.dtype):
        raise GradientError(
            message(
                f"{what} does not match its {of}", got=str(v.aval), expected=str(x.aval), at=user_line(), created=False
            )
        )
    return with_shape(cast(v, x.dtype), x.shape)
