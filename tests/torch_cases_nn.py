"""Layers and losses as PyTorch computes them: the cases, and the script that stores its values.

``python tests/torch_cases_nn.py`` in an environment with torch writes `tests/fixtures/torch_nn.npz` and `torch_nn.json`
(how modules print); the tests read those and need no torch. Inputs, parameters and cotangents are drawn from the name
of the case, so only results are stored: outputs, then gradients of inputs and parameters.
"""

from __future__ import annotations

import itertools
import json
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

FIXTURE = Path(__file__).parent / "fixtures" / "torch_nn.npz"
PRINTED = Path(__file__).parent / "fixtures" / "torch_nn.json"


class Case(NamedTuple):
    """One call.

    name     of the module class, or of the function where it is lower case
    options  its arguments, by name
    inputs   of the call, by position: ("normal", shape), ("uniform", shape), ("classes", shape, count) ...
    call     further arguments of the call, by name: inputs, or values
    mode     "train" or "eval"; for batch norm also how many batches it has seen before
    """

    name: str
    options: dict[str, Any]
    inputs: tuple[Any, ...]
    call: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it
    mode: str = "train"

    @property
    def key(self) -> str:
        return repr(tuple(self))


def grid(**axes: tuple[Any, ...]) -> list[dict[str, Any]]:
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def array(spec: Any, rng: np.random.Generator) -> Any:
    """The value that stands for an input."""
    if not (isinstance(spec, tuple) and spec and isinstance(spec[0], str)):
        return spec
    kind, shape, *more = spec
    if kind == "given":
        return np.array(shape)
    if kind == "normal":
        return rng.standard_normal(shape) * (more[0] if more else 1.5)
    if kind == "uniform":
        return rng.uniform(0.05, 0.95, shape)
    if kind == "simplex":
        values = rng.uniform(0.1, 1.0, shape)
        return values / values.sum(axis=1 if len(shape) > 1 else 0, keepdims=True)
    if kind == "logs":
        return np.log(rng.uniform(0.05, 0.95, shape))
    if kind == "sorted":  # values on both sides of everything that has a bend
        return np.linspace(-4.0, 4.0, int(np.prod(shape))).reshape(shape) * (more[0] if more else 1.0) + 0.013
    if kind == "classes":
        return rng.integers(0, more[0], shape)
    if kind == "ignoring":
        return np.where(rng.uniform(size=shape) < 0.4, more[1], rng.integers(0, more[0], shape))
    if kind == "mask":
        found = rng.uniform(size=shape) < 0.3
        found[..., 0] = False
        return found
    raise ValueError(kind)


def seeded(case: Case) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(case.key.encode()))


def values_of(case: Case, rng: np.random.Generator) -> tuple[dict[str, Any], list[Any], dict[str, Any]]:
    """Options, inputs and further arguments, as arrays where they are some."""
    options = {k: array(v, rng) for k, v in case.options.items()}
    inputs = [tuple(array(s, rng) for s in v) if isinstance(v, list) else array(v, rng) for v in case.inputs]
    return options, inputs, {k: array(v, rng) for k, v in case.call.items()}


def parameter(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """What stands for a parameter or buffer of this name."""
    if name.endswith("num_batches_tracked"):
        return np.asarray(3)
    if name.endswith("running_var"):
        return rng.uniform(0.5, 2.0, shape)
    return rng.standard_normal(shape) * 0.6


X = ("normal", (4, 5))
ROW = ("sorted", (40,))
ACTIVATIONS = [
    Case("ReLU", {}, (ROW,)),
    Case("Sigmoid", {}, (ROW,)),
    Case("LogSigmoid", {}, (ROW,)),
    Case("Tanh", {}, (ROW,)),
    Case("SiLU", {}, (ROW,)),
    *[Case("LeakyReLU", o, (ROW,)) for o in ({}, *grid(negative_slope=(0.3, -0.5)))],
    *[Case("ELU", o, (ROW,)) for o in ({}, *grid(alpha=(0.4, 2.0)))],
    *[Case("GELU", o, (ROW,)) for o in ({}, *grid(approximate=("none", "tanh")))],
    *[Case("Softplus", o, (("sorted", (40,), 10.0),)) for o in ({}, *grid(beta=(0.5, 2.0), threshold=(3.0, 20.0)))],
    *[Case("Hardtanh", o, (ROW,)) for o in ({}, *grid(min_val=(-2.0, 0.0), max_val=(0.5, 3.0)))],
    Case("Hardtanh", {}, (("given", [-1.0, 1.0, 0.0]),)),
    *[Case(n, {"dim": d}, (("normal", (2, 3, 4)),)) for n in ("Softmax", "LogSoftmax") for d in (0, 1, -1)],
]
LINEAR = [
    *[Case("Linear", {"in_features": 5, "out_features": 3, **o}, (X,)) for o in grid(bias=(True, False))],
    *[Case("Linear", {"in_features": 5, "out_features": 1}, (("normal", s),)) for s in ((5,), (1, 5), (2, 3, 5))],
    *[Case("Flatten", o, (("normal", (2, 3, 4, 5)),)) for o in ({}, *grid(start_dim=(0, 2), end_dim=(2, -1)))],
]
PAIRS = {
    "mse_loss": [{}],
    "l1_loss": [{}],
    "smooth_l1_loss": [{}, {"beta": 0.4}, {"beta": 0.0}],
    "huber_loss": [{}, {"delta": 0.3}],
}
REDUCTIONS = ("mean", "sum", "none")
BINARY = grid(reduction=REDUCTIONS, weight=(None, ("uniform", (4, 5))))
LOSSES = [
    *[
        Case(name, {**o, "reduction": r}, (X, ("normal", (4, 5))))
        for name, found in PAIRS.items()
        for o in found
        for r in REDUCTIONS
    ],
    Case("mse_loss", {}, (("normal", ()), ("normal", ()))),
    *[Case("binary_cross_entropy", o, (("uniform", (4, 5)), ("uniform", (4, 5)))) for o in BINARY],
    Case("binary_cross_entropy", {}, (("uniform", (2, 2)), ("given", [[0.0, 1.0], [1.0, 0.0]]))),
    *[
        Case("binary_cross_entropy_with_logits", {**o, "pos_weight": p}, (("normal", (4, 5), 4.0), ("uniform", (4, 5))))
        for o in BINARY
        for p in (None, ("uniform", (5,)))
    ],
    *[
        Case("kl_div", {"reduction": r, "log_target": log}, (("logs", (4, 5)), ("logs" if log else "simplex", (4, 5))))
        for r in (*REDUCTIONS, "batchmean")
        for log in (False, True)
    ],
]
CLASSES = [
    *[
        Case(name, {**o, **smoothing}, (("normal", (6, 4)), ("ignoring", (6,), 4, o.get("ignore_index", -100))))
        for name in ("cross_entropy", "nll_loss")
        for o in (
            *grid(reduction=REDUCTIONS, weight=(None, ("uniform", (4,)))),
            {"ignore_index": 2, "weight": ("uniform", (4,))},
            {"ignore_index": -1, "reduction": "none"},
        )
        for smoothing in (({}, {"label_smoothing": 0.2}) if name == "cross_entropy" else ({},))
    ],
    *[
        Case(name, {"reduction": r, "weight": w}, (("normal", (2, 3, 2, 2)), ("classes", (2, 2, 2), 3)))
        for name in ("cross_entropy", "nll_loss")
        for r in ("mean", "none")
        for w in (None, ("uniform", (3,)))
    ],
    *[Case(name, {}, (("normal", (4,)), ("classes", (), 4))) for name in ("cross_entropy", "nll_loss")],
    *[
        Case("cross_entropy", {**o, "label_smoothing": s}, (("normal", (3, 4, 2)), ("simplex", (3, 4, 2))))
        for o in grid(reduction=REDUCTIONS, weight=(None, ("uniform", (4,))))
        for s in (0.0, 0.3)
    ],
    Case("cross_entropy", {"label_smoothing": 1.0}, (("normal", (5,)), ("simplex", (5,)))),
]
LOSS_LAYERS = [
    *[Case(n, {"reduction": "sum"}, (X, ("normal", (4, 5)))) for n in ("MSELoss", "L1Loss", "SmoothL1Loss")],
    Case("HuberLoss", {"delta": 0.7}, (X, ("normal", (4, 5)))),
    Case("SmoothL1Loss", {"beta": 0.7}, (X, ("normal", (4, 5)))),
    Case("NLLLoss", {"ignore_index": 1}, (("logs", (6, 4)), ("classes", (6,), 4))),
    Case("CrossEntropyLoss", {"label_smoothing": 0.1}, (("normal", (6, 4)), ("classes", (6,), 4))),
    Case("BCELoss", {"reduction": "none"}, (("uniform", (4, 5)), ("uniform", (4, 5)))),
    Case("BCEWithLogitsLoss", {}, (X, ("uniform", (4, 5)))),
    Case("KLDivLoss", {"reduction": "batchmean"}, (("logs", (4, 5)), ("simplex", (4, 5)))),
]
NORMS = [
    *[
        Case(name, {"num_features": 3, **o}, (("normal", shape),), mode=mode)
        for name, shape in (("BatchNorm1d", (4, 3)), ("BatchNorm1d", (2, 3, 5)), ("BatchNorm2d", (2, 3, 2, 4)))
        for mode in ("train", "eval")
        for o in (
            {},
            *grid(momentum=(None, 0.3), affine=(True, False), track_running_stats=(True,)),
            {"eps": 0.1, "track_running_stats": False},
        )
    ],
    *[
        Case("LayerNorm", {"normalized_shape": last, **o}, (("normal", (2, 3, 4)),))
        for last in (4, (4,), (3, 4))
        for o in ({}, {"elementwise_affine": False}, {"bias": False, "eps": 0.1})
    ],
    *[
        Case("GroupNorm", {"num_groups": g, "num_channels": 6, **o}, (("normal", shape),))
        for g, o in ((1, {}), (3, {"affine": False}), (6, {"eps": 0.2}), (2, {}))
        for shape in ((3, 6, 4), (2, 6, 2, 3))
    ],
    Case("GroupNorm", {"num_groups": 2, "num_channels": 6}, (("normal", (3, 6)),)),
]
ROWS = ("classes", (2, 4), 5)
EMBEDDINGS = [
    Case("Embedding", {"num_embeddings": 5, "embedding_dim": 3, **o}, (rows,))
    for o in ({}, {"padding_idx": 1}, {"padding_idx": -1})
    for rows in (ROWS, ("classes", (6,), 5), ("classes", (), 5))
]
L, S, N, E = 3, 4, 2, 6
ATTENTION = [
    Case("MultiheadAttention", {"embed_dim": E, "num_heads": h, **o}, (q, k, v), call)
    for h, o, (q, k, v), call in (
        (1, {}, [("normal", (n, N, E)) for n in (L, S, S)], {}),
        (3, {"bias": False}, [("normal", (n, N, E)) for n in (L, S, S)], {"average_attn_weights": False}),
        (2, {"batch_first": True}, [("normal", (N, n, E)) for n in (L, S, S)], {"key_padding_mask": ("mask", (N, S))}),
        (2, {"batch_first": True}, [("normal", (N, n, E)) for n in (L, S, S)], {"attn_mask": ("mask", (L, S))}),
        (2, {}, [("normal", (n, N, E)) for n in (L, S, S)], {"attn_mask": ("normal", (L, S)), "need_weights": False}),
        (2, {}, [("normal", (n, N, E)) for n in (L, S, S)], {"attn_mask": ("mask", (N * 2, L, S))}),
        (
            3,
            {},
            [("normal", (n, N, E)) for n in (L, S, S)],
            {"attn_mask": ("mask", (L, S)), "key_padding_mask": ("mask", (N, S))},
        ),
        (2, {"kdim": 5, "vdim": 7}, [("normal", (n, N, e)) for n, e in ((L, E), (S, 5), (S, 7))], {}),
        (2, {"kdim": 5}, [("normal", (n, e)) for n, e in ((L, E), (S, 5), (S, E))], {}),
        (2, {}, [("normal", (n, E)) for n in (L, S, S)], {"key_padding_mask": ("mask", (S,))}),
    )
]
QKV = (("normal", (2, 3, 4)), ("normal", (2, 5, 4)), ("normal", (2, 5, 3)))
DOT_PRODUCT = [
    Case("scaled_dot_product_attention", o, QKV)
    for o in (
        {},
        {"scale": 0.3},
        {"is_causal": True},
        {"attn_mask": ("given", np.tri(3, 5, 1, dtype=bool).tolist())},
        {"attn_mask": ("normal", (3, 5))},
    )
]
SEQUENCE = ("normal", (3, 2, 4))
STATES = {"RNN": 1, "LSTM": 2, "GRU": 1}


def _first(name: str, count: int, batch: tuple[int, ...] = (2,)) -> Any:
    state = ("normal", (count, *batch, 3), 0.7)
    return [state, state] if name == "LSTM" else state


RECURRENT = [
    *[
        Case(name, {"input_size": 4, "hidden_size": 3, **o}, (SEQUENCE, *more))
        for name in STATES
        for o, more in (
            ({}, ()),
            ({"bias": False, "batch_first": True}, (_first(name, 1, (3,)),)),
            ({"num_layers": 2, "bidirectional": True}, (_first(name, 4),)),
        )
    ],
    *[Case(n, {"input_size": 4, "hidden_size": 3}, (("normal", (3, 4)), _first(n, 1, ()))) for n in STATES],
    Case("RNN", {"input_size": 4, "hidden_size": 3, "nonlinearity": "relu"}, (SEQUENCE,)),
]
CASES = [
    *ACTIVATIONS, *LINEAR, *LOSSES, *CLASSES, *LOSS_LAYERS, *NORMS, *EMBEDDINGS, *ATTENTION, *DOT_PRODUCT, *RECURRENT,
]  # fmt: skip

PRINTS = """
nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10, bias=False), nn.LogSoftmax(dim=1))
nn.Sequential()
nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 3), nn.ReLU(), nn.ReLU()])
nn.ModuleList()
nn.ModuleDict({"a": nn.Sequential(nn.Tanh(), nn.Sequential(nn.Sigmoid())), "b": nn.Identity()})
nn.ReLU(inplace=True)
nn.LeakyReLU(0.2, inplace=True)
nn.MultiheadAttention(8, 2, batch_first=True)
nn.LSTM(3, 4, 2, bias=False, batch_first=True, bidirectional=True)
nn.RNN(3, 4, nonlinearity="relu")
nn.Embedding(5, 3, padding_idx=-1)
nn.Linear(3, 2).requires_grad_(False).bias.requires_grad
nn.Linear(3, 2).eval().training
sorted(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.GRU(2, 2, bidirectional=True)).state_dict())
[n for n, _ in nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.MultiheadAttention(2, 1)).named_parameters()]
[n for n, _ in nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU(), nn.Tanh())).named_modules()]
list(nn.MultiheadAttention(4, 2, kdim=3).state_dict())
""".strip().split("\n")
"""Expressions that print alike here and there."""


def run_torch(case: Case) -> np.ndarray:
    """Outputs, gradients of inputs and of parameters, and new buffers, one after the other."""
    import torch

    rng = seeded(case)
    options, inputs, call = values_of(case, rng)
    tensors = [
        tuple(torch.tensor(a, requires_grad=True) for a in v)
        if isinstance(v, tuple)
        else torch.tensor(v, requires_grad=v.dtype.kind == "f")
        for v in (v if isinstance(v, tuple) else np.asarray(v) for v in inputs)
    ]
    given = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in {**options, **call}.items()}
    module = None
    if case.name[0].isupper():
        module = getattr(torch.nn, case.name)(**{k: given[k] for k in options}).double()
        state = {n: torch.tensor(parameter(n, tuple(t.shape), rng)) for n, t in module.state_dict().items()}
        module.load_state_dict(state)
        module.train(case.mode == "train")
        result = module(*tensors, **{k: given[k] for k in call})
    else:
        result = getattr(torch.nn.functional, case.name)(*tensors, **given)
    outputs = [o for o in flat(result) if o is not None]
    torch.autograd.backward(outputs, [torch.tensor(cotangent(k, tuple(o.shape))) for k, o in enumerate(outputs)])
    leaves = [t for t in flat(tensors) if t.requires_grad]
    found = [*outputs, *[t.grad if t.grad is not None else torch.zeros_like(t) for t in leaves]]
    if module is not None:
        found += [p.grad for p in module.parameters()] + list(module.buffers())
    return np.concatenate([np.asarray(f.detach().numpy(), np.float64).ravel() for f in found])


def cotangent(k: int, shape: tuple[int, ...]) -> np.ndarray:
    """What the gradient of output `k` starts from."""
    return np.random.default_rng(1000 + k).standard_normal(shape)


def flat(value: Any) -> list[Any]:
    return [x for v in value for x in flat(v)] if isinstance(value, (tuple, list)) else [value]


def main() -> None:
    import torch

    assert len({case.key for case in CASES}) == len(CASES)
    packed = [run_torch(case) for case in CASES]
    ends = np.cumsum([len(p) for p in packed])
    FIXTURE.parent.mkdir(exist_ok=True)
    np.savez_compressed(FIXTURE, values=np.concatenate(packed), ends=ends)
    space = {"nn": torch.nn}
    printed = {text: repr(eval(text, space)) for text in PRINTS}
    printed |= {
        f"{c.name} {c.options}": repr(getattr(torch.nn, c.name)(**c.options))
        for c in CASES
        if c.name[0].isupper() and not any(isinstance(v, tuple) and isinstance(v[0], str) for v in c.options.values())
    }
    PRINTED.write_text(json.dumps(printed, indent=1) + "\n")
    print(len(CASES), "cases", FIXTURE.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
