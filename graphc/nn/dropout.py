"""Dropout (Srivastava and others 2014): elements become 0 at random while training, the others are scaled up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..arguments import bad_argument
from ..eager.core import Tensor as Eager
from ..ir.apply import lift
from ..ir.leaves import Param
from ..ir.owed import Owed
from ..ir.tensor import meaning
from ..ops.creation import zeros_like
from ..ops.elementwise import where
from ..random import Key, bernoulli
from .checks import flag, ill_typed, number
from .forwarding import advance_after
from .init import generator
from .module import Module
from .parameter import RANDOM


def dropout(x: Any, p: float = 0.5, training: bool = True, *, key: Key | None = None) -> Any:
    """While `training`, each element of `x` becomes 0 with probability `p`, and is else divided by 1 - p.

    key   a `gc.random.Key`, which the caller advances: ``updates`` of the step, or ``key.advance()`` in eager code

    What is dropped is 0 also where it was nan or inf, and so is its gradient.
    Raises `InputError` for a probability out of range or no key, `DTypeError` for a tensor of integers.

    >>> import graphc as gc
    >>> x = gc.input("x", ("n",))
    >>> y = gc.nn.dropout(x, 0.5, key=gc.random.Key(0))
    >>> gc.compile([x], y)([1.0, 2.0, 3.0, 4.0])
    array([0., 4., 6., 8.])
    """
    (x,) = lift(x)
    return _dropped("dropout", x, number("dropout", "p", p, 0.0, 1.0), flag("dropout", "training", training), key)


def _dropped(layer: str, x: Any, p: float, training: bool, key: Key | None) -> Any:
    if x.dtype.kind != "f":
        raise ill_typed(layer, "floats", x)
    if not training or p == 0.0:
        return x
    if p == 1.0:
        return zeros_like(x)
    if not isinstance(key, Key):
        hint = "nn.Dropout(p) has a key of its own; else key = gc.random.Key(seed)"
        raise bad_argument(layer, "key", key, "a gc.random.Key", hint)
    with meaning("kept"):
        kept = bernoulli(key, 1.0 - p, tuple(x.shape), like=x)
    with meaning("dropped"):
        return where(kept, x * (1.0 / (1.0 - p)), 0.0)


class Dropping(Module):
    """A module that drops: it draws from a key, which is part of its state, and its steps advance it; see `Dropout`."""

    key: Key | None = None

    def _draw_from(self, source: Any) -> None:
        """Have a key: a `gc.random.Key`, or one whose seed is drawn from a `numpy.random.Generator`."""
        if isinstance(source, Key):
            self.key = source
        else:
            seed, stream = source.integers(2**32, size=2).tolist()
            self.key = Key(seed, stream)
        self.words, self.counter = self.key.words, self.key.counter
        for own in (self.words, self.counter):
            own.state.role = RANDOM  # state of the model, which is not trained

    def _drop(self, layer: str, x: Any, p: float) -> Any:
        """`dropout` of `x` while training, with draws from the key."""
        result = _dropped(layer, x, p, self.training, self.key)
        if self.key is not None and result is not x and 0.0 < p < 1.0:
            if isinstance(x, Eager):
                advance_after(self.key)
            else:
                pending = vars(self).get("_pending")
                if pending is None or pending.asked:
                    pending = vars(self)["_pending"] = Owed(type(self).__name__, (self.key.counter,))
                pending.of(result, result.inputs[0])  # a derivative may need the mask only
        return result

    def own_updates(self) -> Mapping[Param, Any]:
        pending = vars(self).get("_pending")
        if self.key is None or pending is None:
            return {}
        pending.asked = True
        return self.key.updates()


class Dropout(Dropping):
    """`dropout` while training (`Module.train`, the default); evaluating (`Module.eval`) it leaves `x` as it is.

    p        the probability of an element to become 0
    inplace  for PyTorch's sake; the result is a new tensor in any case
    seed     of its key: an int or `numpy.random.Generator`; else `nn.init.manual_seed` decides
    key      a `gc.random.Key` to draw from, instead of one of its own

    Every step drops other elements: the counter of the key is the number of the step. A compiled step must be told,
    ``gc.compile(updates={**trained, **model.updates()})``, or it drops the same ones each time. In eager mode the
    counter goes up when the outermost module that was called returns. So the elements are those of the compiled step.

    The key is in `state_dict`, as ``words`` and ``counter``: a run that is resumed drops what it would have dropped. A
    state without them, such as PyTorch's, leaves the key as it is.

    >>> import graphc as gc
    >>> layer = gc.nn.Dropout(0.25, seed=0)
    >>> layer, layer(gc.eager.ones(6)), int(layer.key.counter.value)
    (Dropout(p=0.25, inplace=False), tensor([1.3333, 1.3333, 1.3333, 0.0000, 1.3333, 1.3333]), 1)
    >>> layer.eval()(gc.eager.ones(3))
    tensor([1., 1., 1.])
    """

    def __init__(self, p: float = 0.5, inplace: bool = False, seed: Any = None, key: Key | None = None):
        self.p = number("Dropout", "p", p, 0.0, 1.0)
        self.inplace = flag("Dropout", "inplace", inplace)
        if key is not None and not isinstance(key, Key):
            raise bad_argument("Dropout", "key", key, "a gc.random.Key")
        self._draw_from(generator(seed) if key is None else key)

    def forward(self, x: Any) -> Any:
        (x,) = lift(x)
        return self._drop(repr(self), x, self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"
