"""A loss on JAX with `jit`: values and gradients, or gradient descent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from .workload import Data, Run


def functions() -> SimpleNamespace:
    """The functions that formulas use, in JAX's spelling."""
    import jax
    import jax.numpy as jnp

    def cross_entropy(scores: Any, labels: Any) -> Any:
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(scores, axis=1), labels[:, None], axis=1))

    def layer_norm(x: Any, gain: Any, shift: Any, eps: float) -> Any:
        return jax.nn.standardize(x, axis=-1, epsilon=eps) * gain + shift

    def attention(q: Any, k: Any, v: Any) -> Any:
        return jax.nn.softmax(q @ jnp.matrix_transpose(k) * q.shape[-1] ** -0.5, axis=-1) @ v

    def conv2d(x: Any, kernels: Any, bias: Any) -> Any:
        return jax.lax.conv(x, kernels, (1, 1), "VALID") + bias[:, None, None]

    def max_pool2d(x: Any, size: int) -> Any:
        window = (1, 1, size, size)
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")

    own = {
        **{name: getattr(jax.nn, name) for name in ("relu", "sigmoid", "softplus", "logsumexp")},
        "erf": jax.scipy.special.erf,
        "gelu": lambda x: jax.nn.gelu(x, approximate=False),
        "cross_entropy": cross_entropy,
        "conv2d": conv2d,
        "max_pool2d": max_pool2d,
        "layer_norm": layer_norm,
        "attention": attention,
    }
    return SimpleNamespace(**{**vars(jnp), **own})


def tensors(data: Data, names: Sequence[str]) -> list[Any]:
    import jax.numpy as jnp

    return [jnp.asarray(data[name]) for name in names]


def arrays(results: Sequence[Any]) -> list[np.ndarray]:
    return [np.asarray(r) for r in results]


def gradients(loss: Callable[..., Any], data: Data, wrt: Sequence[str], given: Sequence[str]) -> Run:
    """``loss(functions, *wrt, *given)`` and its gradients by `wrt`."""
    import jax

    m = functions()
    both = jax.jit(jax.value_and_grad(lambda *args: loss(m, *args), argnums=tuple(range(len(wrt)))))
    args = tensors(data, [*wrt, *given])

    def step() -> list[Any]:
        value, found = jax.block_until_ready(both(*args))
        return [value, *found]

    return Run(step, (), arrays)


def descent(
    loss: Callable[..., Any], data: Data, params: Sequence[str], given: Sequence[str], rate: float, momentum: float
) -> Run:
    """One step of gradient descent on ``loss(functions, *params, *given)``; state goes in and comes out, donated."""
    import jax
    import jax.numpy as jnp

    update = updater(loss, rate, momentum)
    values, fixed = tuple(tensors(data, params)), tuple(tensors(data, given))
    state = values, tuple(jnp.zeros_like(v) for v in values) if momentum else ()
    compiled = jax.jit(update, donate_argnums=0)

    def step() -> Any:
        nonlocal state
        state, value = jax.block_until_ready(compiled(state, fixed))
        return value

    return Run(step, (), lambda value: arrays([value, *state[0]]))


def updater(loss: Callable[..., Any], rate: float, momentum: float = 0.0) -> Callable[..., Any]:
    """``update((values, speeds), fixed)`` gives new ``(values, speeds)`` and the loss."""
    import jax

    m = functions()
    both = jax.value_and_grad(lambda values, fixed: loss(m, *values, *fixed))

    def update(state: Any, fixed: Any) -> Any:
        values, speeds = state
        value, found = both(values, fixed)
        if momentum:
            found = speeds = tuple(momentum * s + g for s, g in zip(speeds, found, strict=True))
        return (tuple(v - rate * g for v, g in zip(values, found, strict=True)), speeds), value

    return update


def descent_loop(
    loss: Callable[..., Any],
    data: Data,
    params: Sequence[str],
    given: Sequence[str],
    rate: float,
    steps: int,
    kept: int,
) -> Run:
    """Many steps of gradient descent in one call (`lax.scan`); reads the first `kept` losses."""
    import jax

    update = updater(loss, rate)
    values, fixed = tuple(tensors(data, params)), tuple(tensors(data, given))
    state = values, ()

    @jax.jit
    def many(state: Any, fixed: Any) -> Any:
        return jax.lax.scan(lambda state, _: update(state, fixed), state, length=steps)

    def step() -> Any:
        nonlocal state
        state, losses = jax.block_until_ready(many(state, fixed))
        return losses

    return Run(step, (), lambda losses: arrays([losses[:kept]]))
