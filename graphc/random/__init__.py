"""Random numbers as pure functions of a key: uniform, normal, bernoulli, randint, permutation; reached as `gc.random`.

The generator is Philox4x32-10 (see `ops.philox`). A `Key` is a seed, a stream and a step counter, held in params. There
is no hidden state in a graph: a draw depends on its key, its number and its shape, so that a run replays bit for bit,
compiled or eager, for any number of threads, and after a checkpoint.

>>> import graphc as gc
>>> key = gc.random.Key(0)
>>> x = gc.input("x", ("n",))
>>> noisy = x + gc.random.normal(key, x.shape, std=0.1)
>>> step = gc.compile([x], noisy, key.updates())
>>> bool((step(np.zeros(3)) == step(np.zeros(3))).any())
False
"""

from typing import TYPE_CHECKING, Any

from ..ops.calls import explain
from ..ops.hints import missing_name
from .draws import bernoulli, normal, permutation, randint, uniform
from .key import Key

__all__ = ["Key", "bernoulli", "normal", "permutation", "randint", "uniform"]

explain(__name__, globals(), __all__)


if not TYPE_CHECKING:  # which knows by itself what is not there

    def __getattr__(name: str) -> Any:
        raise missing_name(__name__, name)
