"""Large products by cuBLAS, on stand-ins for it and for the driver: right wherever operands are, and recorded.

The real binding loads the stand-in; kernels run in numba's simulator, each in its turn. What a recorded call was given
is what it keeps, so an address that changes from call to call shows as a wrong result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from test_cuda_driver import part, some

Scenario = Callable[..., list[str]]


def products(calls: Sequence[str]) -> list[str]:
    """What cuBLAS was asked for, or is recorded."""
    assert not some(calls, "wrong")
    return [call for call in calls if "gemm" in call]


def said(calls: Sequence[str]) -> str:
    """The last mark of the scenario."""
    return some(calls, "# ")[-1].removeprefix("# ")


FORWARD = ["gemmBatched 6x4x5 1", "gemmBatched 6x3x4 1"]
BACKWARD = ["gemm 6x4x3 1", "gemm 4x3x6 1", "gemmBatched 5x4x6 1"]


def test_products_are_large_or_not_as_sizes_show_and_recorded_at_the_second_call(product: Scenario) -> None:
    calls = product("training")
    assert products(part(calls, "call 0")) == [f"S{call} s1" for call in FORWARD + BACKWARD]
    assert products(part(calls, "call 1")) == [f"record S{call}" for call in FORWARD + BACKWARD]
    for k in (2, 4, 5):
        assert not products(part(calls, f"call {k}")), "two rows are few"
    last = part(calls, "call 7")
    assert not products(last) and len(some(last, "graph")) == 1
    assert len(some(calls, "cublas")) == 1 and len(some(calls, f"allocate {1 << 25}")) == 1


def test_arrays_on_the_device_are_found_wherever_they_are(product: Scenario) -> None:
    calls = product("elsewhere")
    for k in range(3, 7):
        one = part(calls, f"call {k}")
        assert len(some(one, "graph")) == 1 and not products(one)
    assert len(some(part(calls, "rows"), "SgemmBatched", "record SgemmBatched")) == 2


def test_what_follows_a_product_is_a_kernel_behind_it(product: Scenario) -> None:
    calls = product("epilogues")
    assert "# 6 rows: cuBLAS; own kernels: 1" in calls, "none that multiplies"
    assert "# n rows: cuBLAS where it is large; own kernels: 3" in calls, "in large tiles, in small ones, behind cuBLAS"
    for k in (n for n, call in enumerate(calls) if call.startswith("# ")):
        one = part(calls[k:], calls[k].removeprefix("# "))
        assert products(one) == ["SgemmBatched 6x4x5 1 s1", "record SgemmBatched 6x4x5 1"]
        assert len(some(one, "kernel")) == len(some(one, "record kernel")) == 1, "and only that behind it"


def test_batches_stand_evenly_or_are_listed(product: Scenario) -> None:
    calls = product("batches")
    assert products(part(calls, "call 0")) == ["SgemmBatched 4x4x3 6 s1", "SgemmStridedBatched 4x3x4 6 s1"]
    assert products(part(calls, "evenly")) == 3 * ["DgemmStridedBatched 4x6x5 3 s1"]
    assert products(part(calls, "of inputs")) == [], "these stand elsewhere at every call"


def test_zeros_annihilate_behind_cublas(product: Scenario) -> None:
    assert len(products(product("guards"))) == 6


@pytest.mark.parametrize(("name", "eager"), [("elsewhere", "3"), ("guards", "1")])
def test_results_do_not_depend_on_when_work_is_done(product: Scenario, name: str, eager: str) -> None:
    assert products(product(name, FAKE_CUDA_EAGER=eager))


def test_each_device_has_its_own(product: Scenario) -> None:
    calls = product("devices", FAKE_CUDA_DEVICES="2")
    assert len(some(calls, "cublas")) == 2
    assert {call.split()[-1] for call in products(calls) if not call.startswith("record")} == {"s1", "s4"}


def test_kernels_one_by_one(product: Scenario) -> None:
    assert len(products(product("unrecorded", GRAPHC_CUDA_GRAPHS="0"))) == 15


def test_own_kernels_multiply_where_the_library_is_not(product: Scenario) -> None:
    calls = product("without", found=False)
    assert not products(calls)
    found, _, fix = said(calls).partition(" -> ")
    assert found.startswith("none: graphc's own kernels multiply; looked for the library cuBLAS, found: ")
    assert "libcublas" in found and fix == "pip install 'graphc[cuda]'"


def test_own_kernels_multiply_where_that_is_asked_for(product: Scenario) -> None:
    calls = product("without", GRAPHC_CUBLAS="0")
    assert not products(calls) and said(calls) == "off: graphc's own kernels multiply -> unset GRAPHC_CUBLAS"


def test_both_are_measured(product: Scenario) -> None:
    """What `tests/benchmarks/device.py` says of them is right, if the device's clock is."""
    calls = products(product("benchmark"))
    assert {call.split()[0] for call in calls if not call.startswith("record")} == {
        *("Sgemm", "SgemmBatched", "Dgemm", "DgemmBatched"),
    }


def test_doctor_finds_it(product: Scenario) -> None:
    assert said(product("report")) == "12.1.2, for large products of matrices -> "


@pytest.mark.parametrize(
    ("function", "text"),
    [
        ("cublasCreate", "cuBLAS failed in create: got NOT_INITIALIZED (1), expected SUCCESS (0)"),
        ("Sgemm", "cuBLAS failed in sgemm_64: got EXECUTION_FAILED (13), expected SUCCESS (0)"),
    ],
)
def test_what_it_refuses_is_an_error(product: Scenario, function: str, text: str) -> None:
    calls = product("failing", FAKE_CUBLAS_FAIL=function)
    assert said(calls) == text
    assert "  hint: GRAPHC_CUBLAS=0, set before steps are compiled, has graphc's own kernels multiply" in calls
