"""`gc.random`: known answers, the same bits in every mode, the shape of the distributions, keys, errors."""

from __future__ import annotations

import copy
import inspect
import itertools
import math
import pickle
from typing import Any

import mpmath
import numpy as np
import pytest
from messages import text_of

import graphc as gc
from graphc.ir.evaluate import evaluate
from graphc.ir.graph import Graph
from graphc.ops.philox import BOX_MULLER, MULTIPLY_HIGH, PHILOX, philox
from graphc.random.draws import uniform
from graphc.testing.ways import way

EAGER = gc.eager.tensor(0.0)
U64 = np.uint64


def philox_block(counter: tuple[int, ...], key: tuple[int, ...]) -> list[int]:
    """Philox4x32-10 as the paper has it, on Python's integers."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p, q = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(q >> 32) ^ c[1] ^ k[0], q % 2**32, (p >> 32) ^ c[3] ^ k[1], p % 2**32]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c


def words(value: int, count: int = 2) -> tuple[int, ...]:
    return tuple(value >> 32 * n & 0xFFFFFFFF for n in range(count))


def halves(position: int, high: int, key: int) -> tuple[int, int]:
    a, b, c, d = philox_block(words(position) + words(high), words(key))
    return a | b << 32, c | d << 32


def values(*drawn: Any) -> list[np.ndarray]:
    """By the reference interpreter."""
    return evaluate([*drawn])


# the generator

KNOWN = (
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
)
"""Counter, key and output: the answers published with the generator (Random123, kat_vectors, philox4x32 10)."""


@pytest.mark.parametrize("counter,key,want", KNOWN)
def test_known_answers(counter: str, key: str, want: str) -> None:
    given, keys, wanted = ([int(w, 16) for w in text.split()] for text in (counter, key, want))
    assert philox_block(tuple(given), tuple(keys)) == wanted
    pairs = [[u | v << 32 for u, v in zip(x[::2], x[1::2], strict=True)] for x in (given, keys, wanted)]
    operands = [np.array([v], U64) for v in (*pairs[0], *pairs[1])]
    found = [int(PHILOX.numpy(*operands, half=half)[0]) for half in (0, 1)]
    assert found == pairs[2]


def test_philox_equals_its_definition() -> None:
    rng = np.random.default_rng(0)
    position, high, key = rng.integers(0, 2**64, (3, 200), dtype=U64)
    found = [PHILOX.numpy(position, high, key, half=half).tolist() for half in (0, 1)]
    want = [halves(int(a), int(b), int(c)) for a, b, c in zip(position, high, key, strict=True)]
    assert list(zip(*found, strict=True)) == want


def test_blocks_and_broadcast_numbers_of_the_reference() -> None:
    """More elements than are computed at once, and operands that are one number everywhere."""
    position = np.arange(20_000, dtype=U64).reshape(2, 10_000)
    one = np.broadcast_to(U64(5), position.shape)
    found = PHILOX.numpy(position, one, one, half=0)
    np.testing.assert_array_equal(found, PHILOX.numpy(position, one.copy(), one.copy(), half=0))
    assert [int(found[1, 9_999]), int(found[0, 0])] == [halves(19_999, 5, 5)[0], halves(0, 5, 5)[0]]
    assert PHILOX.numpy(position[:, :0], one[:, :0], one[:, :0], half=0).shape == (2, 0)


def test_multiply_high() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 2**64, (2, 500), dtype=U64)
    want = [int(a) * int(b) >> 64 for a, b in zip(x, y, strict=True)]
    assert MULTIPLY_HIGH.numpy(x, y).tolist() == want


def test_a_draw_is_what_the_documentation_says() -> None:
    """Key: seed, stream. Counter: place in C order and number of the draw, then the counter of the key."""
    key = gc.random.Key(seed=7, stream=2**32 - 1)
    key.counter.value = 2**40 + 3
    (found,) = values(gc.random.uniform(key, (2, 3), draw=5))
    for place, u in enumerate(found.ravel()):
        first, _ = halves(place + (5 << 48), 2**40 + 3, 7 | (2**32 - 1) << 32)
        assert u == (first >> 11) * 2.0**-53
    (single,) = values(gc.random.uniform(key, (2, 3), "float32", draw=5))
    np.testing.assert_array_equal(single, np.floor(found * 2**24) / 2**24)


# one meaning in all modes


def all_draws(key: gc.random.Key, n: Any, like: Any = None) -> list[Any]:
    r = gc.random
    return [
        r.uniform(key, (n, 3), "float32", like=like),
        r.uniform(key, (2, n), low=-2.0, high=3.0, like=like),
        r.normal(key, (n,), like=like),
        r.normal(key, (n,), "float32", 1.0, 0.5, like=like),
        r.bernoulli(key, 0.3, (n, 2, 2), like=like),
        r.randint(key, -5, 10**18, (n,), like=like),
        r.randint(key, 0, 256, (n, 1), "uint8", like=like),
        r.permutation(key, n, like=like),
        r.uniform(key, like=like),
    ]


def test_the_same_bits_in_every_mode() -> None:
    """Reference, eager, plain Python, compiled with and without passes, a step, an exported file."""
    key = gc.random.Key(3, 4)
    key.counter.value = 11
    x = gc.input("x", ("n",))
    graph = Graph([x], [*all_draws(key, x.shape[0]), x + 1.0])
    given = np.zeros(37)
    want = evaluate(graph.outputs, {x: given})
    for mode in ("plain", "plain without passes", "plain in small kernels", "compiled", "step", "exported"):
        for found, wanted in zip(way(graph, mode)([given]), want, strict=True):
            assert found.dtype == wanted.dtype
            np.testing.assert_array_equal(found, wanted, err_msg=mode)
    for found, wanted in zip(all_draws(key, 37, EAGER), want, strict=False):
        assert isinstance(found, gc.eager.Tensor) and found.numpy().dtype == wanted.dtype
        np.testing.assert_array_equal(found.numpy(), wanted)


def test_the_same_bits_for_any_number_of_threads() -> None:
    key = gc.random.Key(5)
    drawn = [gc.random.uniform(key, (300, 1000), "float32"), gc.random.normal(key, (300_000,)) * 2.0]
    steps = [gc.compile([], drawn, threads=n) for n in (1, 2)]
    assert all(k.chunks > 2 for k in steps[1].kernels)
    want = values(*drawn)
    for step in steps:
        for found, wanted in zip(step(), want, strict=True):
            np.testing.assert_array_equal(found, wanted)
    assert all(k.vectors is not None and k.vectors >= 128 for k in steps[0].kernels), str(steps[0].kernels)


def test_one_code_for_all_seeds() -> None:
    texts = []
    for seed in (0, 1):
        key = gc.random.Key(seed, seed)
        texts.append(gc.compile([], gc.random.uniform(key, (3,)), key.updates()).text.source)
    assert texts[0] == texts[1]


def test_zero_size_and_named_dims() -> None:
    key = gc.random.Key(0)
    x = gc.input("x", ("n", "m"))
    drawn = gc.random.uniform(key, ("m", x.shape[0], 2))
    assert str(drawn.shape) == "(m, n, 2)"
    (found,) = evaluate([drawn + gc.sum(x)], {x: np.zeros((3, 4))})
    (fixed,) = values(gc.random.uniform(key, (4, 3, 2), draw=0))
    np.testing.assert_array_equal(found, fixed)
    assert values(gc.random.normal(key, (0, 3)))[0].shape == (0, 3)
    assert values(gc.random.permutation(key, 0))[0].tolist() == []


# distributions: fixed seeds, so a test passes always or never

COUNT = 200_000


def chi_square(counts: np.ndarray, expected: Any = None) -> float:
    """The statistic, in standard deviations from its mean."""
    expected = np.full(counts.shape, counts.sum() / counts.size) if expected is None else np.asarray(expected)
    free = counts.size - 1
    return float((((counts - expected) ** 2 / expected).sum() - free) / math.sqrt(2 * free))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform(dtype: str) -> None:
    (u,) = values(gc.random.uniform(gc.random.Key(1), (COUNT,), dtype))
    assert u.dtype == dtype and u.min() >= 0 and u.max() < 1
    for power in (1, 2, 3):
        spread = math.sqrt((1 / (2 * power + 1) - 1 / (power + 1) ** 2) / COUNT)
        assert abs((u.astype(float) ** power).mean() - 1 / (power + 1)) < 4 * spread
    assert abs(chi_square(np.histogram(u, 1000, (0, 1))[0])) < 4
    pairs = np.histogram2d(u[:-1:2], u[1::2], 30, [(0, 1), (0, 1)])[0]
    assert abs(chi_square(pairs.ravel())) < 4
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 4 / math.sqrt(COUNT)


def test_every_bit_is_fair() -> None:
    bits = 24
    (u,) = values(gc.random.uniform(gc.random.Key(2), (COUNT,), "float32"))
    whole = (u * 2**bits).astype(np.int64)
    assert (whole / 2**bits == u).all()
    for bit in range(bits):
        assert abs((whole >> bit & 1).mean() - 0.5) < 4 * 0.5 / math.sqrt(COUNT)


def test_unrelated_streams_seeds_steps_and_draws() -> None:
    key = gc.random.Key(1, 1)
    other, stream = gc.random.Key(2, 1), gc.random.Key(1, 2)
    later = gc.random.Key(1, 1)
    later.counter.value = 1
    drawn = values(*[gc.random.uniform(k, (COUNT,)) for k in (key, key, other, stream, later)])
    for u, v in itertools.combinations(drawn, 2):
        assert abs(np.corrcoef(u, v)[0, 1]) < 4 / math.sqrt(COUNT)
        assert not (u == v).any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal(dtype: str) -> None:
    (z,) = values(gc.random.normal(gc.random.Key(1), (COUNT,), dtype))
    assert z.dtype == dtype
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z.astype(float) ** power).mean() - moment) < 4 * math.sqrt(variance / COUNT)
    edges = np.linspace(-4, 4, 81)
    below = np.array([0.5 * math.erfc(-e / math.sqrt(2)) for e in edges])
    expected = COUNT * np.diff(np.concatenate([[0], below, [1]]))
    counts = np.histogram(z, np.concatenate([[-np.inf], edges, [np.inf]]))[0]
    assert abs(chi_square(counts, expected)) < 4


def test_box_muller_is_accurate() -> None:
    """Against 40 digits, with the smallest and largest u, and v around the zeros and ends of the cosine."""
    rng = np.random.default_rng(0)
    small = np.arange(50, dtype=U64) << U64(11)
    first = np.concatenate([rng.integers(0, 2**64, 1500, dtype=U64), small, ~small])
    quarters = np.concatenate([U64(k) * U64(2**62) + small[:25] for k in range(4)])
    second = np.concatenate([rng.integers(0, 2**64, 1500, dtype=U64), quarters])
    found = BOX_MULLER.numpy(first, second)
    worst = 0.0
    with mpmath.workdps(40):
        for a, b, z in zip(first.tolist(), second.tolist(), found, strict=True):
            u, v = mpmath.mpf((a >> 11) + 1) / 2**53, mpmath.mpf(b >> 11) / 2**53
            want = mpmath.sqrt(-2 * mpmath.log(u)) * mpmath.cospi(2 * v)
            worst = max(worst, abs(float((mpmath.mpf(float(z)) - want) / np.spacing(abs(float(want))))))
    assert worst < 5
    assert np.abs(found).max() < 8.6


@pytest.mark.parametrize("p", [0.0, 1e-4, 0.3, 1.0])
def test_bernoulli(p: float) -> None:
    key = gc.random.Key(3)
    (hit,) = values(gc.random.bernoulli(key, p, (COUNT,)))
    assert hit.dtype == bool
    assert abs(hit.mean() - p) <= 4 * math.sqrt(p * (1 - p) / COUNT)
    u, of_tensor, number = values(
        gc.random.uniform(key, (COUNT,), draw=0),
        gc.random.bernoulli(key, gc.constant(p), (COUNT,), draw=0),
        gc.random.bernoulli(key, p, (COUNT,), "float32", draw=0),
    )
    np.testing.assert_array_equal(hit, u < p)
    np.testing.assert_array_equal(of_tensor, hit)
    np.testing.assert_array_equal(number, hit.astype("float32"))
    assert number.dtype == np.float32


def test_bernoulli_compares_without_rounding() -> None:
    """A probability that is exactly one of the numbers drawn is not below itself; the next one above it is."""
    key = gc.random.Key(3)
    (u,) = values(gc.random.uniform(key, (1,), draw=0))
    for p, want in ((u[0], False), (np.nextafter(u[0], 1), True)):
        assert values(gc.random.bernoulli(key, float(p), (1,), draw=0))[0][0] == want
        assert values(gc.random.bernoulli(key, gc.constant([p]), draw=0))[0][0] == want
    assert not values(gc.random.bernoulli(key, gc.constant([np.nan])))[0][0]


RANGES = ((0, 1), (-3, 4), (0, 2**32 + 1), (-(2**63), 2**63 - 1), (2**63 - 2, 2**63))


@pytest.mark.parametrize("low,high", RANGES)
def test_randint_is_the_upper_half_of_a_product(low: int, high: int) -> None:
    key = gc.random.Key(4)
    (found,) = values(gc.random.randint(key, low, high, (300,), draw=0))
    assert found.dtype == np.int64
    for place, got in enumerate(found.tolist()):
        upper, lower = halves(place, 0, 4)
        assert got == low + ((upper * 2**64 + lower) * (high - low) >> 128)


def test_randint_is_fair() -> None:
    """Also where remainders of, or products with, 64 bits are not: residues of a range of 3/4 of all numbers."""
    key = gc.random.Key(4)
    six, wide, small = values(
        gc.random.randint(key, 1, 7, (COUNT,)),
        gc.random.randint(key, 0, 3 * 2**62, (COUNT,), "uint64"),
        gc.random.randint(key, -128, 128, (COUNT,), "int8"),
    )
    assert abs(chi_square(np.bincount(six)[1:])) < 4 and six.min() == 1 and six.max() == 6
    assert abs(chi_square(np.bincount((wide % U64(3)).astype(int)))) < 4
    assert abs(chi_square(np.bincount(small.astype(int) + 128))) < 4 and small.dtype == np.int8


def test_permutation() -> None:
    key = gc.random.Key(5)
    order, rows = values(
        gc.random.permutation(key, 1000),
        gc.random.permutation(key, np.tile(np.arange(4), (24_000, 1)), axis=1, independent=True),
    )
    assert sorted(order.tolist()) == list(range(1000)) and order.dtype == np.int64
    _, counts = np.unique(rows @ [64, 16, 4, 1], return_counts=True)
    assert counts.size == 24 and abs(chi_square(counts)) < 4
    x = np.arange(12.0).reshape(3, 4)
    rows, columns = values(
        gc.random.permutation(key, gc.constant(x), draw=0), gc.random.permutation(key, gc.constant(x), axis=-1, draw=0)
    )
    order3, order4 = values(gc.random.permutation(key, 3, draw=0), gc.random.permutation(key, 4, draw=0))
    np.testing.assert_array_equal(rows, x[order3])
    np.testing.assert_array_equal(columns, x[:, order4])


# keys


def test_the_counter_makes_the_steps() -> None:
    """Call by call, in a compiled loop, after setting the counter back, and from a copy."""
    key = gc.random.Key(6)
    step = gc.compile([], gc.random.normal(key, (5,)), key.updates())
    called = np.array([step() for _ in range(4)])
    assert np.unique(called).size == 20 and int(key.counter.value) == 4
    key.counter.value = 0
    np.testing.assert_array_equal(step.run(steps=4), called)
    key.counter.value = 2
    np.testing.assert_array_equal(step(), called[2])
    kept = pickle.loads(pickle.dumps(key))
    assert repr(kept) == "<Key seed 6, stream 0, counter 3>"
    other = gc.compile([], gc.random.normal(kept, (5,), draw=0), kept.updates())
    np.testing.assert_array_equal(other(), called[3])
    assert (int(kept.counter.value), int(key.counter.value)) == (4, 3)
    assert copy.deepcopy(key).counter is not key.counter


def test_without_updates_a_step_repeats_itself() -> None:
    key = gc.random.Key(6)
    step = gc.compile([], gc.random.uniform(key, (3,)))
    np.testing.assert_array_equal(step(), step())


def test_eager_steps_are_compiled_steps() -> None:
    key = gc.random.Key(8)
    step = gc.compile([], [gc.random.uniform(key, (3,)), gc.random.normal(key, (2, 2))], key.updates())
    compiled = [step(), step()]
    key.counter.value = 0
    for want in compiled:
        found = [gc.random.uniform(key, (3,), like=EAGER), gc.random.normal(key, (2, 2), like=EAGER)]
        key.advance()
        for f, w in zip(found, want, strict=True):
            np.testing.assert_array_equal(f.numpy(), w)
    assert int(key.counter.value) == 2


def test_eager_draws_of_one_step_differ() -> None:
    key = gc.random.Key(8)
    first, second = (gc.random.uniform(key, (3,), like=EAGER).numpy() for _ in range(2))
    assert not (first == second).any()
    key.counter.value = 0  # numbers start again, though the counter is what it was
    np.testing.assert_array_equal(gc.random.uniform(key, (3,), like=EAGER).numpy(), first)


def test_the_state_of_a_key_has_its_eager_draws() -> None:
    """A key goes on where another was, also between two steps; so do copies. Old states have no number of draws."""

    def drawn(key: gc.random.Key) -> list[float]:
        return gc.random.uniform(key, (3,), like=EAGER).numpy().tolist()

    key, whole = gc.random.Key(8), gc.random.Key(8)
    key.advance(2)
    whole.counter.value = 2
    want = [drawn(whole) for _ in range(4)]
    assert [drawn(key), drawn(key)] == want[:2]
    state = key.state_dict()
    assert {name: (str(a.dtype), int(a)) for name, a in state.items()} == {
        "words": ("uint64", 8), "counter": ("int64", 2), "draws": ("int64", 2),
    }  # fmt: skip
    other, old, renewed = gc.random.Key(1), gc.random.Key(1), copy.copy(key)
    other.load_state_dict(state)
    old.load_state_dict({name: state[name] for name in ("words", "counter")})
    pickled = pickle.loads(pickle.dumps(key))
    for goes_on in (other, renewed, pickled, copy.deepcopy(key), key):
        assert [drawn(goes_on), drawn(goes_on)] == want[2:]
    assert drawn(old) == want[0]
    key.load_state_dict(state)
    assert drawn(key) == want[2]
    key.advance()
    assert int(key.state_dict()["draws"]) == 0


def test_a_bad_state_changes_nothing_of_a_key() -> None:
    key = gc.random.Key(9, 3)
    key.advance(2)
    gc.random.uniform(key, (3,), like=EAGER)
    before = key.state_dict()
    good = gc.random.Key(1).state_dict()
    for state, text in (
        ({**good, "counter": np.zeros(2, np.int64)}, "counter: int64[2], expected an int >= -2**63 and < 2**63"),
        ({**good, "counter": 1.5}, "counter: 1.5, expected an int >= -2**63 and < 2**63"),
        ({**good, "counter": None}, "counter: None, expected an int >= -2**63 and < 2**63"),
        ({**good, "words": -1}, "words: -1, expected an int >= 0 and < 2**64"),
        ({**good, "words": np.array(True)}, "words: True, expected an int >= 0 and < 2**64"),
        ({**good, "draws": -1}, "draws: -1, expected an int >= 0 and < 2**63"),
        ({**good, "more": 1}, "words, counter, draws, more, expected words, counter, draws"),
        ({"words": 1, "draws": 1}, "words, draws, expected words, counter, draws"),
        ({}, "nothing, expected words, counter, draws"),
        (3, "int, expected words, counter, draws"),
    ):  # fmt: skip
        with pytest.raises(gc.InputError) as error:
            key.load_state_dict(state)  # type: ignore[arg-type]
        assert text_of(error.value) == f"cannot load the state of a Key: got {text}\n  at LINE"
        assert key.state_dict() == before


def test_eager_where_a_parameter_is() -> None:
    key = gc.random.Key(8)
    low = gc.eager.tensor([0.0, 10.0])
    for drawn in (
        gc.random.uniform(key, (2,), low=low, high=low + 1),
        gc.random.normal(key, (2,), mean=low),
        gc.random.bernoulli(key, low / 10),
        gc.random.permutation(key, low),
    ):
        assert isinstance(drawn, gc.eager.Tensor)


def test_state() -> None:
    key = gc.random.Key(9, 2**32 - 1)
    key.advance(3)
    other = gc.random.Key(0)
    other.load_state_dict(key.state_dict())
    assert (other.seed, other.stream, int(other.counter.value)) == (9, 2**32 - 1, 3)
    np.testing.assert_array_equal(*values(gc.random.uniform(key, (4,), draw=0), gc.random.uniform(other, (4,), draw=0)))


def test_each_draw_has_a_number_of_its_own() -> None:
    key = gc.random.Key(1)
    first, second, again = (gc.random.uniform(key, (3,), draw=d) for d in (None, None, 0))
    assert first is again and second is not first
    a, b = values(first, second)
    assert not (a == b).any()


def test_a_function_traced_again_draws_the_same() -> None:
    key = gc.random.Key(1)
    outside = gc.random.uniform(key, ())

    @gc.compile
    def noisy(x: Any) -> Any:
        return x + gc.random.uniform(key, (2,)), gc.random.uniform(key, ()), outside

    first = noisy(np.zeros(2))
    later = gc.random.uniform(key, ())
    again = noisy(np.zeros((5, 2)))
    assert len(noisy.steps) == 2
    np.testing.assert_array_equal(again[0], np.tile(first[0], (5, 1)))
    assert again[1] == first[1]
    assert len({float(first[1]), float(first[2]), float(values(later)[0]), *first[0].tolist()}) == 5


def test_a_step_that_was_traced_is_the_eager_one() -> None:
    key = gc.random.Key(2)

    def loss(w: Any, x: Any) -> Any:
        keep = gc.random.bernoulli(key, 0.5, x.shape, like=x)
        noise = gc.random.normal(key, x.shape, like=x)
        return gc.sum(gc.where(keep, w * x, 0.0) + noise)

    compared = gc.contrast(loss, np.ones(4), np.arange(4.0))
    np.testing.assert_array_equal(compared.gradients[0], np.where(compared.gradients[0] != 0, np.arange(4.0), 0))


# derivatives and batches


def test_gradients_go_to_the_parameters() -> None:
    key = gc.random.Key(3)
    low, high = gc.param([1.0, 2.0]), gc.param([2.0, 5.0])
    u, z = values(gc.random.uniform(key, (2,), draw=0), gc.random.normal(key, (2,), draw=0))
    drawn = gc.random.uniform(key, (2,), low=low, high=high, draw=0)
    found = values(drawn, *gc.grad(gc.sum(drawn), [low, high]))
    for got, want in zip(found, (low.value + (high.value - low.value) * u, 1 - u, u), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-15)
    drawn = gc.random.normal(key, (2,), mean=low, std=high, draw=0)
    found = values(drawn, *gc.grad(gc.sum(drawn), [low, high]))
    for got, want in zip(found, (low.value + high.value * z, np.ones(2), z), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-15)
    shuffled = gc.random.permutation(key, low, draw=0)
    order, grad = values(gc.random.permutation(key, 2, draw=0), gc.grad(gc.sum(shuffled * [1.0, 10.0]), low))
    np.testing.assert_array_equal(grad[order], [1.0, 10.0])
    (none,) = values(gc.grad(gc.sum(gc.where(gc.random.bernoulli(key, low / 10), 1.0, 0.0)), low))
    np.testing.assert_array_equal(none, [0.0, 0.0])


def test_the_certificate_of_a_loss_with_noise() -> None:
    key = gc.random.Key(3)
    x, w = gc.input("x", ("n",)), gc.param([0.5, -0.3])
    keep = gc.random.bernoulli(key, 0.5, (x.shape[0], 2))
    loss = gc.sum((gc.where(keep, x[:, None] * w, 0.0) + gc.random.normal(key, (2,), std=gc.exp(w))) ** 2)
    checks = {check.what: check.status for check in gc.verify(loss, [w]).checks}
    assert checks["compiled against reference"] == checks["forward mode against reverse mode"] == "passed"


def test_many_counters_at_once() -> None:
    key = gc.random.Key(3)
    counters = np.arange(4)
    drawn = gc.random.normal(key, (3,), draw=0)
    (many,) = values(gc.vmap(drawn, over={key.counter: counters}))
    for k in counters:
        key.counter.value = k
        np.testing.assert_array_equal(many[k], values(drawn)[0])


def test_samples_share_what_was_drawn_outside() -> None:
    key = gc.random.Key(3)
    noise = gc.random.normal(key, (2,))
    x = gc.input("x", (5, 2))
    (found,) = evaluate([gc.vmap(lambda row: row + noise)(x)], {x: np.zeros((5, 2))})
    np.testing.assert_array_equal(found, np.tile(values(noise)[0], (5, 1)))


# errors

KEY = gc.random.Key(0)
ERRORS = (
    (lambda: gc.random.Key(-1), "bad seed of a random key: got -1, expected an int from 0 to 2**32 - 1", ""),
    (
        lambda: gc.random.Key(2**32),
        "bad seed of a random key: got 4294967296, expected an int from 0 to 2**32 - 1",
        "a seed of 64 bits: gc.random.Key(seed % 2**32, seed // 2**32)",
    ),
    (lambda: gc.random.Key(0, 1.5), "bad stream of a random key: got 1.5, expected an int from 0 to 2**32 - 1", ""),
    (
        lambda: gc.random.uniform(3, (2,)),
        "bad arguments of gc.random.uniform: got 3, expected a gc.random.Key first",
        "key = gc.random.Key(seed)",
    ),
    (
        lambda: gc.random.uniform(KEY, (2,), "int32"),
        "uniform of another dtype: got int32, expected float32 or float64",
        "gc.random.randint draws integers",
    ),
    (
        lambda: gc.random.normal(KEY, (2,), "bool"),
        "normal of another dtype: got bool, expected float32 or float64",
        "gc.random.bernoulli draws bools",
    ),
    (
        lambda: gc.random.uniform(KEY, (2,), low=1.0, high=0.0),
        "bad arguments of gc.random.uniform: got low=1.0, high=0.0, expected finite numbers, low <= high",
        "",
    ),
    (
        lambda: gc.random.normal(KEY, (2,), std=-1),
        "bad arguments of gc.random.normal: got mean=0.0, std=-1, expected finite numbers, std >= 0",
        "",
    ),
    (
        lambda: gc.random.bernoulli(KEY, 1.5),
        "bad arguments of gc.random.bernoulli: got p=1.5, expected a probability",
        "",
    ),
    (
        lambda: gc.random.randint(KEY, 3, 3),
        "bad arguments of gc.random.randint: got low=3, high=3, expected low < high, both within int64",
        "",
    ),
    (
        lambda: gc.random.randint(KEY, 0, 257, (2,), "uint8"),
        "bad arguments of gc.random.randint: got low=0, high=257, expected low < high, both within uint8",
        "",
    ),
    (
        lambda: gc.random.randint(KEY, 0, 2.5),
        "bad arguments of gc.random.randint: got low=0, high=2.5, expected ints",
        "gc.floor(gc.random.uniform(key, shape) * n) has a range that depends on data",
    ),
    (
        lambda: gc.random.randint(KEY, 0, 2, dtype="float32"),
        "randint of another dtype: got float32, expected an integer",
        "",
    ),
    (
        lambda: gc.random.uniform(KEY, draw=-1),
        "bad arguments of gc.random.uniform: got draw=-1, expected an int from 0 to 65535",
        "",
    ),
    (
        lambda: gc.random.normal(KEY, (2,), mean=gc.zeros(3)),
        "cannot add: got gc.zeros(3): float64[3], operand 2: float64[2], expected shapes that broadcast: equal sizes, "
        "or 1, from the last axis backwards",
        "",
    ),
    (
        lambda: gc.random.normal(KEY, (3,), mean=gc.zeros((2, 1))),
        "parameters that do not fit in normal: got a result of shape [2, 3], expected the shape asked for, [3]",
        "give shape= that of the parameters, or what they broadcast to",
    ),
    (
        lambda: gc.random.uniform(KEY, (3,), "float32", high=gc.ones(3)),
        "parameters of another dtype in uniform: got float64, expected float32",
        "draw with dtype='float64', or convert them with astype",
    ),
    (
        lambda: gc.random.permutation(KEY, gc.zeros(3), axis=1),
        "axis out of range in permutation: got 1, expected -1 <= axis < 1",
        "",
    ),
    (
        lambda: KEY.load_state_dict({"seed": 3}),
        "cannot load the state of a Key: got seed, expected words, counter, draws",
        "",
    ),
    (
        lambda: gc.vmap(lambda x: x + gc.random.normal(KEY))(gc.zeros(3)),
        "cannot draw random numbers inside gc.vmap: got <Key seed 0, stream 0, counter 0>",
        "draw outside: with an axis of samples, as one more argument to map over, if each sample is to have its own; "
        "else without, for all the same",
    ),
)


@pytest.mark.parametrize("wrong,text,hint", ERRORS, ids=[text[:40] for _, text, _ in ERRORS])
def test_errors(wrong: Any, text: str, hint: str) -> None:
    with pytest.raises(gc.GraphcError) as caught:
        wrong()
    lines = str(caught.value).splitlines()
    assert lines[0] == text
    assert lines[1].startswith(f"  at {__file__}:")
    assert lines[2:] == ([f"  hint: {hint}"] if hint else [])


def test_too_many_draws() -> None:
    key = gc.random.Key(0)
    key._made = 2**16
    with pytest.raises(gc.InputError) as caught:
        gc.random.uniform(key)
    lines = str(caught.value).splitlines()
    assert lines[0] == (
        "too many draws from one key: got draw number 65536, expected at most 65536 draws at one value of its counter"
    )
    assert lines[2] == (
        "  hint: draw one larger array; eager code ends a step with key.advance(); a new graph may use a new key, "
        "with a stream of its own"
    )


def test_names_people_try() -> None:
    for name, function in (
        ("randn", "normal"),
        ("rand", "uniform"),
        ("randint", "randint"),
        ("randperm", "permutation"),
    ):
        with pytest.raises(AttributeError) as caught:
            getattr(gc, name)
        assert f"key = gc.random.Key(seed), gc.random.{function}(key, ...)" in str(caught.value)


def test_functions_of_the_module() -> None:
    assert inspect.unwrap(gc.random.uniform) is uniform
    zero = gc.constant(0, "uint64")
    assert int(philox(zero, zero, zero, 1)) == 0x9B00DBD8_BC57AC4C
