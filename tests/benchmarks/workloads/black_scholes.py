"""A million European calls: the sum of their prices and its five partial derivatives, in float32 and in float64.

Every option has its own spot, strike, rate, volatility and time. The price of all is one number, so that a step reads
five arrays and writes five (40 MB in float32). The derivatives come from automatic differentiation; the NumPy way has
their closed forms (Black, Scholes 1973).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import erf

from .. import peers
from ..workload import Data, Run, Way, Workload, by_hand, reference_of

ROOT = 2**-0.5
NAMES = ["spot", "strike", "rate", "vol", "time"]


def data(options: int = 1_000_000, dtype: str = "float32") -> Data:
    rng = np.random.default_rng(0)
    ranges = {"spot": (50, 150), "strike": (50, 150), "rate": (0.01, 0.05), "vol": (0.1, 0.5), "time": (0.2, 2)}
    return {k: rng.uniform(*v, options).astype(dtype) for k, v in ranges.items()}


def total_price(m: Any, spot: Any, strike: Any, rate: Any, vol: Any, time: Any) -> Any:
    deviation = vol * m.sqrt(time)
    d1 = (m.log(spot / strike) + (rate + 0.5 * vol * vol) * time) / deviation
    d2 = d1 - deviation
    discounted = strike * m.exp(-rate * time)
    return m.sum(spot * (0.5 + 0.5 * m.erf(d1 * ROOT)) - discounted * (0.5 + 0.5 * m.erf(d2 * ROOT)))


def with_graphc(dtype: str) -> Way:
    def way(data: Data, threads: int) -> Run:
        import graphc as gc

        options = [gc.input(name, ("n",), dtype) for name in NAMES]
        value = total_price(gc, *options)
        step = gc.compile(options, [value, *gc.grad(value, options)], threads=threads, name="black scholes")
        return Run(step, [data[name] for name in NAMES])

    return way


def closed_form(spot: Any, strike: Any, rate: Any, vol: Any, time: Any) -> Any:
    root = np.sqrt(time)
    d1 = (np.log(spot / strike) + (rate + 0.5 * vol * vol) * time) / (vol * root)
    phi1, phi2 = (0.5 + 0.5 * erf(d * ROOT) for d in (d1, d1 - vol * root))
    discounted = strike * np.exp(-rate * time)
    density = np.exp(-0.5 * d1 * d1) * (spot * (2 * math.pi) ** -0.5)
    by_time = density * vol / (2 * root) + rate * discounted * phi2
    return [
        np.sum(spot * phi1 - discounted * phi2),
        phi1,
        -phi2 * discounted / strike,
        time * discounted * phi2,
        density * root,
        by_time,
    ]


def workload(name: str, dtype: str, tolerance: float) -> Workload:
    return Workload(
        name,
        f"1e6 options, price and 5 derivatives, {dtype}",
        lambda options=1_000_000: data(options, dtype),
        {"options": 50},
        reference_of(by_hand(closed_form)),
        tolerance,
        {
            "graphc": with_graphc(dtype),
            "numpy": by_hand(closed_form),
            **peers.gradients(total_price, wrt=" ".join(NAMES)),
        },
    )


WORKLOADS = [workload("black_scholes", "float32", 1e-4), workload("black_scholes_f64", "float64", 1e-10)]
