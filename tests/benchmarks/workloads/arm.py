"""The hand of an arm with seven joints, as scalar expressions of the angles, and its 3 x 7 Jacobian; in float64.

Denavit-Hartenberg parameters: each joint turns about z by its angle, goes `d` along z and `a` along x, and twists about
x by 90 degrees, +1 or -1 times. (float64 because CasADi has nothing else.)
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import on_jax, on_pytensor, on_torch
from ..workload import Data, Run, Workload, by_hand, reference_of

LINKS = ((0.34, 0.0, -1), (0.0, 0.0, 1), (0.4, 0.0, 1), (0.0, 0.0, -1), (0.4, 0.0, -1), (0.0, 0.0, 1), (0.126, 0.1, 1))
"""d, a and the sign of the twist of each joint."""


def data(joints: int = 7) -> Data:
    return {"q": np.random.default_rng(0).uniform(-2, 2, joints)}


def hand(m: Any, angles: Sequence[Any]) -> list[Any]:
    """Its three coordinates, from scalar angles; x, y, z are the axes of the present joint."""
    place: list[Any] = [0.0, 0.0, 0.0]
    x: list[Any] = [1.0, 0.0, 0.0]
    y: list[Any] = [0.0, 1.0, 0.0]
    z: list[Any] = [0.0, 0.0, 1.0]
    for angle, (d, a, twist) in zip(angles, LINKS, strict=False):
        c, s = m.cos(angle), m.sin(angle)
        along = [c * u + s * v for u, v in zip(x, y, strict=True)]
        place = [p + d * w + a * u for p, w, u in zip(place, z, along, strict=True)]
        across = [twist * (s * u - c * v) for u, v in zip(x, y, strict=True)]
        x, y, z = along, [twist * w for w in z], across
    return place


def with_graphc(data: Data, threads: int) -> Run:
    import graphc as gc

    q = gc.input("q", data["q"].shape)
    place = gc.stack(hand(gc, q))
    step = gc.compile([q], [place, gc.jacobian(place, q)], threads=threads, name="arm")
    return Run(step, (data["q"],))


def by_geometry(q: Any) -> Any:
    """Column k of the Jacobian is the axis of joint k times the way from joint k to the hand."""
    frame, place = np.eye(3), np.zeros(3)
    joints = []
    for angle, (d, a, twist) in zip(q, LINKS, strict=False):
        joints.append((frame[:, 2], place))
        c, s = np.cos(angle), np.sin(angle)
        place = place + frame @ (a * c, a * s, d)
        frame = frame @ np.array([[c, 0, twist * s], [s, 0, -twist * c], [0, twist, 0]])
    return [place, np.stack([np.cross(axis, place - joint) for axis, joint in joints], axis=1)]


def with_numba(data: Data, threads: int) -> Run:
    from ..loops.arm import jacobian

    links = np.array(LINKS[: data["q"].size])
    return Run(jacobian, (data["q"], links))


def with_torch(data: Data, threads: int, jit: bool = False) -> Run:
    import torch

    def place(q: Any) -> Any:
        return (found := torch.stack(hand(torch, q.unbind()))), found

    def both(q: Any) -> Any:
        jacobian, found = torch.func.jacrev(place, has_aux=True)(q)
        return found, jacobian

    (q,) = on_torch.tensors(data, ["q"], False)
    return Run(torch.compile(both) if jit else both, (q,), on_torch.arrays)


def with_jax(data: Data, threads: int) -> Run:
    import jax
    import jax.numpy as jnp

    def place(q: Any) -> Any:
        return (found := jnp.stack(hand(jnp, list(q)))), found

    both = jax.jit(jax.jacrev(place, has_aux=True))
    (q,) = on_jax.tensors(data, ["q"])
    return Run(lambda: jax.block_until_ready(both(q)), (), lambda found: on_jax.arrays(found[::-1]))


def with_pytensor(data: Data, threads: int) -> Run:
    import pytensor
    import pytensor.tensor as pt

    (q,) = on_pytensor.inputs(data, ["q"])
    place = hand(pt, [q[k] for k in range(data["q"].size)])
    step = on_pytensor.function([q], [pt.stack(place), pt.stack([pytensor.grad(p, q) for p in place])])
    return Run(step, (data["q"],))


def with_casadi(data: Data, threads: int) -> Run:
    """CasADi's virtual machine, called without conversions."""
    return casadi_buffers(casadi_function(data), data)


def with_casadi_c(data: Data, threads: int) -> Run:
    """The C code that CasADi generates, compiled by the machine's compiler."""
    import casadi

    generator = casadi.CodeGenerator("arm.c")
    generator.add(casadi_function(data))
    with tempfile.TemporaryDirectory() as folder:
        source, library = generator.generate(f"{folder}/"), f"{folder}/arm.so"
        subprocess.run(["cc", "-O3", "-march=native", "-fPIC", "-shared", source, "-o", library], check=True)
        return casadi_buffers(casadi.external("arm", library), data)


def casadi_function(data: Data) -> Any:
    import casadi

    q = casadi.SX.sym("q", data["q"].size)
    place = casadi.vertcat(*hand(casadi, [q[k] for k in range(data["q"].size)]))
    return casadi.Function("arm", [q], [place, casadi.densify(casadi.jacobian(place, q))])


def casadi_buffers(function: Any, data: Data) -> Run:
    """The function on arrays of ours; CasADi keeps matrices by columns, and does not keep the buffer alive."""
    buffer, evaluate = function.buffer()
    place, jacobian = np.empty(3), np.empty((3, data["q"].size), order="F")
    buffer.set_arg(0, memoryview(data["q"]))
    buffer.set_res(0, memoryview(place))
    buffer.set_res(1, memoryview(jacobian.T))
    return Run(evaluate, (), lambda _, alive=(buffer, function): [place, jacobian])


def compilers() -> dict[str, Any]:
    """CasADi's C code where there is a C compiler."""
    return {"casadi C": with_casadi_c} if shutil.which("cc") else {}


WORKLOADS = [
    Workload(
        "arm",
        "hand of a 7-joint arm and its Jacobian, float64",
        data,
        {"joints": 2},
        reference_of(by_hand(by_geometry)),
        1e-12,
        {
            "graphc": with_graphc,
            "numpy": by_hand(by_geometry),
            "numba": with_numba,
            "torch": with_torch,
            "torch.compile": lambda data, threads: with_torch(data, threads, jit=True),
            "jax": with_jax,
            "pytensor": with_pytensor,
            "casadi": with_casadi,
            **compilers(),
        },
    )
]
