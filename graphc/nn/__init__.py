"""`gc.nn`: modules, layers and losses in PyTorch's names, arguments and defaults, built of public functions.

A model is traced into a graph, or run eagerly, by the same code:

>>> import graphc as gc
>>> from graphc import nn
>>> model = nn.Sequential(nn.Linear(4, 8, seed=0), nn.ReLU(), nn.Linear(8, 3, seed=1))
>>> x, t = gc.input("x", ("n", 4), "float32"), gc.input("t", ("n",), "int64")
>>> loss = nn.cross_entropy(model(x), t)
>>> params = list(model.parameters())
>>> updates = {p: p - 0.1 * g for p, g in zip(params, gc.grad(loss, params), strict=True)}
>>> step = gc.compile([x, t], loss, updates)
>>> nn.cross_entropy(model(gc.eager.ones(2, 4)), gc.eager.tensor([0, 2])).backward()
>>> model[0].weight.grad.shape
(8, 4)

Layers compute in float32 unless made with ``dtype="float64"``, or converted with ``model.to("float64")``.
"""

from typing import TYPE_CHECKING, Any

from ..ops.hints import missing_name
from . import functional, init
from .activations import (
    ELU,
    GELU,
    Hardtanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from .attention import MultiheadAttention
from .containers import ModuleDict, ModuleList, Sequential
from .conv import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d
from .dropout import Dropout
from .embedding import Embedding
from .functional import *  # noqa: F403 - the functions, which functional lists
from .linear import Flatten, Identity, Linear
from .loss_layers import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
)
from .module import Module
from .norms import BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm
from .parameter import Buffer, Parameter
from .pooling import AdaptiveAvgPool1d, AdaptiveAvgPool2d, AvgPool1d, AvgPool2d, MaxPool1d, MaxPool2d
from .recurrent import GRU, LSTM, RNN

__all__ = [
    "ELU",
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AvgPool1d",
    "AvgPool2d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Buffer",
    "Conv1d",
    "Conv2d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "Flatten",
    "GroupNorm",
    "Hardtanh",
    "HuberLoss",
    "Identity",
    "KLDivLoss",
    "L1Loss",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSigmoid",
    "LogSoftmax",
    "MSELoss",
    "MaxPool1d",
    "MaxPool2d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "MultiheadAttention",
    "NLLLoss",
    "Parameter",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "Softmax",
    "Softplus",
    "Tanh",
    "functional",
    "init",
    *functional.__all__,
]


if not TYPE_CHECKING:  # which knows by itself what is not there

    def __getattr__(name: str) -> Any:
        raise missing_name(__name__, name)
