"""`RNN`, `LSTM` and `GRU` over sequences of a fixed length: the recurrence is unrolled, a step after the other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arguments import bad_argument, whole
from ..ir.apply import lift
from ..ops.creation import filled
from ..ops.joining import concat, stack
from ..ops.movement import permute_dims
from ..ops.piecewise import relu
from ..ops.rearranging import expand_dims, squeeze
from ..ops.special import sigmoid
from ..ops.trigonometry import tanh
from . import init
from .checks import choice, flag, float_of, has_rank, has_size, ill_shaped, ill_typed, number, together
from .dropout import Dropping
from .linear import linear
from .parameter import Parameter

State = tuple[Any, ...]


class Recurrent(Dropping):
    """What the recurrent layers have in common: stacked layers, one direction or both, and their parameters.

    input_size     features of a row of `x`
    hidden_size    features of the state and of the result (twice that, where `bidirectional`)
    num_layers     layers, each of which takes what the one before gave
    batch_first    [batch, length, features] instead of [length, batch, features]; without a batch [length, features]
    bidirectional  a second recurrence goes backwards; the results are joined
    dropout        while training, the probability of each element that a layer gives to the next one to become 0, as
                   `Dropout` has it: the others are scaled up. What the last layer gives is not dropped
    seed           of the first values, then of the key where there is `dropout`

    The length must be known while a graph is built. Parameters, called as in PyTorch: ``weight_ih_l0`` [gates *
    hidden, input], ``weight_hh_l0`` [gates * hidden, hidden], ``bias_ih_l0``, ``bias_hh_l0``, then ``_reverse`` ones,
    then those of ``l1``; at first uniform in +-1 / sqrt(hidden_size).

    With dropout there is a key to draw from, and what `Dropout` says holds: its counter is the number of the step, a
    compiled step advances it by ``model.updates()``, and `state_dict` has its ``words`` and ``counter``.

    Raises `InputError` for dropout with one layer, after which nothing comes.
    """

    _GATES = 1
    _STATES = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        dtype: Any = "float32",
        seed: Any = None,
    ):
        name = type(self).__name__
        self.input_size, self.hidden_size = (
            whole(name, "input_size", input_size),
            whole(name, "hidden_size", hidden_size),
        )
        self.num_layers, self.bias = whole(name, "num_layers", num_layers), flag(name, "bias", bias)
        self.batch_first = flag(name, "batch_first", batch_first)
        self.bidirectional = flag(name, "bidirectional", bidirectional)
        self.dropout = number(name, "dropout", dropout, 0.0, 1.0)
        if self.dropout and self.num_layers == 1:
            hint = f"it drops between layers: nn.Dropout({dropout}) drops what {name} gives"
            raise bad_argument(name, "dropout", dropout, "0 for num_layers = 1", hint)
        given, stream = float_of(name, dtype), init.generator(seed)
        bound, rows = 1.0 / math.sqrt(self.hidden_size), self._GATES * self.hidden_size
        for layer in range(self.num_layers):
            into = self.input_size if layer == 0 else self.hidden_size * len(self._suffixes())
            for suffix in self._suffixes():
                shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, into), "weight_hh": (rows, self.hidden_size)}
                if self.bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                for kind, shape in shapes.items():
                    values = init.uniform_(np.empty(shape, given), -bound, bound, stream)
                    setattr(self, f"{kind}_l{layer}{suffix}", Parameter(values))
        if self.dropout:
            self._draw_from(stream)

    def _suffixes(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)

    def cell(self, projected: Any, state: State, recurrent: Any) -> State:
        """The state after one more row, of which `projected` is the product with the input weights.

        recurrent  the product of the hidden state with the recurrent weights
        """
        raise NotImplementedError

    def _run(self, x: Any, hx: State | None) -> tuple[Any, State]:
        """The result and the last states, [layers * directions, batch, hidden] each."""
        (x,) = lift(x)
        has_rank(repr(self), x, 2, 3)
        batched = len(x.shape) == 3
        x = has_size(repr(self), x, -1, self.input_size, "input_size")
        x = expand_dims(x, axis=1) if not batched else permute_dims(x, (1, 0, 2)) if self.batch_first else x
        if not isinstance(x.shape[0], int) or x.shape[0] < 1:
            hint = "declare the length as an int: gc.input('x', (length, 'batch', features))"
            raise ill_shaped(repr(self), "a length that is known while building, at least 1", x, hint=hint)
        first = self._first(x, hx, batched)
        last: list[State] = []
        for layer in range(self.num_layers):
            x = self._drop(repr(self), x, self.dropout) if layer else x
            outs = []
            for suffix in self._suffixes():
                rows, state = self._direction(x, f"l{layer}{suffix}", first[len(last)], suffix != "")
                outs.append(rows)
                last.append(state)
            x = outs[0] if len(outs) == 1 else concat(outs, axis=-1)
        finals = [stack(list(parts), axis=0) for parts in zip(*last, strict=True)]
        if not batched:
            return squeeze(x, axis=1), tuple(squeeze(f, axis=1) for f in finals)
        return permute_dims(x, (1, 0, 2)) if self.batch_first else x, tuple(finals)

    def _direction(self, x: Any, name: str, state: State, backwards: bool) -> tuple[Any, State]:
        """One layer in one direction: all rows, and the last state."""
        own = [getattr(self, f"{kind}_{name}", None) for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        x, into, recurrent, bias_into, bias_recurrent = together(repr(self), x, *own)
        projected = linear(x, into, bias_into)
        length = x.shape[0]
        rows: list[Any] = [None] * length
        for t in reversed(range(length)) if backwards else range(length):
            state = self.cell(projected[t], state, linear(state[0], recurrent, bias_recurrent))
            rows[t] = state[0]
        return stack(rows, axis=0), state

    def _first(self, x: Any, hx: State | None, batched: bool) -> list[State]:
        """The states that the layers and directions start from: zeros, unless given."""
        count = self.num_layers * len(self._suffixes())
        batch, hidden = x.shape[1], self.hidden_size
        if hx is None:
            zeros = filled((batch, hidden), 0.0, x.dtype, beside=(x,))
            return [(zeros,) * self._STATES] * count
        given = lift(*hx, beside=(x,))
        full = []
        for state in given:
            name = f"the state of {self!r}"
            if state.dtype != x.dtype:
                raise ill_typed(name, f"the dtype of x, {x.dtype}", state)
            state = has_rank(name, state, 3 if batched else 2)
            state = has_size(name, has_size(name, state, 0, count, "layers * directions"), -1, hidden, "hidden_size")
            full.append(has_size(name, state, 1, batch, "the batch of x") if batched else expand_dims(state, axis=1))
        return [tuple(state[k] for state in full) for k in range(count)]

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        text += f", num_layers={self.num_layers}" if self.num_layers != 1 else ""
        text += ", bias=False" if not self.bias else ""
        text += ", batch_first=True" if self.batch_first else ""
        text += f", dropout={self.dropout}" if self.dropout else ""
        return text + (", bidirectional=True" if self.bidirectional else "")


class RNN(Recurrent):
    """``h = tanh(W_ih x + b_ih + W_hh h + b_hh)`` (Elman 1990); see `Recurrent` for arguments and shapes.

    nonlinearity  "tanh" or "relu"

    >>> from graphc import eager, nn
    >>> y, h = nn.RNN(3, 4)(eager.zeros(5, 2, 3))
    >>> y.shape, h.shape
    ((5, 2, 4), (1, 2, 4))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        dtype: Any = "float32",
        seed: Any = None,
    ):
        self.nonlinearity = choice("RNN", "nonlinearity", nonlinearity, ("tanh", "relu"))
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype=dtype, seed=seed
        )

    def forward(self, x: Any, hx: Any = None) -> tuple[Any, Any]:
        """The result, and the last state [layers * directions, batch, hidden]; `hx` is the first one, 0 by default."""
        y, (h,) = self._run(x, None if hx is None else (hx,))
        return y, h

    def cell(self, projected: Any, state: State, recurrent: Any) -> State:
        total = projected + recurrent
        return (relu(total) if self.nonlinearity == "relu" else tanh(total),)


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997); see `Recurrent` for arguments and shapes.

    With gates i, f, g, o from the rows of the weights: ``c = sigmoid(f) * c + sigmoid(i) * tanh(g)``,
    ``h = sigmoid(o) * tanh(c)``.

    >>> from graphc import eager, nn
    >>> lstm = nn.LSTM(3, 4, num_layers=2, batch_first=True)
    >>> y, (h, c) = lstm(eager.zeros(2, 5, 3))
    >>> lstm, y.shape, h.shape, c.shape
    (LSTM(3, 4, num_layers=2, batch_first=True), (2, 5, 4), (2, 2, 4), (2, 2, 4))

    With dropout, a compiled step advances the key by the module's `updates`:

    >>> import numpy as np
    >>> import graphc as gc
    >>> lstm = nn.LSTM(3, 4, num_layers=2, dropout=0.5)
    >>> x = gc.input("x", (5, "n", 3), "float32")
    >>> y, _ = lstm(x)
    >>> step = gc.compile([x], gc.sum(y), lstm.updates())
    >>> zeros = np.zeros((5, 2, 3), "float32")
    >>> bool(step(zeros) == step(zeros)), int(lstm.counter.value)
    (False, 2)
    """

    _GATES = 4
    _STATES = 2

    def forward(self, x: Any, hx: tuple[Any, Any] | None = None) -> tuple[Any, tuple[Any, Any]]:
        """The result, and the last (h, c), [layers * directions, batch, hidden] each; `hx` is the first pair, or 0."""
        if hx is not None and not (isinstance(hx, (tuple, list)) and len(hx) == 2):
            raise bad_argument("LSTM", "hx", hx, "a pair (h, c)")
        y, (h, c) = self._run(x, None if hx is None else tuple(hx))
        return y, (h, c)

    def cell(self, projected: Any, state: State, recurrent: Any) -> State:
        n, gates = self.hidden_size, projected + recurrent
        i, f, g, o = (gates[:, k * n : (k + 1) * n] for k in range(4))
        c = sigmoid(f) * state[1] + sigmoid(i) * tanh(g)
        return sigmoid(o) * tanh(c), c


class GRU(Recurrent):
    """Gated recurrent unit (Cho and others 2014); see `Recurrent` for arguments and shapes.

    With gates r, z, n: ``n = tanh(n_ih + sigmoid(r) * n_hh)``, ``h = (1 - sigmoid(z)) * n + sigmoid(z) * h``.

    >>> from graphc import eager, nn
    >>> y, h = nn.GRU(3, 4, bidirectional=True)(eager.zeros(5, 2, 3))
    >>> y.shape, h.shape
    ((5, 2, 8), (2, 2, 4))
    """

    _GATES = 3

    def forward(self, x: Any, hx: Any = None) -> tuple[Any, Any]:
        """The result, and the last state [layers * directions, batch, hidden]; `hx` is the first one, 0 by default."""
        y, (h,) = self._run(x, None if hx is None else (hx,))
        return y, h

    def cell(self, projected: Any, state: State, recurrent: Any) -> State:
        n = self.hidden_size
        (xr, xz, xn), (hr, hz, hn) = ([p[:, k * n : (k + 1) * n] for k in range(3)] for p in (projected, recurrent))
        z = sigmoid(xz + hz)
        return ((1.0 - z) * tanh(xn + sigmoid(xr + hr) * hn) + z * state[0],)
