"""The statements random programs are made of: each writes the text of one expression on what was computed so far.

A function takes the draft and returns text, or (text, number of values) for one that gives several, or None where it
has nothing to work on. It need not be right: what cannot be built is thrown away.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_FLOAT_UNARY = (
    "gc.exp({x} * 0.5)", "gc.sin({x})", "gc.cos({x})", "gc.tanh({x})", "gc.sigmoid({x})", "gc.softplus({x})",
    "gc.sqrt(gc.abs({x}) + 0.0625)", "gc.log(gc.abs({x}) + 0.5)", "gc.square({x})", "gc.relu({x})", "gc.erf({x})",
    "gc.floor({x})", "gc.ceil({x})", "gc.trunc({x})", "gc.round({x})", "gc.sign({x})", "gc.expm1({x} * 0.25)",
    "gc.log1p(gc.abs({x}))", "gc.atan({x})", "gc.reciprocal(gc.abs({x}) + 0.5)", "gc.isnan({x})", "gc.isinf({x})",
    "gc.isfinite({x})", "gc.stop_gradient({x})", "gc.rsqrt(gc.abs({x}) + 0.5)", "gc.sinh({x} * 0.25)",
    "{x} ** 2", "{x} ** 3", "gc.clip({x}, -0.75, 1.25)", "gc.asinh({x})",
)  # fmt: skip
_ANY_UNARY = ("-{x}", "gc.abs({x})", "gc.square({x})", "gc.sign({x})", "gc.positive({x})", "{x} * 2", "1 - {x}",
              "{x} + {x}", "{x} * {x}", "gc.maximum({x}, 1)", "gc.clip({x}, 0, 2)", "{x} - 0", "{x} * 1")  # fmt: skip
_INT_UNARY = ("~{x}", "{x} // 2", "{x} % 3", "{x} << 1", "{x} >> 1", "{x} / 4", "gc.floor({x})")
_BOOL_UNARY = ("~{x}", "gc.logical_not({x})")
_ANY_BINARY = ("{x} + {y}", "{x} - {y}", "{x} * {y}", "gc.maximum({x}, {y})", "gc.minimum({x}, {y})", "{x} < {y}",
               "{x} <= {y}", "{x} > {y}", "{x} >= {y}", "{x} == {y}", "{x} != {y}")  # fmt: skip
_FLOAT_BINARY = ("{x} / (gc.abs({y}) + 0.5)", "gc.hypot({x}, {y})", "gc.logaddexp({x}, {y})",
                 "(gc.abs({x}) + 0.5) ** (gc.tanh({y}))", "gc.atan2({x}, gc.abs({y}) + 0.5)",
                 "{x} // (gc.abs({y}) + 0.5)", "{x} % (gc.abs({y}) + 0.75)")  # fmt: skip
_INT_BINARY = ("{x} & {y}", "{x} | {y}", "{x} ^ {y}", "{x} // {y}", "{x} % {y}", "{x} / (gc.abs({y}) + 1)")
_BOOL_BINARY = ("{x} & {y}", "{x} | {y}", "{x} ^ {y}", "gc.logical_and({x}, {y})", "{x} + {y}", "{x} * {y}")
_REDUCTIONS = ("sum", "sum", "mean", "max", "min", "prod", "any", "all", "argmax", "argmin", "count_nonzero", "var",
               "std", "logsumexp", "vector_norm")  # fmt: skip
_EINSUMS_1 = ("ij->ji", "ij->i", "ij->", "ijk->kij", "ii->i", "ii->", "ijk->j", "i->i")
_EINSUMS_2 = ("ij,jk->ik", "ij,kj->ik", "ij,kj->ki", "ji,jk->ki", "ijk,ikl->ijl", "i,j->ji", "ij,j->i", "ij,i->j",
              "ij,ij->",
              "ij,ij->j", "ijk,k->ji", "ijk,kj->i", "ijk,jk->ki", "i,i->", "ij,ji->i", "ijk,jil->kl", "ij,kl->jlik",
              "ijk,lk->lij", "bij,bkj->bki", "ij,ij->ji", "i,ij->ji", "aij,ka->kji")  # fmt: skip


def is_kind(kinds: str) -> Any:
    """A test of values: whether the dtype is of one of `kinds`."""
    return lambda v: v.dtype.kind in kinds


def ranked(least: int, kinds: str = "biuf") -> Any:
    """A test of values: whether they have axes enough, and a dtype of one of `kinds`."""
    return lambda v: v.ndim >= least and v.dtype.kind in kinds


def unary(d: Any) -> Any:
    x = d.pick()
    kind = d.values[x].dtype.kind
    texts = {"f": (*_FLOAT_UNARY, *_ANY_UNARY), "b": _BOOL_UNARY}.get(kind, (*_INT_UNARY, *_ANY_UNARY))
    return d.choose(texts).format(x=x)


def partner(d: Any, x: str) -> str:
    """A second operand: one that broadcasts with `x`, `x` itself, or a rearrangement of it."""
    if d.random.random() < 0.2:
        views = ["{x}", "gc.flip({x})", "gc.permute_dims({x}, {axes})", "gc.roll({x}, 1)", "gc.sum({x})"]
        axes = tuple(reversed(range(d.values[x].ndim)))
        return d.choose(views).format(x=x, axes=axes)

    def fits(v: np.ndarray) -> bool:
        try:
            np.broadcast_shapes(v.shape, d.values[x].shape)
        except ValueError:
            return False
        return True

    return d.pick(fits)


def binary(d: Any) -> Any:
    x = d.pick()
    y = partner(d, x)
    kind = d.values[x].dtype.kind
    other = d.values[y].dtype.kind if y in d.values else kind
    if kind == other == "b":
        texts: tuple[str, ...] = _BOOL_BINARY
    elif "f" in (kind, other):
        texts = (*_ANY_BINARY[:5], *_ANY_BINARY, *_FLOAT_BINARY)
    elif "b" in (kind, other):
        texts = _ANY_BINARY
    else:
        texts = (*_ANY_BINARY, *_INT_BINARY)
    if d.random.random() < 0.3:
        x, y = y, x
    return d.choose(texts).format(x=x, y=y)


def where(d: Any) -> Any:
    x = d.pick()
    y = partner(d, x)
    c = d.pick(is_kind("b"))
    condition = c if c and d.random.random() < 0.7 else f"{partner(d, x)} > 0"
    return f"gc.where({condition}, {x}, {y})"


def astype(d: Any) -> Any:
    x = d.pick()
    to = d.choose(("bool", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64", "float32", "float64"))
    v = d.values[x]
    if v.dtype.kind == "f" and to[0] in "iu":
        low = 0 if to[0] == "u" else -100
        x = f"gc.clip({x}, {low}, 100)"
        if v.size and np.isnan(v).any():
            return None
    return f"gc.astype({x}, {to!r})"


def _axes(d: Any, v: np.ndarray) -> Any:
    if v.ndim == 0 or d.random.random() < 0.3:
        return None
    count = d.random.randint(1, v.ndim)
    axes = d.random.sample(range(v.ndim), count)
    axes = [a - v.ndim if d.random.random() < 0.2 else a for a in axes]
    return axes[0] if count == 1 and d.random.random() < 0.7 else tuple(axes)


def reduction(d: Any) -> Any:
    x = d.pick(ranked(1)) or d.pick()
    name = d.choose(_REDUCTIONS)
    axis = _axes(d, d.values[x])
    if name in ("argmax", "argmin") and isinstance(axis, tuple):
        axis = axis[0]
    keep = d.choose((True, False))
    if name in ("var", "std") and d.values[x].dtype.kind == "f":
        inner = f"gc.{name}({x}, axis={axis}, keepdims={keep})"
        return f"gc.sqrt({inner} + 0.25)" if name == "var" else f"gc.sqrt(gc.var({x}, axis={axis}) + 0.25)"
    if name == "vector_norm":
        return f"gc.vector_norm({x} + 4, axis={axis}, keepdims={keep})"
    return f"gc.{name}({x}, axis={axis}, keepdims={keep})"


def softmax(d: Any) -> Any:
    x = d.pick(ranked(1, "f"))
    if x is None:
        return None
    axis = d.random.randrange(d.values[x].ndim)
    return f"gc.{d.choose(('softmax', 'log_softmax'))}({x}, axis={axis})"


def normalise(d: Any) -> Any:
    """Row-wise patterns: a reduction's result used in the same rows."""
    x = d.pick(ranked(1, "f"))
    if x is None:
        return None
    axis = _axes(d, d.values[x])
    reduce = d.choose(("sum", "mean", "max", "min"))
    inner = d.choose((x, f"gc.square({x})", f"{x} * 0.5"))
    return f"{x} {d.choose('+-*')} gc.{reduce}({inner}, axis={axis}, keepdims=True)"


def cumulative(d: Any) -> Any:
    x = d.pick(ranked(1))
    if x is None:
        return None
    axis = d.random.randrange(d.values[x].ndim)
    name = d.choose(("cumulative_sum", "cumulative_sum", "cumulative_prod", "diff"))
    extra = f", include_initial={d.choose((True, False))}" if name != "diff" else ""
    return f"gc.{name}({x}, axis={axis}{extra})"


def sorting(d: Any) -> Any:
    x = d.pick(ranked(1))
    if x is None:
        return None
    axis = d.random.randrange(d.values[x].ndim)
    return f"gc.{d.choose(('sort', 'argsort'))}({x}, axis={axis}, descending={d.choose((True, False))})"


def permute(d: Any) -> Any:
    x = d.pick(ranked(2)) or d.pick()
    axes = list(range(d.values[x].ndim))
    d.random.shuffle(axes)
    return f"gc.permute_dims({x}, {tuple(axes)})"


def _bound(d: Any, size: int) -> str:
    return "" if d.random.random() < 0.4 else str(d.random.randint(-size - 1, size + 1))


def _key(d: Any, v: np.ndarray) -> str:
    """A basic index: slices with steps, ints, None, an ellipsis."""
    parts = []
    for size in v.shape[: d.random.randint(1, v.ndim)]:
        form = d.random.random()
        if form < 0.6 or size == 0:
            step = d.choose(("", ":2", ":-1", ":-2", ":3", ""))
            parts.append(f"{_bound(d, size)}:{_bound(d, size)}{step}")
        elif form < 0.85:
            parts.append(str(d.random.randint(-size, size - 1)))
        else:
            parts += ["None", ":"]
    if d.random.random() < 0.1:
        parts.append("...")
    return ", ".join(parts)


def slicing(d: Any) -> Any:
    x = d.pick(ranked(1))
    return x and f"{x}[{_key(d, d.values[x])}]"


def _index_leaf(d: Any, size: int, shape: tuple[int, ...]) -> str | None:
    if size == 0 and 0 not in shape:
        return None
    dtype = d.choose(("int64", "int64", "int32", "int8", "uint8"))
    low = 0 if dtype == "uint8" else -size
    return d.leaf(d.choose(("input", "input", "constant")), shape, dtype, (low, size))


def _index(d: Any, size: int, shape: tuple[int, ...] | None = None) -> str | None:
    """An integer tensor of positions in an axis of this size: a leaf, or something computed."""
    if shape is None and d.random.random() < 0.3 and size:
        found = d.pick(lambda v: v.dtype.kind in "iu" and v.ndim in (1, 2) and v.size < 20)
        if found is not None:
            return f"gc.remainder({found}, {size})"
    shape = shape or d.choose(((2,), (3,), (1,), (2, 2), (5,), (0,)))
    return _index_leaf(d, size, shape)


def indexing(d: Any) -> Any:
    """gather: take, index arrays beside slices, take_along_axis."""
    x = d.pick(ranked(1))
    if x is None:
        return None
    v = d.values[x]
    axis = d.random.randrange(v.ndim)
    form = d.random.random()
    i = _index(
        d,
        v.shape[axis],
        None if form < 0.7 else tuple(d.choose((s, 1, 2)) if k == axis else s for k, s in enumerate(v.shape)),
    )
    if i is None:
        return None
    if form < 0.35:
        return f"gc.take({x}, {i}, axis={axis})"
    if form < 0.6:
        return f"{x}[{':, ' * axis}{i}]"
    if form < 0.7:
        j = _index(d, v.shape[0], (1,)) if v.ndim > 1 else None
        k = _index(d, v.shape[1], (3,)) if v.ndim > 1 else None
        return f"{x}[{j}, {k}]" if j and k else f"{x}[{i}]" if axis == 0 else None
    return f"gc.take_along_axis({x}, {i}, axis={axis})"


def writing(d: Any) -> Any:
    """.at[...].set and add, with slices and with index arrays that repeat."""
    x = d.pick(ranked(1, "iuf"))
    if x is None:
        return None
    v = d.values[x]
    mode = d.choose(("set", "add"))
    if d.random.random() < 0.4:
        key = _key(d, v)
        shape: Any = None
    else:
        i = _index(d, v.shape[0])
        if i is None:
            return None
        key = i
        shape = None
    same = d.pick(lambda u: u.dtype == v.dtype and u.ndim <= v.ndim)
    value = d.choose((same, "2", f"{x}[{key}]", f"{x}[{key}] * 2" if shape is None else "1"))
    return f"{x}.at[{key}].{mode}({value})"


def _but(axis: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]


def joining(d: Any) -> Any:
    x = d.pick(ranked(1)) or d.pick()
    v = d.values[x]
    if v.ndim and d.random.random() < 0.6:
        axis = d.random.randrange(v.ndim)
        others = [x]
        for _ in range(d.choose((1, 1, 2, 6))):
            y = d.pick(lambda u: u.ndim == v.ndim and _but(axis, u.shape) == _but(axis, v.shape))
            others.append(y)
        return f"gc.concat([{', '.join(others)}], axis={axis})"
    y = d.pick(lambda u: u.shape == v.shape)
    return f"gc.stack([{x}, {y}, {x}], axis={d.random.randint(-v.ndim - 1, v.ndim)})"


def padding(d: Any) -> Any:
    x = d.pick(ranked(1))
    if x is None:
        return None
    widths = [(d.random.randint(0, 2), d.random.randint(0, 2)) for _ in range(d.values[x].ndim)]
    mode = d.choose(("constant", "constant", "edge", "reflect", "wrap"))
    value = f", constant_values={d.choose((0, 1))}" if mode == "constant" else ""
    return f"gc.pad({x}, {widths}, mode={mode!r}{value})"


def moving(d: Any) -> Any:
    x = d.pick(ranked(1))
    if x is None:
        return None
    n = d.values[x].ndim
    axis = d.random.randrange(n)
    return d.choose((
        f"gc.flip({x}, axis={d.choose((None, axis))})", f"gc.roll({x}, {d.random.randint(-4, 4)}, axis={axis})",
        f"gc.roll({x}, 2)", f"gc.expand_dims({x}, axis={d.random.randint(-n - 1, n)})", f"gc.tile({x}, 2)",
        f"gc.repeat({x}, 2, axis={axis})", f"gc.triu({x})", f"gc.tril({x}, k=1)",
        f"gc.squeeze(gc.expand_dims({x}, axis=1), axis=1)",
        f"gc.diagonal({x})", f"gc.moveaxis({x}, {axis}, 0)", f"gc.diag({x})",
    ))  # fmt: skip


def split(d: Any) -> Any:
    x = d.pick(ranked(1))
    if x is None:
        return None
    axis = d.random.randrange(d.values[x].ndim)
    size = d.values[x].shape[axis]
    parts = d.choose([k for k in (1, 2, 3) if size % k == 0])
    return f"gc.split({x}, {parts}, axis={axis})", parts


def reshape(d: Any) -> Any:
    """Merge two axes, split one, flatten, or add and drop axes of size 1."""
    x = d.pick(ranked(1)) or d.pick()
    shape = [f"{x}.shape[{k}]" for k in range(d.values[x].ndim)]
    form = d.random.random()
    if form < 0.35 and len(shape) > 1:
        k = d.random.randrange(len(shape) - 1)
        shape[k : k + 2] = [f"{shape[k]} * {shape[k + 1]}"]
    elif form < 0.6 and shape:
        k = d.random.randrange(len(shape))
        part = d.choose((2, 3, 1))
        shape[k : k + 1] = [f"{shape[k]} // {part}", str(part)]
    elif form < 0.75:
        shape = ["-1"]
    else:
        shape.insert(d.random.randint(0, len(shape)), "1")
    return f"gc.reshape({x}, ({', '.join(shape)},))"


def broadcast(d: Any) -> Any:
    x = d.pick()
    y = d.pick(ranked(1)) or x
    return f"gc.broadcast_to({x}, {y}.shape)"


def contraction(d: Any) -> Any:
    x = d.pick(ranked(1))
    if x is None:
        return None
    v = d.values[x]
    form = d.random.random()
    if form < 0.25:
        y = d.pick(lambda u: u.ndim >= 1 and u.shape[-2 if u.ndim > 1 else 0] == v.shape[-1])
        return f"{x} @ {y}" if y else f"{x} @ gc.permute_dims({x}, {tuple(reversed(range(v.ndim)))})"
    if form < 0.35:
        return f"gc.einsum({d.choose(_EINSUMS_1)!r}, {x})"
    if form < 0.45:
        return f"gc.outer(gc.ravel({x}), gc.ravel({d.pick()}))"
    if form < 0.5:
        y = d.pick(lambda u: u.shape == v.shape)
        return f"gc.tensordot({x}, {y}, axes=[{list(range(v.ndim))}, {list(range(v.ndim))}])"
    specs = list(_EINSUMS_2)
    d.random.shuffle(specs)
    for spec in specs[:6]:
        a, b = spec.split("->")[0].split(",")
        x = d.pick(lambda u, a=a: u.ndim == len(a))
        if x is None:
            continue
        size = dict(zip(a, d.values[x].shape, strict=True))
        y = d.pick(
            lambda u, b=b, size=size: (
                u.ndim == len(b) and all(size.get(c, s) == s for c, s in zip(b, u.shape, strict=True))
            )
        )
        if y is not None:
            return f"gc.einsum({spec!r}, {x}, {y})"
    return None


def creation(d: Any) -> Any:
    x = d.pick(ranked(1)) or d.pick()
    n = f"{x}.shape[0]" if d.values[x].ndim else "3"
    return d.choose((
        f"gc.arange({n})", f"gc.arange({n}) * 0.5 + {x}", f"gc.zeros_like({x})", f"gc.ones_like({x}) + {x}",
        f"gc.full({x}.shape, 1.5)", f"{x} * {n}", f"gc.eye({n})", f"gc.linspace(0.0, 1.0, {n})",
        f"gc.zeros({x}.shape, 'int32')",
        f"gc.one_hot(gc.arange({n}) % 3, 3)", f"gc.zeros(({n}, 2)) + 1", "gc.asarray([0.5, -1.0, 2.0])",
        f"{x} / gc.asarray({n})",
    ))  # fmt: skip


def gradient(d: Any) -> Any:
    """Cotangents of earlier values or leaves, mixed into what follows."""
    y = d.pick(is_kind("f"))
    if y is None:
        return None
    floats = [n for n in d.values if d.values[n].dtype.kind == "f" and n != y and d.is_alone(n)]
    if not floats:
        return None
    leaves = [n for n in floats if n[0] in "xw"] or floats
    wrt = [d.choose(leaves if d.random.random() < 0.7 else floats) for _ in range(d.random.randint(1, 3))]
    wrt = list(dict.fromkeys(wrt))
    return f"gc.vjp({y}, [{', '.join(wrt)}], gc.ones_like({y}))", len(wrt)
