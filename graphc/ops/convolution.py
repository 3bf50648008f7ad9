"""Convolution: one form, linear in a result y, an image x and weights w, and its three derivatives, which are rows.

    T(y, x, w) = sum of y[n, g, o, p] * w[g, o, c, k] * x[n, g, c, p * stride + k * dilation - low]

n counts images, g groups, o and c the channels of result and image in a group; p and k stand for one position along
each spatial axis. `x` counts as 0 outside. The derivative by `y` is convolution (as PyTorch and everybody in machine
learning calls it: correlation), the one by `x` transposed convolution, the one by `w` the gradient by weights. The form
is linear in each, so the derivatives of each row are the other two rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..errors import DTypeError, ShapeError, message
from ..ir.apply import apply
from ..ir.dims import DimLike, Shape
from ..ir.lowering import Convolve
from ..ir.op import Arr, Aval, Batching, Op, Require, Sample
from .guarded import BOTH, EXCHANGED, attrs_of, guard_of_vjp, matrix_product
from .movement import permute_dims, reshape, with_shape

Ints = tuple[int, ...]
AXES = {"y": "ngo", "x": "ngc", "w": "goc"}
"""The first three axes of each; the spatial ones follow."""
_OPERANDS = {"y": "xw", "x": "yw", "w": "yx"}
_NAMES = {"y": "convolve", "x": "convolve_transposed", "w": "convolve_weights"}


# what each row computes


def _reach(positions: int, kernel: int, stride: int, dilation: int) -> int:
    """How many places of an axis windows at this many positions cover."""
    return (positions - 1) * stride + (kernel - 1) * dilation + 1


def _taken(kernel: Ints, size: Ints, strides: Ints, dilations: Ints) -> Iterator[tuple[Ints, tuple[Any, ...]]]:
    """For each place k in a window: k, and the slices of what it reads for all positions, counted from -low."""
    for k in np.ndindex(*kernel):
        starts = [j * d for j, d in zip(k, dilations, strict=True)]
        yield k, tuple(slice(a, a + (p - 1) * s + 1, s) for a, p, s in zip(starts, size, strides, strict=True))


def _framed(x: np.ndarray, reach: list[int], low: Ints) -> np.ndarray:
    """The image with zeros around: what all windows read, from -low on."""
    framed = np.zeros((*x.shape[:3], *reach), x.dtype)
    inner = [min(n, r - a) for n, r, a in zip(x.shape[3:], reach, low, strict=True)]
    if all(n > 0 for n in inner):
        target = tuple(slice(a, a + n) for a, n in zip(low, inner, strict=True))
        framed[_last(*target)] = x[_last(*[slice(0, n) for n in inner])]
    return framed


def _last(*places: Any) -> Any:
    """The index of the last axes."""
    return (..., *places)


def _flat(x: np.ndarray) -> np.ndarray:
    """Spatial axes as one."""
    return x.reshape(*x.shape[:3], int(np.prod(x.shape[3:], dtype=np.int64)))


def _convolved(
    x: np.ndarray, w: np.ndarray, strides: Ints, dilations: Ints, low: Ints, size: Ints, guard: str = ""
) -> np.ndarray:
    result = np.zeros((x.shape[0], *w.shape[:2], *size), x.dtype)
    kernel = w.shape[3:]
    if 0 in size or 0 in kernel:
        return result
    reach = [_reach(*each) for each in zip(size, kernel, strides, dilations, strict=True)]
    framed = _framed(x, reach, low)
    for k, places in _taken(kernel, size, strides, dilations):
        part = matrix_product(w[_last(*k)], _flat(framed[_last(*places)]), EXCHANGED[guard])
        result = result + part.reshape(result.shape)
    return result


def _transposed(
    y: np.ndarray, w: np.ndarray, strides: Ints, dilations: Ints, low: Ints, size: Ints, guard: str = ""
) -> np.ndarray:
    result = np.zeros((*y.shape[:2], w.shape[2], *size), y.dtype)
    positions, kernel = y.shape[3:], w.shape[3:]
    if 0 in positions or 0 in kernel:
        return result
    reach = [_reach(*each) for each in zip(positions, kernel, strides, dilations, strict=True)]
    framed = np.zeros((*result.shape[:3], *reach), y.dtype)
    for k, places in _taken(kernel, positions, strides, dilations):
        part = matrix_product(np.swapaxes(w[_last(*k)], 1, 2), _flat(y), EXCHANGED[guard])
        framed[_last(*places)] += part.reshape(*part.shape[:3], *positions)
    inner = [max(0, min(n, r - a)) for n, r, a in zip(size, reach, low, strict=True)]
    taken = [slice(a, a + n) for a, n in zip(low, inner, strict=True)]
    result[_last(*[slice(0, n) for n in inner])] = framed[_last(*taken)]
    return result


def _by_weights(
    y: np.ndarray, x: np.ndarray, strides: Ints, dilations: Ints, low: Ints, size: Ints, guard: str = ""
) -> np.ndarray:
    result = np.zeros((*y.shape[1:3], x.shape[2], *size), y.dtype)
    positions = y.shape[3:]
    if 0 in positions or 0 in size:
        return result
    reach = [_reach(*each) for each in zip(positions, size, strides, dilations, strict=True)]
    framed = _framed(x, reach, low)
    for k, places in _taken(size, positions, strides, dilations):
        windows = np.swapaxes(_flat(framed[_last(*places)]), 2, 3)
        result[_last(*k)] = matrix_product(_flat(y), windows, guard).sum(axis=0)
    return result


# the rows


def _infer(out: str) -> Callable[..., Aval]:
    def infer(
        require: Require, a: Aval, b: Aval, strides: Ints, dilations: Ints, low: Ints, size: Shape, guard: str = ""
    ) -> Aval:
        rank = len(strides)
        spatial = {len(dilations), len(low), len(size), len(a.shape) - 3, len(b.shape) - 3}
        if spatial != {rank}:
            raise ShapeError(
                message(f"malformed {require.op_name}", got=f"{a}, {b}", expected=f"3 axes and {rank} spatial ones")
            )
        if a.dtype != b.dtype or a.dtype.kind != "f":
            raise DTypeError(message(f"malformed {require.op_name}", got=f"{a}, {b}", expected="floats of one dtype"))
        sizes: dict[str, DimLike] = {}
        for letters, operand in zip((AXES[name] for name in _OPERANDS[out]), (a, b), strict=True):
            for letter, n in zip(letters, operand.shape, strict=False):
                if letter in sizes:
                    require.equal(sizes[letter], n, f"{sizes[letter]} to equal {n} in {a} and {b}")
                sizes.setdefault(letter, n)
        return Aval((*[sizes[letter] for letter in AXES[out]], *size), a.dtype)

    return infer


def _derivative(out: str, by: int) -> Callable[..., Any]:
    """The vjp by one operand: the row whose result is that operand, of the cotangent and the other operand."""
    wanted, other = _OPERANDS[out][by], _OPERANDS[out][1 - by]

    def rule(
        ct: Any, result: Any, a: Any, b: Any, strides: Ints, dilations: Ints, low: Ints, size: Shape, guard: str = ""
    ) -> Any:
        operand, rest = (a, b) if by == 0 else (b, a)
        given = {out: ct, other: rest}
        first, second = (given[name] for name in _OPERANDS[wanted])
        attrs: dict[str, Any] = {"strides": strides, "dilations": dilations, "low": low, "size": operand.shape[3:]}
        kept = guard_of_vjp(guard, by)
        attrs |= attrs_of(kept if first is ct else EXCHANGED[kept])
        return with_shape(apply(FORMS[wanted], first, second, **attrs), operand.shape)

    return rule


def _batch(out: str) -> Callable[..., Any]:
    """Samples become more images, or more channels: whatever the operand that has them shares with the result alone.

    Where both operands have them, they become more groups.
    """

    def merged(x: Any, letters: str, into: str) -> Any:
        """The new first axis of `x` as a part of axis `into`, before what that was."""
        place = letters.index(into)
        rank = len(x.shape)
        moved = permute_dims(x, (*range(1, place + 1), 0, *range(place + 1, rank)))
        shape = moved.shape
        return reshape(moved, (*shape[:place], shape[place] * shape[place + 1], *shape[place + 2 :]))

    def rule(how: Batching, a: Any, b: Any, **attrs: Any) -> Any:
        letters = [AXES[name] for name in _OPERANDS[out]]
        if all(how.batched):
            into = "g"
        else:
            own, other = letters if how.batched[0] else letters[::-1]
            (into,) = (set(own) & set(AXES[out])) - set(other)
        operands = [merged(x, s, into) if has else x for x, s, has in zip((a, b), letters, how.batched, strict=True)]
        result = apply(how.op, *operands, **attrs)
        place, shape = AXES[out].index(into), tuple(result.shape)
        batched = next(x for x, has in zip((a, b), how.batched, strict=True) if has)
        position = letters[how.batched.index(True)].index(into)
        apart = reshape(result, (*shape[:place], how.size, batched.shape[1 + position], *shape[place + 1 :]))
        return permute_dims(apart, (place, *range(place), *range(place + 1, len(shape) + 1)))

    return rule


def _sample(out: str, spatial: dict[str, Ints], channels: dict[str, int], **attrs: Any) -> Sample:
    shapes = {name: (*[channels[c] for c in AXES[name]], *spatial[name]) for name in AXES}
    a, b = (Arr(shapes[name]) for name in _OPERANDS[out])
    return Sample((a, b), {**attrs, "size": spatial[out]})


def _row(out: str, numpy: Callable[..., np.ndarray]) -> Op:
    samples: tuple[tuple[dict[str, Ints], dict[str, int], tuple[Ints, Ints, Ints]], ...] = (
        ({"y": (2,), "x": (4,), "w": (3,)}, {"n": 1, "g": 1, "o": 2, "c": 1}, ((1,), (1,), (0,))),
        ({"y": (3,), "x": (4,), "w": (2,)}, {"n": 2, "g": 1, "o": 1, "c": 1}, ((2,), (3,), (1,))),
        ({"y": (2, 2), "x": (3, 4), "w": (2, 1)}, {"n": 1, "g": 1, "o": 1, "c": 1}, ((2, 1), (1, 2), (1, 0))),
        ({"y": (3, 2), "x": (5, 4), "w": (2, 3)}, {"n": 2, "g": 2, "o": 3, "c": 2}, ((2, 1), (1, 2), (0, 1))),
        ({"y": (2, 1, 2), "x": (2, 2, 3), "w": (1, 2, 2)}, {"n": 1, "g": 1, "o": 2, "c": 1}, ((1, 1, 1),) * 3),
        ({"y": (1,), "x": (1,), "w": (1,)}, {"n": 2, "g": 1, "o": 0, "c": 2}, ((1,), (1,), (0,))),
    )
    return Op(
        _NAMES[out],
        _infer(out),
        numpy,
        Convolve(out),
        vjp=(_derivative(out, 0), _derivative(out, 1)),
        jvp=(
            lambda t, result, a, b, **attrs: apply(FORMS[out], t, b, **{**attrs, "guard": BOTH}),
            lambda t, result, a, b, **attrs: apply(FORMS[out], a, t, **{**attrs, "guard": BOTH}),
        ),
        batch=_batch(out),
        sympy=lambda sp, pairs, **attrs: sp.Add(*[a * b for a, b in pairs]),
        samples=(
            *[
                _sample(out, spatial, channels, strides=strides, dilations=dilations, low=low)
                for spatial, channels, (strides, dilations, low) in samples
            ],
            *[
                _sample(out, spatial, channels, strides=strides, dilations=dilations, low=low, guard=guard)
                for guard in ("left", "right", "both")
                for spatial, channels, (strides, dilations, low) in samples[1:2]
            ],
        ),
    )


FORMS: dict[str, Op] = {
    "y": _row("y", _convolved),
    "x": _row("x", _transposed),
    "w": _row("w", _by_weights),
}
"""The row whose result each of y, x and w is."""
CONVOLVE, CONVOLVE_TRANSPOSED, CONVOLVE_WEIGHTS = FORMS.values()
ROWS = (CONVOLVE, CONVOLVE_TRANSPOSED, CONVOLVE_WEIGHTS)
