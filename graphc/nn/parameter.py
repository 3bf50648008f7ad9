"""Params that a module owns: `Parameter`, which is trained, and `Buffer`, which is not (running statistics)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..eager.core import Tensor as Eager
from ..eager.creation import as_array
from ..eager.params import leaf_of
from ..ir.leaves import Param, Role, param


def _parameter_text(own: Param) -> str:
    """As PyTorch prints one: ``Parameter containing:`` and the eager leaf."""
    return f"Parameter containing:\n{leaf_of(own)!r}"


def _buffer_text(own: Param) -> str:
    return repr(leaf_of(own))


PARAMETER = Role("parameter", _parameter_text)
BUFFER = Role("buffer", _buffer_text)
TRANSIENT = Role("buffer that no state_dict has", _buffer_text)
RANDOM = Role("random state", _buffer_text)
"""A buffer that a `state_dict` may lack: PyTorch's have none."""
BUFFERS = (BUFFER, TRANSIENT, RANDOM)


def _data(value: Any) -> np.ndarray:
    """The numbers for a new param: Python floats become float32, all else keeps its dtype."""
    if isinstance(value, Param):
        return value.value
    return value._array if isinstance(value, Eager) else as_array(value, None)


def Parameter(data: Any, requires_grad: bool = True) -> Param:  # noqa: N802 - PyTorch's name
    """A `gc.param` for a module: an attribute, or in a list, tuple or dict there, it is one of `Module.parameters`.

    data           its first value, copied: an array or eager tensor keeps its dtype, Python floats become float32
    requires_grad  whether it is trained; see `Param.trainable`

    Its module gives it its name. Any `gc.param` will do in its place: that keeps the name it was made with.

    >>> from graphc import nn
    >>> nn.Parameter([1.0, 2.0])
    Parameter containing:
    tensor([1., 2.], requires_grad=True)
    """
    return param(_data(data), None, bool(requires_grad), role=PARAMETER)


def Buffer(data: Any, persistent: bool = True) -> Param:  # noqa: N802 - PyTorch's name
    """State of a module that is not trained: one of `Module.buffers`, and where `persistent` of its `state_dict`.

    data  its first value, copied, as `Parameter` takes it

    >>> from graphc import nn
    >>> nn.Buffer([0.0, 0.0])
    tensor([0., 0.])
    """
    return param(_data(data), None, False, role=BUFFER if persistent else TRANSIENT)


def is_buffer(own: Param) -> bool:
    """Whether a module does not train `own`."""
    return own.state.role in BUFFERS
