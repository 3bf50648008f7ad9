"""Mutants that no test can notice, or that none needs to: each with the reason. See `mutations.py`."""

from __future__ import annotations

_SINGLE_USE = "it is gone through once: a generator, or a list, does as well as a tuple"
_MASKED = "the value stands in a branch of where that is not taken; any number but 0 does"
_NEVER_READ = "the number is multiplied by the 0 that a recurrence begins with, or stands where nothing is read"
_FLOATS_ONLY = "rules are asked for floats alone, so that this only guards calls that nobody makes"
_MORE_WORK = "the result is the same: cotangents or tangents nobody wants are computed too"
_SAME_PRODUCT = "the product is as right, and moves as many axes"
_NO_FORWARD_RULE = "no op with several outputs has a forward rule yet: custom_gradient refuses it before"

_BY_REASON: dict[str, tuple[str, ...]] = {
    "a slice of a shape is a tuple as it is": (
        "ops.convolution._derivative.<locals>.rule: tuple(operand.shape[3:]) -> operand.shape[3:]",
        "ops.windows._windows_vjp: tuple(x.shape[len(x.shape) - len(kernel):]) -> x.shape[len(x.shape) - len(kernel):]",
        "ops.windows._overlap_vjp: tuple(y.shape[len(y.shape) - len(kernel) - 1:-1]) -> "
        "y.shape[len(y.shape) - len(kernel) - 1:-1]",
    ),
    "without rows, or without columns, both orders are one": (
        "passes.contractions._to_matrices: rows and cols and (''.join((c for c in out if c not in batch)) == cols + "
        "rows) -> cols and ''.join((c for c in out if c not in batch)) == cols + rows",
        "passes.contractions._to_matrices: rows and cols and (''.join((c for c in out if c not in batch)) == cols + "
        "rows) -> rows and ''.join((c for c in out if c not in batch)) == cols + rows",
    ),
    "of two, number -1 is number 1": (
        "ops.guarded.guard_of_vjp: 1 - by -> by - 1",
        "passes.algebra._plain_sum_of_products: 1 - k -> k - 1",
    ),
    "what is no nan is not summed again": (
        "ops.guarded.matrix_product: guard and result.dtype.kind == 'f' -> result.dtype.kind == 'f'",
        "ops.guarded.matrix_product: wrong is None or not wrong.any() -> wrong is None",
    ),
    "products of numbers alone are folded before": (
        "passes.stable_log._of_product: x is None or unview(x)[0].op.name == 'log' -> unview(x)[0].op.name == 'log'",
    ),
    "the factors of a softmax give the same sum of logarithms": (
        "passes.stable_log._of_factors: node.op.name not in ('multiply', 'divide') or _logits(node) is not None -> "
        "node.op.name not in ('multiply', 'divide')",
    ),
    "the rule of log(sum(exp(x))) comes to it afterwards": (
        "passes.stable_log._of_shifted_sum: x is not None and is_shifted(x) -> x is not None",
    ),
    "from where on the product is taken as written is a choice: both forms are right on both sides of it": (
        "passes.stable_log._times_log_ratio: greater(x, float(info.max) * float(info.eps) ** 2) -> "
        "_mutant_greater_equal(x, float(info.max) * float(info.eps) ** 2)",
        "passes.stable_log._times_log_ratio: float(info.max) * float(info.eps) ** 2 -> float(info.eps) ** 2",
        "passes.stable_log._times_log_ratio: float(info.eps) ** 2 -> float(info.eps) * 2",
        "passes.stable_log._times_log_ratio: 2 -> 3",
        "passes.stable_log._times_log_ratio: 2 -> 1",
    ),
    _FLOATS_ONLY: (
        "ops.elementwise._between_floats: x.dtype.kind == 'f' and dtype.kind == 'f' -> x.dtype.kind == 'f' or "
        "dtype.kind == 'f'",
        "ops.elementwise._between_floats: x.dtype.kind == 'f' and dtype.kind == 'f' -> dtype.kind == 'f'",
        "ops.elementwise._between_floats: x.dtype.kind == 'f' and dtype.kind == 'f' -> x.dtype.kind == 'f'",
    ),
    _MASKED: (
        "ops.power._share: where(origin, 1.0, out) -> out",
        "ops.power._share: 1.0 -> 1.75",
        "ops.power._share: 1.0 -> -1.0",
    ),
    "any number whose squares are as small does": (
        "ops.power._scaled: 2.0 -> 3.25",
        "ops.power._scaled: 2 -> 1",
        "ops.power._scaled: 1 -> 2",
    ),
    "where it matters both operands are equal": (
        "ops.special.logaddexp.vjp[0]: _unless_infinite(x, y, sigmoid(subtract(x, y))) -> "
        "_unless_infinite(y, x, sigmoid(subtract(x, y)))",
        "ops.special.logaddexp.vjp[1]: _unless_infinite(x, y, sigmoid(subtract(y, x))) -> "
        "_unless_infinite(y, x, sigmoid(subtract(y, x)))",
        "ops.special.logaddexp.jvp[0]: _unless_infinite(x, y, exp(negative(softplus(subtract(y, x))))) -> "
        "_unless_infinite(y, x, exp(negative(softplus(subtract(y, x)))))",
        "ops.special.logaddexp.jvp[1]: _unless_infinite(x, y, exp(negative(softplus(subtract(x, y))))) -> "
        "_unless_infinite(y, x, exp(negative(softplus(subtract(x, y)))))",
    ),
    "the distance from the origin is symmetric": (
        "ops.trigonometry.atan2.jvp[0]: _radius(x, y) -> _radius(y, x)",
        "ops.trigonometry.atan2.jvp[1]: _radius(x, y) -> _radius(y, x)",
    ),
    "it differs for infinite tangents alone, where `test_kinks` compares the modes": (
        "ops.reduction._extremum_jvp: zero_mul(winners, t) -> multiply(winners, t)",
    ),
    "it differs at the origin alone, where `test_kinks` compares the modes": (
        "ops.trigonometry._radius: where(equal(radius, 0.0), _NAN, radius) -> radius",
    ),
    "the product is commutative": ("ops.cotangent.zero_mul: lift_promoted(a, b) -> lift_promoted(b, a)",),
    "it is compared with what is inf or -inf": (
        "ops.special._unless_infinite: greater(x, 0.0) -> _mutant_greater_equal(x, 0.0)",
        "ops.special._unless_infinite: 0.0 -> 1.0",
    ),
    "0 divided by it is 0": (
        "ops.exponential._ratio: 1.0 -> 1.75",
        "ops.exponential._ratio: 1.0 -> -1.0",
    ),
    "it is 1 or -1: to divide by it is to multiply": (
        "ops.piecewise.copysign.vjp[0]: multiply(sign(x), copysign(1.0, y)) -> "
        "_mutant_divide(sign(x), copysign(1.0, y))",
    ),
    "copysign takes the sign of its second operand alone": ("ops.piecewise.copysign.vjp[0]: 1.0 -> -1.0",),
    "to sum over an axis of size 1 changes nothing": (
        "ops.movement._broadcast_vjp: size == 1 and shape[k + offset] != 1 -> size == 1",
    ),
    _SINGLE_USE: (
        "ops.joining._concat_vjp: tuple(parts) -> parts",
        "ops.indexing._stayed: tuple(indices[0].shape) -> indices[0].shape",
        "ops.reduction._product_of_others: tuple(front.shape) -> front.shape",
        "autodiff.vjp._total: tuple((found.get(k, ZERO) for k in range(len(node.avals)))) -> "
        "(found.get(k, ZERO) for k in range(len(node.avals)))",
        "autodiff.jvp.jvp_rules: tuple(tangents) -> tangents",
        "passes.patterns.unview: tuple(views) -> views",
    ),
    "forward mode gives ZERO, never None": ("ops.indexing._scatter_tangents: t is ZERO or t is None -> t is ZERO",),
    "of one update, the long way says too that it has stayed": ("ops.indexing._scatter_set_vjp: 1 -> 0",),
    _NEVER_READ: (
        "ops.indexing._stayed: -1 -> 1",
        "ops.indexing._stayed: 1 -> 2",
        "ops.indexing._stayed: 1 -> 0",
        "ops.cumulative._product_vjp: 0.0 -> 1.0",
        "ops.cumulative._recurrence_vjp: 0.0 -> 1.0",
    ),
    "a rule that is None is of an operand that is no float, and never wanted": (
        "autodiff.vjp.vjp_rules: not want or rule is None -> not want",
        "autodiff.jvp.jvp_rules: rule is None or tangent is ZERO -> tangent is ZERO",
    ),
    "where nothing is active nothing is made, of whatever order": (
        "autodiff.vjp.pullback: 0 -> 1",
        "autodiff.vjp.pullback: 0 -> -1",
    ),
    _MORE_WORK: (
        "autodiff.vjp.pullback: ct is None or (node in targets and (not any((i in active for i in node.inputs)))) -> "
        "ct is None",
        "autodiff.vjp.pullback: node in targets and (not any((i in active for i in node.inputs))) -> "
        "not any((i in active for i in node.inputs))",
        "autodiff.vjp.pullback: node in targets -> node not in targets",
        "autodiff.vjp._propagate: i in active and differentiable(i) -> i in active or differentiable(i)",
        "autodiff.vjp._propagate: i in active and differentiable(i) -> differentiable(i)",
        "autodiff.vjp._propagate: i in active and differentiable(i) -> i in active",
        "autodiff.jvp.pushforward: depends_on(order, [w for w in wrt if differentiable(w)]) -> "
        "depends_on([w for w in wrt if differentiable(w)], order)",
        "autodiff.jvp.pushforward: node in active and differentiable(node) -> node in active or differentiable(node)",
        "autodiff.jvp.pushforward: node in active and differentiable(node) -> differentiable(node)",
        "autodiff.jvp.pushforward: node in active and differentiable(node) -> node in active",
    ),
    "each output of a node has one item, for equal nodes are one": (
        "autodiff.vjp._propagate: ct_add(found.get(k, ZERO), ct) -> ct",
    ),
    "adding ZERO adds nothing": ("autodiff.vjp._propagate: bar is not None and bar is not ZERO -> bar is not None",),
    "test_verify notices: certificates are found by these records": (
        "autodiff.vjp.vjp: outputs if of is None else of -> of if of is None else outputs",
        "autodiff.vjp.vjp: of is None -> of is not None",
        "autodiff.vjp.vjp: note(outputs if of is None else of, wrt, cotangents, results) -> "
        "note(wrt, outputs if of is None else of, cotangents, results)",
    ),
    _NO_FORWARD_RULE: (
        "autodiff.jvp._flows: any(map(_flows, dot)) -> _mutant_all(map(_flows, dot))",
        "autodiff.jvp._flows: map(_flows, dot) -> map(dot, _flows)",
        "autodiff.jvp._push: items(node) if node.op.multi else node -> node if node.op.multi else items(node)",
    ),
    "None equals no number, and the rest is not looked at": (
        "passes.rules.is_scalar: found is not None and bool(found == value) and "
        "bool(np.signbit(float(found)) == np.signbit(float(value))) -> "
        "bool(found == value) and bool(np.signbit(float(found)) == np.signbit(float(value)))",
    ),
    "only floats have a -0.0": (
        "passes.algebra._plus_zero: node.dtype.kind == 'f' and is_scalar(b, -0.0) -> is_scalar(b, -0.0)",
    ),
    "a reshape to the same shape is gone before, one to fewer axes ends otherwise": (
        "passes.canonicalise._broadcast_of_ones: extra > 0 and new[:extra] == (1,) * extra and (new[extra:] == old) -> "
        "new[:extra] == (1,) * extra and new[extra:] == old",
        "passes.canonicalise._broadcast_of_ones: extra > 0 -> extra >= 0",
        "passes.canonicalise._broadcast_of_ones: 0 -> -1",
    ),
    "as many elements in the same last axes: the others are 1, or nothing is there": (
        "passes.canonicalise._broadcast_of_ones: extra > 0 and new[:extra] == (1,) * extra and (new[extra:] == old) -> "
        "extra > 0 and new[extra:] == old",
    ),
    "bools are never cast to bools": (
        "passes.canonicalise._cast_chain: x.op is ASTYPE and x.inputs[0].dtype.kind == 'b' and "
        "(x.dtype.kind != 'b') -> x.op is ASTYPE and x.inputs[0].dtype.kind == 'b'",
    ),
    "both callers pass True": (
        "passes.contractions._grouped: transposed_too and letters == batch + second + first and (first != '') and "
        "(second != '') -> letters == batch + second + first and first != '' and (second != '')",
    ),
    _SAME_PRODUCT: (
        "passes.contractions._grouped: transposed_too and letters == batch + second + first and (first != '') and "
        "(second != '') -> transposed_too and letters == batch + second + first and (second != '')",
        "passes.contractions._grouped: transposed_too and letters == batch + second + first and (first != '') and "
        "(second != '') -> transposed_too and letters == batch + second + first and (first != '')",
        "passes.contractions._to_matrices: cols + rows -> rows",
        "passes.contractions._to_matrices: rows + cols -> cols",
    ),
    "an axis of the result is of one operand or of both": (
        "passes.contractions._to_matrices: c in a and c not in b -> c not in b",
        "passes.contractions._to_matrices: c in b and c not in a -> c not in a",
    ),
    "without an axis of size 1 the node comes out as it went in": (
        "passes.squeeze._reduced: 1 not in x.shape or not any((x.shape[a] != 1 for a in axes)) -> "
        "not any((x.shape[a] != 1 for a in axes))",
    ),
    "both operands are the same": (
        "passes.patterns.square_root_of: 0 -> 1 (2)",
        "passes.stable_power._whole_power: 0 -> 1 (3)",
    ),
    "even and more than 0 is even and more than 1": (
        "passes.patterns._is_even_power: 0 -> 1 (2)",
        "passes.stable_norm._even_power_of_quotient: 0 -> 1",
        "passes.stable_norm._root_of_even_power: 2 -> 3",
    ),
    "squares are taken by the rule before, and come out alike": (
        "passes.stable_norm._root_of_even_power: exponent > 2 -> exponent >= 2",
        "passes.stable_norm._root_of_even_power: 2 -> 1",
    ),
    "any number that is not more than 2 says that it is no power": (
        "passes.stable_norm._root_of_even_power: 0 -> 1",
        "passes.stable_norm._root_of_even_power: 0 -> -1",
    ),
    "None is neither number": (
        "passes.stable_norm._half_power: value is None or value not in (0.5, -0.5) or (not is_not_negative(base)) -> "
        "value not in (0.5, -0.5) or not is_not_negative(base)",
    ),
    "it is 0.5 or -0.5": ("passes.stable_norm._half_power: value > 0 -> value >= 0",),
    "what is not found is not what was looked for": (
        "passes.stable_exp._exp_share: x is None or inner.op.name != 'add' -> inner.op.name != 'add'",
    ),
    "another bound stops the search": (
        "passes.stable_log._of_added: term.op.name == 'add' and len(waiting) < _MOST_TERMS -> term.op.name == 'add'",
        "passes.stable_log._of_added: len(waiting) < _MOST_TERMS -> len(waiting) <= _MOST_TERMS",
    ),
    "how deep it looks is a bound on time, and no part of what it finds": ("passes.stable_log._of_added: 1 -> 2 (3)",),
    "the condition is no maximum": ("passes.stable_log.is_shifted: 2 -> 3",),
    "a factor that is the base itself is set to the power 1 after": (
        "passes.stable_power._whole_power: 1 -> 2 (2)",
        "passes.stable_power._whole_power: 1 -> 0 (2)",
    ),
    "of whole numbers only 1 * 1 and -1 * -1 are 1: the same node twice, which is left alone before": (
        "passes.stable_power._product_of_powers: 0 -> 1",
    ),
    "the sum of two numbers": ("passes.stable_log._of_factors: _DIGITS.add(a, b) -> _DIGITS.add(b, a)",),
    "a quotient has the sign of the product": (
        "passes.stable_power._product_of_powers: m * n -> m / n",
        "passes.stable_power._product_of_real_powers: a * b -> a / b",
    ),
}

EXPLAINED: dict[str, str] = {name: reason for reason, names in _BY_REASON.items() for name in names}
"""By the name of a mutant: why it survives."""
