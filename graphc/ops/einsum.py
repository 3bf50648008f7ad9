"""`einsum`: NumPy's index notation, brought to pairwise contractions."""

from __future__ import annotations

import string
from typing import Any, NamedTuple

import numpy as np

from ..errors import ShapeError, count, message, user_line
from ..ir import dims
from ..ir.apply import lift, lift_promoted
from .common import describe
from .linalg import contract_labelled, diagonal_of, sum_same
from .movement import broadcast_to, permute_dims

_UNKNOWN = 100
"""What a runtime size is taken as when the order of contractions is chosen."""


class Labelled(NamedTuple):
    """An operand, and one letter for each of its axes."""

    tensor: Any
    letters: str


def einsum(subscripts: str, /, *operands: Any) -> Any:
    """Sums of products by index notation, as ``numpy.einsum``: ``einsum("ij,jk->ik", x, y)`` is ``x @ y``.

    A letter names an axis; a letter repeated in one operand takes its diagonal; those that the result lacks are
    summed. Without ``->`` the result has the letters that occur once, in alphabetic order. ``...`` stands for axes that
    broadcast, as sizes declared 1 do. More than two operands are contracted in pairs, in an order chosen for the least
    work, runtime sizes taken as 100. Dtypes promote.

    >>> import graphc as gc
    >>> gc.einsum("ij,kj->ik", gc.asarray([[1, 2]]), gc.asarray([[3, 4], [5, 6]])).tolist()
    [[11, 17]]
    """
    if not isinstance(subscripts, str):
        raise _bad(repr(subscripts)[:60], "the subscripts as a string, such as 'ij,jk->ik'")
    given = lift(*operands)
    terms, out = _parse(subscripts, given)
    _check_sizes(subscripts, given, terms)
    parts = [_diagonals(Labelled(x, term)) for x, term in zip(lift_promoted(*operands), terms, strict=True)]
    return _contract_all(parts, out)


def _bad(got: str, expected: str) -> ShapeError:
    return ShapeError(message("bad einsum", got=got, expected=expected, at=user_line(), created=False))


def _parse(subscripts: str, tensors: tuple[Any, ...]) -> tuple[list[str], str]:
    """One letter per axis of every operand, and the letters of the result; ellipses are given letters of their own."""
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    bad = set(text.replace("->", "").replace("...", "")) - set(string.ascii_letters + ",")
    if bad or "->" in right or "," in right or _dots(right) is None or any(_dots(t) is None for t in terms):
        raise _bad(repr(subscripts), "letters, commas, one '->' and at most one '...' in each term")
    if len(terms) != len(tensors):
        raise _bad(
            f"{subscripts!r} with {count(len(tensors), 'operand')}",
            f"as many operands as terms ({len(terms)} before '->')",
        )
    free = [c for c in string.ascii_letters if c not in text]
    extra = [len(x.shape) - len(t.replace("...", "")) for x, t in zip(tensors, terms, strict=True)]
    for x, term, more in zip(tensors, terms, extra, strict=True):
        if more < 0 or (more > 0 and "..." not in term):
            raise _bad(
                f"term {term!r} for {describe(x)}",
                f"one letter for each of its {count(len(x.shape), 'axis', 'axes')}, or '...'",
            )
    widest = max([m for t, m in zip(terms, extra, strict=True) if "..." in t], default=0)
    dots = "".join(free[:widest])
    full = [t.replace("...", dots[len(dots) - m :] if m else "") for t, m in zip(terms, extra, strict=True)]
    if arrow:
        out = right.replace("...", dots)
    else:
        joined = left.replace("...", "").replace(",", "")
        out = dots + "".join(sorted(c for c in set(joined) if joined.count(c) == 1))
    if len(set(out)) != len(out) or not set(out) <= set("".join(full)):
        raise _bad(repr(subscripts), "each letter of the result once, and in some operand")
    return full, out


def _dots(term: str) -> int | None:
    """How many ellipses a term has (0 or 1), or None if it is malformed."""
    count = term.count("...")
    return count if count <= 1 and "." not in term.replace("...", "") else None


def _check_sizes(subscripts: str, tensors: tuple[Any, ...], terms: list[str]) -> None:
    """Sizes under one letter must agree, or be 1."""
    sizes: dict[str, Any] = {}
    for x, term in zip(tensors, terms, strict=True):
        for letter, n in zip(term, x.shape, strict=True):
            seen = sizes.setdefault(letter, n)
            if seen == 1:
                sizes[letter] = n
            elif n != 1 and dims.equal(seen, n) is False:
                raise _bad(
                    f"{subscripts!r} of {describe(*tensors)}", f"equal sizes under '{letter}', not {seen} and {n}"
                )


def _diagonals(part: Labelled) -> Labelled:
    """Each letter once: a repeated one becomes the diagonal of its axes."""
    x, letters = part
    while len(set(letters)) < len(letters):
        c = next(c for c in letters if letters.count(c) > 1)
        i = letters.index(c)
        j = letters.index(c, i + 1)
        m, n = x.shape[i], x.shape[j]
        if dims.equal(m, n) is False:
            raise _bad(f"'{c}' twice in a term for {describe(x)}", f"equal sizes, not {m} and {n}")
        size = n if isinstance(n, int) else m
        x = broadcast_to(x, tuple(size if k in (i, j) else s for k, s in enumerate(x.shape)))
        x = diagonal_of(x, i, j)
        letters = "".join(d for k, d in enumerate(letters) if k not in (i, j)) + c
    return Labelled(x, letters)


def _contract_all(parts: list[Labelled], out: str) -> Any:
    while len(parts) > 1:
        i, j = _next_pair(parts, out)
        x, y = parts[i], parts[j]
        rest = [p for k, p in enumerate(parts) if k not in (i, j)]
        needed = set(out).union(*[set(p.letters) for p in rest])
        kept = "".join(dict.fromkeys(c for c in x.letters + y.letters if c in needed))
        target = out if not rest else kept
        product = contract_labelled("einsum", x.tensor, x.letters, y.tensor, y.letters, target)
        parts = [*rest, Labelled(product, target)]
    ((x, letters),) = parts
    gone = tuple(k for k, c in enumerate(letters) if c not in out)
    x, letters = sum_same(x, gone), "".join(c for c in letters if c in out)
    return permute_dims(x, [letters.index(c) for c in out])


def _next_pair(parts: list[Labelled], out: str) -> tuple[int, int]:
    """The two operands to contract next, by NumPy's greedy order over the known sizes."""
    if len(parts) == 2:
        return 0, 1
    sizes: dict[str, int] = {}
    for letter, n in ((c, n) for p in parts for c, n in zip(p.letters, p.tensor.shape, strict=True)):
        if isinstance(n, int) and n != 1:
            sizes[letter] = n
    shapes = [
        [1 if n == 1 else sizes.get(c, _UNKNOWN) for c, n in zip(p.letters, p.tensor.shape, strict=True)] for p in parts
    ]
    dummies = [np.broadcast_to(0.0, shape) for shape in shapes]
    spec = ",".join(p.letters for p in parts) + "->" + out
    first = np.einsum_path(spec, *dummies, optimize="greedy")[0][1]
    i, j = sorted(first)[:2]
    return i, j


__all__ = ["einsum"]
