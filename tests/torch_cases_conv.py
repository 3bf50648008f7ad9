"""Convolution and pooling as PyTorch computes them: the cases, and the script that stores its values.

``python tests/torch_cases_conv.py`` in an environment with torch writes `tests/fixtures/torch_conv.npz` and
`torch_conv.json` (how layers print). See `torch_cases_nn`, whose format this is.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from torch_cases_nn import FIXTURE as OTHER
from torch_cases_nn import Case, grid, run_torch

FIXTURE = OTHER.with_name("torch_conv.npz")
PRINTED = OTHER.with_name("torch_conv.json")

LINE, PLANE, WIDE = ("normal", (2, 2, 9)), ("normal", (2, 2, 6, 5)), ("normal", (1, 4, 6, 5))
MODES = ("zeros", "reflect", "replicate", "circular")


def _conv(name: str, shape: Any = None, **options: Any) -> Case:
    x = shape or (LINE if name.endswith("1d") else PLANE)
    return Case(
        name, {"in_channels": x[1][-2 - name.endswith("2d")], "out_channels": 2, "kernel_size": 3, **options}, (x,)
    )


CONVOLUTIONS = [
    *[
        _conv(name, **options)
        for name in ("Conv1d", "Conv2d")
        for options in grid(stride=(1, 2), padding=(0, 2), dilation=(1, 2), groups=(1, 2))
    ],
    *[
        _conv(name, padding=padding, padding_mode=mode, dilation=dilation)
        for name in ("Conv1d", "Conv2d")
        for mode in MODES
        for padding, dilation in (("same", 1), ("same", 2), ("valid", 2), (2, 1))
    ],
    *[_conv("Conv2d", kernel_size=(4, 2), padding="same", padding_mode=mode) for mode in MODES],
    _conv("Conv1d", kernel_size=1, bias=False),
    _conv("Conv1d", shape=("normal", (4, 9)), kernel_size=2, stride=3),
    _conv("Conv2d", kernel_size=1),
    _conv("Conv2d", kernel_size=1, stride=2, padding=1),
    _conv("Conv2d", kernel_size=(2, 5), stride=(3, 1), padding=(1, 2), dilation=(2, 1), bias=False),
    _conv("Conv2d", kernel_size=(6, 5)),
    _conv("Conv2d", shape=WIDE, out_channels=6, groups=2),
    _conv("Conv2d", shape=WIDE, out_channels=4, groups=4, padding=1),
    _conv("Conv2d", shape=WIDE, out_channels=8, groups=4, stride=(1, 2), padding=(0, 1), padding_mode="reflect"),
    _conv("Conv2d", shape=("normal", (4, 6, 7)), out_channels=3, padding=1, padding_mode="circular"),
    _conv("Conv2d", shape=("normal", (0, 4, 6, 7))),
    _conv("Conv2d", shape=("normal", (1, 1, 20, 18)), out_channels=7, kernel_size=5, padding=2),
]
TRANSPOSED = [
    *[
        _conv(name, shape=("normal", (2, 2, 4, 3)[: 3 + name.endswith("2d")]), **options)
        for name in ("ConvTranspose1d", "ConvTranspose2d")
        for options in grid(stride=(1, 3), padding=(0, 2), output_padding=(0, 1), dilation=(2,), groups=(1, 2))
    ],
    _conv("ConvTranspose2d", kernel_size=(2, 4), stride=(2, 1), padding=(1, 3), bias=False),
    _conv("ConvTranspose2d", kernel_size=1, stride=1),
    _conv("ConvTranspose2d", kernel_size=2, stride=3, output_padding=(2, 0)),
    _conv("ConvTranspose2d", shape=("normal", (4, 3, 3)), out_channels=4, groups=4, padding=1),
    _conv("ConvTranspose2d", shape=("normal", (1, 4, 3, 3)), out_channels=6, groups=2, stride=2),
    Case(
        "ConvTranspose2d",
        {"in_channels": 4, "out_channels": 6, "kernel_size": 3, "stride": 2, "padding": 1},
        (("normal", (2, 4, 3, 4)),),
        {"output_size": (6, 8)},
    ),
    _conv("ConvTranspose1d", shape=("normal", (4, 5)), stride=2),
]
FUNCTIONS = [
    Case("conv1d", {"stride": 2, "groups": 2}, (("normal", (2, 4, 9)), ("normal", (6, 2, 3)), ("normal", (6,)))),
    Case("conv2d", {"padding": (1, 0)}, (WIDE, ("normal", (3, 4, 2, 3)))),
    Case("conv2d", {"padding": "same", "dilation": 2}, (WIDE, ("normal", (3, 4, 2, 3)), ("normal", (3,)))),
    Case("conv_transpose1d", {"stride": 2}, (("normal", (2, 4, 5)), ("normal", (4, 3, 2)), ("normal", (3,)))),
    Case("conv_transpose2d", {"groups": 2, "padding": 1}, (WIDE, ("normal", (4, 3, 3, 2)), ("normal", (6,)))),
]
TIES = ("given", [[[[1.0, 1.0, 0.0, 2.0], [1.0, 0.0, 2.0, 2.0], [0.0, 0.0, -1.0, -1.0], [0.0, 0.0, -1.0, -1.0]]]])
SMALL = ("normal", (1, 2, 7, 8))
POOLS = [
    *[
        Case(name, {"kernel_size": k, "stride": s, "padding": p, "ceil_mode": ceil, **more}, (x,))
        for name, x in (("MaxPool1d", ("normal", (1, 2, 10))), ("MaxPool2d", SMALL))
        for k, s, p, more in ((2, None, 0, {}), (3, 2, 1, {}), (3, 2, 1, {"dilation": 2}), (2, 3, 1, {}), (3, 1, 0, {}))
        for ceil in (False, True)
    ],
    Case("MaxPool2d", {"kernel_size": (3, 2), "stride": (2, 3), "padding": (1, 0), "dilation": (1, 2)}, (SMALL,)),
    Case("MaxPool2d", {"kernel_size": 2}, (TIES,)),
    Case("MaxPool2d", {"kernel_size": 3, "stride": 1}, (TIES,)),
    Case("MaxPool2d", {"kernel_size": 2, "stride": 1, "padding": 1}, (("normal", (2, 4, 4)),)),
    *[
        Case(name, {"kernel_size": k, "stride": s, "padding": p, "ceil_mode": ceil, "count_include_pad": pad}, (x,))
        for name, x in (("AvgPool1d", ("normal", (1, 2, 10))), ("AvgPool2d", SMALL))
        for k, s, p in ((2, None, 0), (3, 2, 1), (2, 3, 1), (4, 3, 2))
        for ceil in (False, True)
        for pad in (False, True)
    ],
    *[
        Case("AvgPool2d", {"kernel_size": (3, 2), "stride": (2, 1), "divisor_override": 5, "ceil_mode": c}, (SMALL,))
        for c in (False, True)
    ],
    Case("AvgPool2d", {"kernel_size": 3}, (("normal", (2, 6, 7)),)),
    *[Case("AdaptiveAvgPool1d", {"output_size": n}, (("normal", (2, 3, 10)),)) for n in (1, 3, 5, 12)],
    *[
        Case("AdaptiveAvgPool2d", {"output_size": n}, (("normal", (2, 3, 6, 7)),))
        for n in (1, 4, (3, 7), (None, 2), (8, 5))
    ],
    Case("AdaptiveAvgPool2d", {"output_size": 2}, (("normal", (3, 6, 7)),)),
    Case("max_pool1d", {"kernel_size": 2}, (("normal", (2, 2, 7)),)),
    Case("max_pool2d", {"kernel_size": 3, "stride": 2}, (SMALL,)),
    Case("avg_pool1d", {"kernel_size": 2, "padding": 1}, (("normal", (2, 2, 7)),)),
    Case("avg_pool2d", {"kernel_size": 3, "stride": 2, "divisor_override": 4}, (SMALL,)),
    Case("adaptive_avg_pool1d", {"output_size": 3}, (("normal", (2, 2, 7)),)),
    Case("adaptive_avg_pool2d", {"output_size": (2, 3)}, (SMALL,)),
]
CASES = [*CONVOLUTIONS, *TRANSPOSED, *FUNCTIONS, *POOLS]


def main() -> None:
    import torch

    assert len({case.key for case in CASES}) == len(CASES)
    packed = [run_torch(case) for case in CASES]
    np.savez_compressed(FIXTURE, values=np.concatenate(packed), ends=np.cumsum([len(p) for p in packed]))
    layers = [c for c in CASES if c.name[0].isupper()]
    printed = {f"{c.name} {c.options}": repr(getattr(torch.nn, c.name)(**c.options)) for c in layers}
    PRINTED.write_text(json.dumps(printed, indent=1) + "\n")
    print(len(CASES), "cases", FIXTURE.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
