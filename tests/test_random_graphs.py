"""Random graphs: every way to run one against the reference, and derivatives against finite differences.

Here are some hundred, with fixed seeds; ``GRAPHC_RANDOM_GRAPHS=5000`` sets how many. ``python -m graphc.testing`` runs
them by the thousand, see `test_volume`.
"""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from wrong_rules import broken

import graphc as gc
from graphc.ir.graph import Graph
from graphc.ops.table import OPS
from graphc.testing import (
    COMPILED,
    PLAIN,
    Mismatch,
    check,
    check_batch_program,
    check_derivatives,
    check_eager,
    check_gradients,
    check_program,
    minimise,
    programs,
)
from graphc.testing.random_programs import EAGER, Leaf, RandomProgram
from graphc.testing.texts import check_text

COUNT = int(os.environ.get("GRAPHC_RANDOM_GRAPHS", "200"))
FIXED = {"derandomize": True, "deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
FIXED["phases"] = [Phase.explicit, Phase.generate]  # `minimise` shrinks better than hypothesis, which knows no graphs
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def smaller(program, test):
    """Run `test`; a failure is raised again for the smallest program that fails alike."""
    try:
        test(program)
    except Exception as error:
        kind = type(error)

        def fails(candidate):
            try:
                test(candidate)
            except kind:
                return True
            return False

        test(minimise(program, fails))
        raise


@settings(max_examples=COUNT, **FIXED)
@given(programs())
def test_plain_python_equals_reference(program):
    smaller(program, lambda p: check_program(p, PLAIN))


@settings(max_examples=max(COUNT // 50, 2), **FIXED)
@given(programs())
def test_compiled_equals_reference(program):
    smaller(program, lambda p: check_program(p, COMPILED, eager=False))


@settings(max_examples=COUNT // 2, **FIXED)
@given(programs())
def test_many_samples_at_once_equal_one_by_one(program):
    smaller(program, check_batch_program)


@settings(max_examples=COUNT // 2, **FIXED)
@given(programs())
def test_graphs_are_built_again_from_text(program):
    smaller(program, check_text)


@settings(max_examples=COUNT, **FIXED)
@given(programs(dtypes=["float64"], generic=True))
def test_gradients_equal_finite_differences(program):
    smaller(program, check_gradients)


X = np.array([0.3, 1.7])


def program_of(line):
    leaf = Leaf("x", "input", (2,), np.dtype("float64"))
    return RandomProgram((leaf,), (line,), ("y",), (), ({"x": X},))


def test_a_wrong_derivative_is_found_and_the_failure_runs():
    sin = OPS["sin"]
    rule = sin.vjp
    object.__setattr__(sin, "vjp", (lambda ct, out, x: ct * 0.5,))
    try:
        with pytest.raises(Mismatch, match="vjp along a line") as failure:
            check_gradients(program_of("y = gc.sin(x)"))
    finally:
        object.__setattr__(sin, "vjp", rule)
    (note,) = failure.value.__notes__
    exec(note.split("\n\n", 1)[1], {})  # a whole program, right in itself


def test_a_wrong_forward_rule_is_found():
    with broken(OPS["sin"], "jvp"), pytest.raises(Mismatch, match="jvp along a line"):
        check_gradients(program_of("y = gc.sin(x)"))
    with broken(OPS["sign"], "jvp", lambda _: gc.constant([1.0, 1.0])), pytest.raises(Mismatch, match="jvp along"):
        check_gradients(program_of("y = gc.sign(x)"))


def test_forward_and_reverse_mode_must_agree_where_differences_say_nothing():
    """At a kink: half the cotangent one way, all of the tangent the other."""
    x, y = gc.input("x", (1,)), gc.input("y", (1,))
    at = [[2.0], [2.0]]
    assert check_derivatives([x, y], [gc.maximum(x, y)], at) == 0
    with broken(OPS["maximum"], "jvp"), pytest.raises(Mismatch, match=r"vjp along a line: .*, jvp"):
        check_derivatives([x, y], [gc.maximum(x, y)], at)


def test_a_wrong_batch_rule_is_found():
    flip = OPS["flip"]
    rule = flip.batch
    object.__setattr__(flip, "batch", lambda how, x, axes: x)
    try:
        with pytest.raises(Mismatch, match=r"batched, root 0 at \(0, 0\)") as failure:
            check_batch_program(replace(program_of("y = gc.flip(x)"), calls=({"x": X}, {"x": X * 2})))
    finally:
        object.__setattr__(flip, "batch", rule)
    exec(failure.value.__notes__[0].split("\n\n", 1)[1], {})


def test_a_wrong_eager_op_is_found_and_the_failure_runs():
    program = program_of("y = gc.sin(x)")
    text = program.eager_text()
    exec(text, {})
    with pytest.raises(Mismatch, match="eager, root 0"):
        check_eager(lambda gc, x: [x if gc is EAGER else gc.sin(x)], [X])


def test_a_text_of_another_graph_is_found(monkeypatch):
    right = Graph.to_python
    monkeypatch.setattr(Graph, "to_python", lambda self, names=True: right(self, names).replace("'sin'", "'cos'"))
    with pytest.raises(Mismatch, match="another node on the same leaves"):
        check_text(program_of("y = gc.sin(x)"))


def test_a_wrong_kernel_is_found():
    lower = OPS["sin"].lower
    object.__setattr__(OPS["sin"], "lower", OPS["cos"].lower)
    try:
        with pytest.raises(Mismatch, match=r"plain, call 0, root 0 at \(0,\)"):
            check_program(program_of("y = gc.sin(x)"), PLAIN)
    finally:
        object.__setattr__(OPS["sin"], "lower", lower)


# what volume runs found once


def test_an_update_in_place_and_the_old_value_of_its_param():
    w, v = gc.param(np.array([1.5]), name="w"), gc.param(np.array([-1.75]), name="v")
    assert check([], [], {w: w + v, v: w}, [[], []], PLAIN) == 2 * len(PLAIN)
    assert check([], [w + v, w + v], {w: gc.exp(v)}, [[]], PLAIN) == len(PLAIN)
    u = w * 2.0
    assert check([], [gc.reshape(u, (1, 1))], {w: u}, [[], []], PLAIN) == 2 * len(PLAIN)


def test_a_row_reduction_inside_a_later_stage():
    x = gc.input("x", (4, 2, 4))
    y = x - gc.mean(x * x, axis=(1, 2), keepdims=True)
    values = np.arange(32.0).reshape(4, 2, 4) / 4
    assert check([x], [y + gc.max(y * 0.5, axis=2, keepdims=True)], calls=[[values]], modes=PLAIN) == len(PLAIN)


def test_a_size_checked_to_be_1_stretches_after_the_check():
    x, v = gc.input("x", ("k",)), gc.input("v", (3, 5, 1))
    y = gc.broadcast_to(gc.broadcast_to(x, (1,)), (3, 5, 1)) + v
    z = gc.broadcast_to(gc.broadcast_to(x, (1,)), (4,))
    assert check([x, v], [y, z], calls=[[np.array([2.0]), np.ones((3, 5, 1))]], modes=PLAIN) == len(PLAIN)


def test_a_contraction_of_two_names_for_one_size():
    x, y = gc.input("x", ("n", 3)), gc.input("y", (3, 2, "m"))
    spec = gc.einsum("ab,bca->ac", x, y)
    assert check([x, y], [spec], calls=[[np.ones((4, 3)), np.ones((3, 2, 4))]], modes=PLAIN) == len(PLAIN)


@pytest.mark.parametrize("size", [0, 3])
def test_an_index_out_of_range_is_an_error_even_where_a_slice_drops_it(size):
    x, i = gc.input("x", ("n",)), gc.input("i", (3,), "int64")
    calls = [[np.zeros(size), np.array([0, 0, 7])]]
    assert check([x, i], [x[i][:1]], calls=calls, modes=PLAIN) == 0
    assert check([x, i], [x.at[i].set(1.0)], calls=calls, modes=PLAIN) == 0


def test_signs_of_sizes_of_slices_of_slices_are_given_up_in_time():
    x = gc.input("x", ("n",))
    for _ in range(12):
        x = x[1:-1:2] if x.shape else x
    assert len(x.shape) == 1
