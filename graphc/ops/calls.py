"""Calls with arguments that a function does not take: the error says which it takes, and which was meant."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FunctionType
from typing import Any, TypeVar

from ..errors import ArgumentError, message, shown, user_line
from .hints import closest

F = TypeVar("F", bound=Callable[..., Any])

_HERE = {
    "dim": ("axis", "axes", "axis1"),
    "dims": ("axis", "axes", "shape"),
    "axis": ("axes", "axis1", "dim"),
    "axes": ("axis",),
    "keepdim": ("keepdims",),
    "ddof": ("correction",),
    "unbiased": ("correction",),
    "size": ("shape",),
    "other": ("y",),
    "rng": ("key",),
    "generator": ("key", "seed"),
    "variables": ("wrt",),
    "argnums": ("wrt",),
    "learning_rate": ("lr",),
    "backend": ("target",),
    "device": ("target",),
    "prob": ("p",),
    "rate": ("p", "lr"),
    "reduce": ("reduction",),
    "requires_grad": ("trainable",),
}
"""What PyTorch, NumPy and JAX call an argument, and what it may be called here, whichever a function has."""


def explained(function: F, name: str, *, makes: bool = False, bound: bool = False) -> F:
    """`function`, which raises an `ArgumentError` where Python has nothing but a bare TypeError for its arguments.

    name    what the error calls it
    makes   whether it is the ``__init__`` of a class of that name
    bound   whether its first argument is not written in the brackets, as that of a method

    Right calls pay for one call of Python's more; the arguments are looked at only when something has gone wrong.

    >>> total = explained(lambda x, /, axis=None: x, "total")
    >>> total(1, axes=0)
    Traceback (most recent call last):
    ...
    graphc.errors.ArgumentError: cannot call total (got an unexpected keyword argument 'axes'): expected \
total(x, /, axis=None)
      at ...
      hint: axes= is axis= here
    """

    @functools.wraps(function)
    def call(*args: Any, **named: Any) -> Any:
        try:
            return function(*args, **named)
        except TypeError:
            refuse_misfit(function, name, args, named, makes=makes, bound=bound)
            raise

    return call  # type: ignore[return-value]


def renamed(given: dict[str, Any], names: Mapping[str, str], name: str) -> dict[str, Any]:
    """The arguments `given` to the function `name`, by what `names` calls them here; not one of them twice."""
    found = {names.get(k, k): v for k, v in given.items()}
    if len(found) < len(given):
        twice = [k for k in given if k in names and names[k] in given]
        raise ArgumentError(
            message(
                f"cannot call {name}",
                got=", ".join(f"{names[k]}= and {k}=" for k in twice),
                expected="one of them: they are the same",
                at=user_line(),
                created=False,
            )
        )
    return found


def explain(face: str, namespace: dict[str, Any], names: Iterable[str]) -> None:
    """Let the public functions and classes of a module, by `names`, explain what they do not take.

    A function is replaced in `namespace`; what is below the face goes on calling it directly. Of a class, the
    ``__init__`` is.
    """
    here, names = face.replace("graphc", "gc", 1), list(names)
    made: dict[Any, Any] = {}  # by function: one with two names stays one
    for name in names:
        member = namespace.get(name)
        if isinstance(member, FunctionType) and member.__globals__ is not globals():
            if member not in made:
                own = member.__name__ if member.__name__ in names else name
                made[member] = explained(member, f"{here}.{own}")
                made[member].__module__ = face  # pickle looks for a function where it says it is, by identity
                made[member].__name__ = made[member].__qualname__ = own
            namespace[name] = made[member]
        elif isinstance(member, type) and member.__module__.startswith("graphc."):
            init = vars(member).get("__init__")
            if isinstance(init, FunctionType) and init.__globals__ is not globals():
                member.__init__ = explained(init, member.__name__, makes=True, bound=True)  # type: ignore[misc]


def refuse_misfit(
    function: Callable[..., Any],
    name: str,
    args: tuple[Any, ...],
    named: Mapping[str, Any],
    *,
    makes: bool = False,
    bound: bool = False,
) -> None:
    """Raise `ArgumentError` if the signature of `function` does not take these arguments; see `explained`."""
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **named)
        return
    except TypeError as error:
        reason = str(error)
    parameters = list(signature.parameters.values())[int(bound) :]
    plain = [p.replace(annotation=p.empty) for p in parameters]
    taken = signature.replace(parameters=plain, return_annotation=signature.empty)
    raise ArgumentError(
        message(
            f"cannot {'make' if makes else 'call'} {name} ({reason})",
            expected=f"{name}{taken}",
            at=user_line(),
            created=False,
            hint=_twice(args[int(bound) :], named, parameters) or _meant(args[int(bound) :], named, parameters),
        )
    ) from None


def _twice(args: Sequence[Any], named: Mapping[str, Any], parameters: Sequence[inspect.Parameter]) -> str:
    """For an argument that is given by position, too: what stands in its place."""
    places = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    for name, value in zip(places, args, strict=False):
        if name in named:
            return f"{name} is argument {places.index(name) + 1}, where there is {shown(value)}"
    return ""


def _meant(args: Sequence[Any], given: Mapping[str, Any], parameters: Sequence[inspect.Parameter]) -> str:
    """For the first name that is unknown: what it is called here, or the name most like it; "" where there is none.

    Of arguments that are too many: what is one tuple, or given by name.
    """
    known = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for name in given:
        if name in known:
            continue
        here = next((own for own in _HERE.get(name, ()) if own in known), "")
        if here:
            return f"{name}= is {here}= here"
        near = closest(name, known)
        return f"did you mean {near}=?" if near else ""
    sizes = [arg for arg in args if isinstance(arg, int)]
    listed = next((name for name in ("shape", "axes", "repeats") if name in known), "")
    if listed and len(sizes) > 1:
        return f"{listed} is one argument, a tuple: {tuple(sizes)}"
    by_name = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    places = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    return f"what stands behind * is given by name: {by_name[-1]}=..." if by_name and len(args) > places else ""
