"""Generated kernels' scalar math: error against mpmath, NumPy's special values, same bits uncompiled, packed code."""

import doctest
import functools
import math
import platform
import re
from collections.abc import Callable

import mpmath
import numpy as np
import pytest
from mpmath import mp
from scipy import special

from graphc.codegen import fused, prelude, vecmath
from graphc.codegen.vecmath import FUNCTIONS, closure, source_for
from graphc.runtime import files

PUBLIC = [key for key in FUNCTIONS if not key[0].startswith("_")]
DTYPES = ("float32", "float64")
DTYPE_OF = dict(zip(("f32", "f64"), DTYPES, strict=True))


def sigmoid(x):
    return np.where(x > 0, 1.0, np.exp(-abs(x))) / (1.0 + np.exp(-abs(x)))


# name: (true value by mpmath, NumPy's or SciPy's function for special values, intervals to sample)
WIDE = ("wide", (-3, 3))
EXACT = {"round": np.rint, "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc, "sign": np.sign}
EXACT_TWO = {"copysign": np.copysign, "remainder": np.remainder, "floor_divide": np.floor_divide}
UNARY: dict[str, tuple[Callable, Callable, tuple]] = {
    "exp": (mp.exp, np.exp, ("range", (-1, 1))),
    "exp2": (lambda x: mp.power(2, x), np.exp2, ("range", (-1, 1))),
    "expm1": (mp.expm1, np.expm1, ("range", (-1, 1), "small")),
    "log": (mp.log, np.log, ("positive", (0.5, 2))),
    "log2": (lambda x: mp.log(x, 2), np.log2, ("positive", (0.5, 2))),
    "log10": (mp.log10, np.log10, ("positive", (0.5, 2))),
    "log1p": (mp.log1p, np.log1p, ("positive", "small", (-0.99, 3))),
    "sqrt": (mp.sqrt, np.sqrt, ("positive",)),
    "cbrt": (lambda x: mp.sign(x) * mp.cbrt(abs(x)), np.cbrt, WIDE),
    "sin": (mp.sin, np.sin, WIDE),
    "cos": (mp.cos, np.cos, WIDE),
    "tan": (mp.tan, np.tan, WIDE),
    "asin": (mp.asin, np.arcsin, ((-1, 1), "small")),
    "acos": (mp.acos, np.arccos, ((-1, 1), "small")),
    "atan": (mp.atan, np.arctan, WIDE),
    "sinh": (mp.sinh, np.sinh, ("range", (-1, 1), "small")),
    "cosh": (mp.cosh, np.cosh, ("range", (-1, 1))),
    "tanh": (mp.tanh, np.tanh, ((-25, 25), (-1, 1), "small")),
    "asinh": (mp.asinh, np.arcsinh, WIDE),
    "acosh": (mp.acosh, np.arccosh, ((1, 3), "positive")),
    "atanh": (mp.atanh, np.arctanh, ((-1, 1), "small")),
    "sigmoid": (lambda x: 1 / (1 + mp.exp(-x)), sigmoid, ("range", (-5, 5))),
    "softplus": (lambda x: mp.log1p(mp.exp(x)), lambda x: np.logaddexp(x, np.zeros_like(x)), ("range", (-5, 5))),
    "erf": (mp.erf, special.erf, ((-6, 6), "small")),
    "erfc": (mp.erfc, special.erfc, ((-6, 10), (9, 26), (-1, 1))),
    "lgamma": (lambda x: mp.re(mp.loggamma(x)), special.gammaln, ((0, 10), "positive")),
    "digamma": (mp.digamma, special.digamma, ((0, 10), "positive")),
}
BINARY = {
    "atan2": (lambda x, y: mp.atan2(x, y), np.arctan2),
    "hypot": (mp.hypot, np.hypot),
    "logaddexp": (lambda x, y: mp.log(mp.exp(x) + mp.exp(y)), np.logaddexp),
    "pow": (mp.power, np.power),
}


def function(key):
    return FUNCTIONS[key].definition


class Loop:
    """A kernel that does what `line` says for each element of arrays of these `names`, of one size and dtype."""

    def __init__(self, line: str, names: str, dtype: str, functions: str = "", before: str = ""):
        text = "@kernel\ndef loop(m, o, chunk, finish, slot):\n    n = size(m, o, 0)\n"
        for k, name in enumerate(names.split(), 1):
            text += f"    {name} = array(m, o, {k}, (n,), {dtype})\n"
        text += f"    for i in range(n):\n        {line}\n"
        self.module = files.load("\n\n".join([prelude.HEADER, before, functions, text]))

    def __call__(self, *arrays: np.ndarray) -> None:
        last = 1 + len(arrays)
        table = np.array([arrays[0].size, *[a.ctypes.data for a in arrays], *range(last)])
        self.module.loop.ctypes(table.ctypes.data, last, 0, 1, 0)


class Loops:
    """A loop for each function, compiled when it is needed; with `before`, lines that stand before the functions."""

    def __init__(self, before: str = ""):
        self.before = before
        self.of = functools.cache(self.compiled)

    def compiled(self, key: tuple[str, str]) -> Loop:
        if key[0] == "fma":
            return Loop("out[i] = fma(x[i], y[i], z[i])", "x y z out", key[1], before=self.before)
        arguments = {1: "x[i]", 2: "x[i], y[i]"}[function(key).__code__.co_argcount]
        arguments = "2, x[i]" if key[0] == "polygamma" else arguments
        line = f"out[i] = {FUNCTIONS[key].name}({arguments})"
        return Loop(line, "x y out", key[1], source_for([key]), self.before)


@pytest.fixture(scope="module")
def loops() -> Loops:
    return Loops()


@pytest.fixture(scope="module")
def loops_of_old_processors() -> Loops:
    """The same for a processor without an instruction that multiplies and adds."""
    return Loops("FUSED = False")


def run(loops, key, x, y=None):
    out = np.empty_like(x)
    loops.of(key)(np.ascontiguousarray(x), np.ascontiguousarray(x if y is None else y), out)
    return out


def sample(rng, interval, dtype, count):
    """Numbers of one interval: (low, high), or a name for a range that depends on the dtype."""
    info = np.finfo(dtype)
    if interval == "range":
        low = math.log(float(info.smallest_subnormal))
        interval = (low, math.log(float(info.max)))
    if isinstance(interval, tuple):
        return rng.uniform(*interval, count).astype(dtype)
    low, high = {
        "positive": (info.smallest_subnormal, info.max),
        "small": (info.smallest_subnormal, 0.5),
        "wide": (info.smallest_subnormal, info.max),
    }[interval]
    size = np.exp(rng.uniform(np.log(float(low)), np.log(float(high)), count)).astype(dtype)
    size = np.clip(size, low, high)
    return size if interval == "positive" else size * rng.choice([-1, 1], count).astype(dtype)


def ulp_error(got, true, dtype, scale=0.0) -> float:
    """|got - true| in units in the last place of the larger of `true` and `scale`; 0 where `true` overflows."""
    info = np.finfo(dtype)
    if true != true or abs(true) > mpmath.mpf(float(info.max)):
        return 0.0 if not np.isfinite(got) else math.inf
    size = max(abs(true), abs(mpmath.mpf(float(scale))))
    exponent = max(int(mpmath.floor(mp.log(size, 2))) if size else info.minexp, info.minexp)
    return float(abs(mpmath.mpf(float(got)) - true) / mpmath.mpf(2) ** (exponent - info.nmant))


def largest_error(loops, key, count) -> float:
    """The largest error of one function over its sampled intervals, in ULP."""
    name, dtype = key
    rng = np.random.default_rng(7)
    worst = 0.0
    with mp.workprec(140):
        if name in UNARY:
            true, _, intervals = UNARY[name]
            for interval in intervals:
                x = sample(rng, interval, dtype, count)
                for value, got in zip(x, run(loops, key, x), strict=True):
                    worst = max(worst, ulp_error(got, true(mpmath.mpf(float(value))), dtype))
        elif name in BINARY:
            for x, y in pairs(rng, name, dtype, count):
                for a, b, got in zip(x, y, run(loops, key, x, y), strict=True):
                    true_value = BINARY[name][0](mpmath.mpf(float(a)), mpmath.mpf(float(b)))
                    scale = max(abs(a), abs(b)) if name == "logaddexp" else 0.0
                    worst = max(worst, ulp_error(got, true_value, dtype, scale))
    return worst


def pairs(rng, name, dtype, count):
    """Argument pairs for the functions of two numbers."""
    wide = [sample(rng, "wide", dtype, count) for _ in range(2)]
    if name == "pow":
        top = math.log(float(np.finfo(dtype).max))
        x = np.exp(rng.uniform(-1, 1, count) * rng.choice([1, 1e-3, top], count)).astype(dtype)
        yield x, (rng.uniform(-top, top, count) / np.where(x == 1, 1, np.log(x.astype(float)))).astype(dtype)
        yield -sample(rng, (0, 3), dtype, count), np.rint(sample(rng, (-20, 20), dtype, count))
    elif name == "logaddexp":
        yield sample(rng, (-3, 3), dtype, count), sample(rng, (-3, 3), dtype, count)
        yield sample(rng, (-300, 300), dtype, count), sample(rng, (-300, 300), dtype, count)
    else:
        yield wide[0], wide[1]
        yield sample(rng, (-3, 3), dtype, count), sample(rng, (-3, 3), dtype, count)


def special_values(dtype):
    info = np.finfo(dtype)
    sizes = [0, 0.25, 0.5, 1, 1.5, 2, 2.5, 3, 10, 26, 88.7, 88.75, 103.9, 104, 709.7, 709.8, 745.1, 745.2, 1e4, np.inf]
    sizes += [info.max, info.tiny, info.smallest_subnormal, info.tiny / 3, info.eps, 1 - info.eps, 1 + info.eps]
    return np.array([*sizes, *(-size for size in sizes), np.nan]).astype(dtype)


def same_bits(a, b):
    return ((a == b) & (np.signbit(a) == np.signbit(b))) | (np.isnan(a) & np.isnan(b))


def assert_alike(got, expected, dtype, arguments, near_zero=0.0):
    """Equal nan, inf and signed zero; other values within a few ULP, of `near_zero` for results below it."""
    eps = 8 * float(np.finfo(dtype).eps)
    close = np.isclose(got, expected, rtol=eps, atol=eps * near_zero) & ((got > 0) == (expected > 0))
    bad = ~(same_bits(got, expected) | (close & np.isfinite(got)))
    assert not bad.any(), [(*values,) for values in zip(*(a[bad] for a in (*arguments, got, expected)), strict=True)]


def test_every_name_has_both_dtypes() -> None:
    names = {*UNARY, *BINARY, *EXACT, *EXACT_TWO, "polygamma"}
    assert set(PUBLIC) == {(name, dtype) for name in names for dtype in DTYPES}


def test_docstring_example() -> None:
    assert doctest.testmod(vecmath).failed == 0


def test_text_is_ordered_complete_and_deterministic() -> None:
    names = [("tanh", "float32"), ("sin", "float64"), ("pow", "float64")]
    text = source_for(names)
    assert text == source_for(reversed(names)) == source_for(names * 2)
    defined = re.findall(r"^def (\w+)", text, re.MULTILINE)
    assert len(set(defined)) == len(defined)
    for key in closure(names):
        position = defined.index(FUNCTIONS[key].name)
        assert all(defined.index(FUNCTIONS[need].name) < position for need in FUNCTIONS[key].needs)
    assert text.count("@helper\ndef ") == len(closure(names))


@pytest.mark.parametrize("key", [key for key in PUBLIC if key[0] in UNARY or key[0] in BINARY], ids="-".join)
def test_error_is_within_the_stated(loops, key) -> None:
    assert largest_error(loops, key, 60) <= FUNCTIONS[key].ulp


HARD = {
    ("exp", "float64"): 121.6608073961138,
    ("exp2", "float32"): -0.48204413,
    ("expm1", "float64"): 0.34698530454761256,
    ("softplus", "float64"): -0.43733560270985716,
    ("softplus", "float32"): 0.048738807,
    ("sigmoid", "float64"): -4.149791938351354,
    ("sigmoid", "float32"): -1.9542445,
    ("lgamma", "float64"): 3.9073754947755654,
    ("erf", "float32"): 0.89290226,
    ("erfc", "float64"): 0.5135027754951881,
    ("erfc", "float32"): 0.54179674,
    ("atan", "float64"): 0.4286840973817689,
    ("acosh", "float32"): 1.0077292,
}
"""Where some millions of arguments, compared with 80-bit floats, had the largest errors; samples seldom find them."""


@pytest.mark.parametrize("key", HARD, ids="-".join)
def test_error_is_within_the_stated_where_it_is_largest(loops, loops_of_old_processors, key) -> None:
    x = np.array([HARD[key]], key[1])
    with mp.workprec(140):
        true = UNARY[key[0]][0](mpmath.mpf(float(x[0])))
        errors = [ulp_error(run(which, key, x)[0], true, key[1]) for which in (loops, loops_of_old_processors)]
    assert 1.0 < max(errors) <= FUNCTIONS[key].ulp


@pytest.mark.slow
@pytest.mark.parametrize("key", [key for key in PUBLIC if key[0] in UNARY or key[0] in BINARY], ids="-".join)
def test_error_is_within_the_stated_where_multiplication_and_addition_are_two(loops_of_old_processors, key) -> None:
    assert largest_error(loops_of_old_processors, key, 300) <= FUNCTIONS[key].ulp


@pytest.mark.slow
@pytest.mark.parametrize("key", [key for key in PUBLIC if key[0] in UNARY or key[0] in BINARY], ids="-".join)
def test_error_is_within_the_stated_on_dense_samples(loops, key) -> None:
    assert largest_error(loops, key, 5000) <= FUNCTIONS[key].ulp


@pytest.mark.parametrize(("suffix", "magic"), [("f32", "0x4168000000000000"), ("f64", "0x4338000000000000")])
def test_erf_and_its_derivative_have_one_exponential(suffix, magic) -> None:
    counts = []
    for second in ("x[i]", f"exp_{suffix}(-(x[i] * x[i]))"):
        dtype = DTYPE_OF[suffix]
        line = f"out[i], other[i] = erf_{suffix}(x[i]), {second}"
        loop = Loop(line, "x out other", dtype, source_for([("erf", dtype), ("exp", dtype)]))
        llvm = loop.module.loop.inspect_llvm()
        counts.append(sum("fma.v" in line and magic in line for line in llvm.splitlines()))
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_polygamma(dtype, order) -> None:
    x = np.exp(np.random.default_rng(3).uniform(-3, 5, 40)).astype(dtype)
    row = FUNCTIONS["polygamma", dtype]
    with mp.workprec(140):
        errors = [ulp_error(row.definition(order, v), mp.polygamma(order, float(v)), dtype) for v in x]
    assert max(errors) <= row.ulp


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UNARY)
def test_special_values_of_one_argument(loops, name, dtype) -> None:
    x = special_values(dtype)
    if name in ("lgamma", "digamma"):  # not -inf, nor near zeros and poles, where SciPy is inexact
        x = x[(x == 0) | (x > 1e-30) & (np.abs(x - 1) > 0.1) | (np.rint(x) == x) & (x > -np.inf) | np.isnan(x)]
    with np.errstate(all="ignore"):
        expected = UNARY[name][1](x).astype(dtype)
        if name in ("sin", "cos", "tan"):  # NumPy's float32 versions err by several ULP
            expected = UNARY[name][1](x.astype(np.float64)).astype(dtype)
    assert_alike(run(loops, (name, dtype), x), expected, dtype, (x,))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BINARY)
def test_special_values_of_two_arguments(loops, name, dtype) -> None:
    x, y = (grid.ravel() for grid in np.meshgrid(special_values(dtype), special_values(dtype)))
    with np.errstate(all="ignore"):
        expected = BINARY[name][1](x, y)
    assert_alike(run(loops, (name, dtype), x, y), expected, dtype, (x, y), near_zero=float(name == "logaddexp"))


@pytest.mark.parametrize("dtype", DTYPES)
def test_exact_functions_equal_numpy(loops, dtype) -> None:
    rng = np.random.default_rng(5)
    integer = np.dtype(dtype.replace("float", "int"))
    bits = [rng.integers(np.iinfo(integer).min, np.iinfo(integer).max, 2000, integer).view(dtype) for _ in range(2)]
    grids = np.meshgrid(special_values(dtype), special_values(dtype))
    grid = [np.concatenate([g.ravel(), b]) for g, b in zip(grids, bits, strict=True)]
    with np.errstate(all="ignore"):
        for name, reference in EXACT.items():
            assert same_bits(run(loops, (name, dtype), grid[0]), reference(grid[0])).all(), name
        for name, reference in EXACT_TWO.items():
            assert same_bits(run(loops, (name, dtype), *grid), reference(*grid)).all(), name


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_multiplication_and_addition_round_once(loops, dtype) -> None:
    # against exact fractions: ordinary numbers, sums that cancel, results that are subnormal or overflow
    rng, info = np.random.default_rng(12), np.finfo(dtype)
    x, y = rng.normal(size=(2, 1000)).astype(dtype)
    z = np.where(rng.random(1000) < 0.5, -x * y, rng.normal(size=1000)).astype(dtype)
    scale = rng.choice([1.0, float(info.tiny), float(info.smallest_subnormal), float(info.max)], 1000).astype(dtype)
    with np.errstate(over="ignore"):
        x, z = (x * scale).astype(dtype), (z * scale).astype(dtype)
    edges = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, info.max, info.smallest_subnormal], dtype)
    some = np.array(np.meshgrid(edges, edges, edges)).reshape(3, -1)
    x, y, z = (np.concatenate(both) for both in zip((x, y, z), some, strict=True))
    with np.errstate(all="ignore"):
        plain = np.array([fused.fma(*values) for values in zip(x, y, z, strict=True)])
    assert plain.dtype == dtype
    with mp.workprec(2300), np.errstate(all="ignore"):
        for a, b, c, got in zip(x, y, z, plain, strict=True):
            if not np.isfinite([a, b, c]).all():
                expected = c if np.isfinite([a, b]).all() else a * b + c
                assert same_bits(got, expected), (a, b, c, got)
                continue
            true = mpmath.mpf(float(a)) * mpmath.mpf(float(b)) + mpmath.mpf(float(c))
            largest = abs(true) >= float(info.max)
            assert abs(got) >= info.max if largest else ulp_error(got, true, dtype) <= 0.5, (a, b, c, got)
    loop = loops.of(("fma", dtype.__name__))
    if loop.module.FUSED:
        loop(x, y, z, compiled := np.empty_like(x))
        assert same_bits(plain, compiled).all()


@pytest.mark.parametrize("key", PUBLIC, ids="-".join)
def test_plain_python_gives_the_bits_of_compiled_code(loops, key) -> None:
    name, dtype = key
    rng = np.random.default_rng(11)
    x = np.concatenate([special_values(dtype), sample(rng, "wide", dtype, 40), sample(rng, (-6, 6), dtype, 60)])
    if name == "polygamma":
        x = x[np.abs(x) < 1e5]
    y = rng.permutation(x)
    compiled = run(loops, key, x, y)
    count = function(key).__code__.co_argcount
    with np.errstate(all="ignore"):
        if name == "polygamma":
            plain = [function(key)(2, a) for a in x]
        else:
            plain = [function(key)(*values) for values in zip(*[x, y][:count], strict=True)]
    assert same_bits(compiled, np.array(plain, dtype=dtype)).all()


PACKED = re.compile(r"\tv?(?:add|sub|mul|div|sqrt|rndscale|round|and|or|blendm|cmp\w*)p[sd]\t|\tv?pternlog[dq]\t")
LIBM = re.compile(r"\$(?:exp|log|sin|cos|tan|pow|fmod|fma|floor|lgamma|erf)\w*\b")


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads x86 instructions")
@pytest.mark.parametrize("key", [key for key in PUBLIC if FUNCTIONS[key].vectorises], ids="-".join)
def test_loop_compiles_to_packed_instructions(loops, key) -> None:
    run(loops, key, np.ones(8, key[1]))
    assembly = loops.of(key).module.loop._library.get_asm_str()
    assert PACKED.search(assembly)
    assert not LIBM.search(assembly)
