"""Values with gradients of SymPy expressions on arrays: compiled by graphc, against lambdify of sympy.diff with cse.

Run as a program; it prints the best of several runs of each, per size of the arrays, and how much faster graphc is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import sympy as sp

import graphc as gc

_SIZES = (1, 1_000, 100_000)
_SECONDS = 0.5


def robot_arm() -> tuple[Any, list[Any]]:
    """Squared distance of the hand of a six-joint arm (Denavit-Hartenberg matrices) to a target, by the six angles."""
    angles = list(sp.symbols("q1:7", real=True))
    links = ((0, sp.pi / 2, 0.0892), (-0.425, 0, 0), (-0.392, 0, 0), (0, sp.pi / 2, 0.1093), (0, -sp.pi / 2, 0.0947))
    pose = sp.eye(4)
    for q, (a, alpha, d) in zip(angles, (*links, (0, 0, 0.0823)), strict=True):
        c, s, ca, sa = sp.cos(q), sp.sin(q), sp.cos(alpha), sp.sin(alpha)
        pose = pose * sp.Matrix(
            [[c, -s * ca, s * sa, a * c], [s, c * ca, -c * sa, a * s], [0, sa, ca, d], [0, 0, 0, 1]]
        )
    target = (0.3, -0.2, 0.5)
    return sum((pose[k, 3] - t) ** 2 for k, t in enumerate(target)), angles


def double_pendulum() -> tuple[Any, list[Any]]:
    """The Lagrangian of a double pendulum, by angles, velocities, lengths and masses."""
    symbols = sp.symbols("t1 t2 v1 v2 l1 l2 m1 m2", positive=True)
    t1, t2, v1, v2, l1, l2, m1, m2 = symbols
    g = sp.Rational(981, 100)
    kinetic = m1 * (l1 * v1) ** 2 / 2
    kinetic += m2 * ((l1 * v1) ** 2 + (l2 * v2) ** 2 + 2 * l1 * l2 * v1 * v2 * sp.cos(t1 - t2)) / 2
    potential = -(m1 + m2) * g * l1 * sp.cos(t1) - m2 * g * l2 * sp.cos(t2)
    return kinetic - potential, list(symbols)


def rate_law() -> tuple[Any, list[Any]]:
    """A reversible bi-bi enzyme reaction with Arrhenius rate constants, by concentrations, temperature (in units of
    300 K), activation energies (in units of 10 kJ/mol) and affinities."""
    symbols = sp.symbols("A B P Q T Ef Er Ka Kb Kp", positive=True)
    a, b, p, q, temperature, ef, er, ka, kb, kp = symbols
    gas = sp.Rational(8314, 1000)
    forward, reverse = (10**6 * sp.exp(-10000 * e / (gas * 300 * temperature)) for e in (ef, er))
    below = 1 + a / ka + b / kb + a * b / (ka * kb) + p / kp + q * a / (ka * kp) + (p * q / kp**2) ** sp.Rational(3, 2)
    return (forward * a * b - reverse * p * q) / below, list(symbols)


def best(run: Callable[[], Any]) -> float:
    """Seconds of the fastest of as many runs as fit."""
    run()
    found, until = np.inf, time.perf_counter() + _SECONDS
    while time.perf_counter() < until:
        start = time.perf_counter()
        run()
        found = min(found, time.perf_counter() - start)
    return float(found)


def compiled(expr: Any, symbols: list[Any], n: int) -> Callable[..., Any]:
    """A step that gives the values of `expr` and its derivatives; its inputs are arrays of n, or numbers for n = 1."""
    inputs = [gc.input(str(s), () if n == 1 else ("n",)) for s in symbols]
    y = gc.from_sympy(expr, dict(zip(symbols, inputs, strict=True)))
    return gc.compile(inputs, [y, *gc.grad(gc.sum(y), inputs)])


def main() -> None:
    rng = np.random.default_rng(0)
    print(f"{'expression':<16} {'n':>7} {'lambdify cse':>14} {'graphc':>12}   faster   worst difference")
    for make in (robot_arm, double_pendulum, rate_law):
        expr, symbols = make()
        derivatives = [sp.diff(expr, s) for s in symbols]
        reference = sp.lambdify(symbols, [expr, *derivatives], "numpy", cse=True)
        for n in _SIZES:
            arrays = [rng.uniform(0.5, 1.5, n) if n > 1 else np.float64(rng.uniform(0.5, 1.5)) for _ in symbols]
            step = compiled(expr, symbols, n)
            pairs = zip(step(*arrays), reference(*arrays), strict=True)
            worst = max(float(np.max(np.abs(f - w)) / (1 + np.max(np.abs(w)))) for f, w in pairs)
            slow, fast = best(lambda a=arrays, f=reference: f(*a)), best(lambda a=arrays, f=step: f(*a))
            times = f"{slow * 1e6:>11.1f} us {fast * 1e6:>9.1f} us"
            print(f"{make.__name__:<16} {n:>7} {times} {slow / fast:>7.1f}x   {worst:.0e}")


if __name__ == "__main__":
    main()
