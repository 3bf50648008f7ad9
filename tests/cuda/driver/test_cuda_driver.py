"""Steps on a stand-in for the CUDA driver: what is asked of it, in which order, and that the results are right.

The stand-in does work as late as CUDA allows, or at once, so an order that is not asked for shows as a wrong result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

Scenario = Callable[..., list[str]]


def part(calls: Sequence[str], name: str) -> list[str]:
    """The calls noted behind the mark `name`, up to the next."""
    start = calls.index(f"# {name}") + 1
    rest = calls[start:]
    return rest[: next((k for k, call in enumerate(rest) if call.startswith("# ")), len(rest))]


def some(calls: Sequence[str], *starts: str) -> list[str]:
    return [call for call in calls if call.startswith(starts)]


def test_a_step_is_recorded_at_its_second_call_and_one_launch_from_then_on(scenario: Scenario) -> None:
    calls = scenario("calls")
    first, second, third = (part(calls, f"call {k}") for k in range(3))
    kernels = len(some(first, "kernel"))
    assert kernels > 1 and not some(first, "graph", "begin")
    assert len(some(second, "begin recording s3 mode 2")) == 1 and not some(second, "kernel")
    assert len(some(second, "record kernel")) == kernels and len(some(second, "record copy out pinned")) == 1
    for k in range(2, 6):
        again = part(calls, f"call {k}")
        assert again == third, "nothing is allocated, pinned or recorded any more"
    copied, launched = ["synchronise event", "copy in pinned 128 s1", "event 0 s1"], f"graph {kernels + 1} s1"
    assert third == [*copied, launched, "event 0 s1", "synchronise s1"]


def test_outputs_that_stay_are_not_waited_for_and_not_written_again_while_held(scenario: Scenario) -> None:
    calls = scenario("outputs_stay")
    for k in range(3, 8):
        one = part(calls, f"call {k}")
        assert len(some(one, "graph")) == 2, "two steps"
        assert not some(one, "synchronise s", "synchronise all", "copy out", "record", "kernel")
    for k in range(2, 8):
        assert not some(part(calls, f"dropped {k}"), "allocate", "pin", "synchronise s", "synchronise all")
    exported = [part(calls, f"exported {k}") for k in range(12)]
    waits = [len(some(one, "synchronise all")) for one in exported]
    assert 1 <= sum(waits) <= 4, "the device is waited for before such memory is used again, once for several"
    assert not any(some(one, "allocate") for one in exported[6:])


def test_copies_ahead_go_beside_the_step(scenario: Scenario) -> None:
    calls = scenario("prefetched")
    for k in range(11):
        one = part(calls, f"call {k}")
        ahead = some(one, "copy in pinned")
        assert not [call for call in ahead if call.endswith(" s1") and "128" in call], "its arrays were there"
        assert some(one, "wait 0 s1")
    changed = part(calls, "changed")
    assert some(changed, "copy in pinned 128 s1") and not some(changed, "wait 0 s1")
    whole = "\n".join(calls)
    assert "copy in pinned 128 s2" in whole


def test_a_run_copies_the_next_batch_while_a_step_is_under_way(scenario: Scenario) -> None:
    calls = scenario("run")
    one = part(calls, "run {'epochs': 1}")
    launches = [k for k, call in enumerate(one) if call.startswith(("graph", "kernel"))]
    copies = [k for k, call in enumerate(one) if call.startswith("copy in pinned") and call.endswith("s2")]
    waits = [k for k, call in enumerate(one) if call == "synchronise s1"]
    assert len(copies) == 3, "of five batches: the first and the ragged one are in segments of their own"
    for copy in copies:
        before = max(k for k in launches if k < copy)
        assert min(k for k in waits if k > before) > copy, "between a launch and the wait for it"
    repeated = part(calls, "repeat")
    assert len(some(repeated, "copy in")) == 2, "the data, once, and the table"
    loader = part(calls, "loader")
    assert len([call for call in some(loader, "copy in pinned") if call.endswith("s2")]) == 5


def test_the_error_cell_is_cleared_and_read_in_the_recording(scenario: Scenario) -> None:
    calls = scenario("errors")
    second = part(calls, "call 1")
    assert some(second, "record")[0] == "record set 8" and "record copy out pinned 8" in second
    assert not some(part(calls, "call 3"), "set", "copy out")


@pytest.mark.parametrize("eager", ["1", "2", "3"])
@pytest.mark.parametrize("name", ["calls", "outputs_stay", "prefetched", "run", "foreign"])
def test_results_do_not_depend_on_when_work_is_done(scenario: Scenario, name: str, eager: str) -> None:
    assert scenario(name, FAKE_CUDA_EAGER=eager)


def test_threads_at_once(scenario: Scenario) -> None:
    assert some(scenario("at_once"), "graph")


@pytest.mark.parametrize("function", ["cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiate"])
def test_a_driver_that_does_not_record(scenario: Scenario, function: str) -> None:
    calls = scenario("no_recording", FAKE_CUDA_FAIL=function)
    assert not some(calls, "graph") and len(some(calls, "begin recording")) == 1
    assert calls[-2:] == [
        "# the step 'step' is launched kernel by kernel on cuda:0: got CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED of "
        f"{function}, expected a recording of it, as a CUDA graph",
        "  hint: it computes the same, and takes longer to launch; GRAPHC_CUDA_GRAPHS=0 asks for that",
    ], "said once"


def test_recording_turned_off(scenario: Scenario) -> None:
    calls = scenario("no_recording", GRAPHC_CUDA_GRAPHS="0")
    assert not some(calls, "graph", "begin") and calls[-1] == "# ", "and nothing is said"


def test_a_launch_that_is_refused(scenario: Scenario) -> None:
    assert scenario("refused_launch", FAKE_CUDA_FAIL="cuGraphLaunch")[-1] == (
        "# the CUDA driver failed in cuGraphLaunch: got CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, expected CUDA_SUCCESS"
    )


def test_many_kernels_are_compiled_in_one_process(scenario: Scenario) -> None:
    assert scenario("many_kernels", GRAPHC_COMPILERS="4")


def test_several_devices(scenario: Scenario) -> None:
    calls = scenario("devices", FAKE_CUDA_DEVICES="2")
    assert len(some(calls, "stream")) == 6


def test_arrays_of_other_libraries_are_ordered_by_events_or_waited_for(scenario: Scenario) -> None:
    calls = scenario("foreign")
    known, unknown, legacy, capsule = (part(calls, name) for name in ("known", "unknown", "legacy", "capsule"))
    assert known[:2] == ["event 0 s4", "wait 0 s1"] and known[-2:] == ["event 0 s1", "wait 0 s4"]
    assert legacy[:2] == ["event 0 s0", "wait 0 s1"] and legacy[-2:] == ["event 0 s1", "wait 0 s0"]
    for ordered in (known, legacy):
        assert not some(ordered, "synchronise s1")
    for waited in (unknown, capsule):
        assert waited[-1] == "synchronise s1" and not some(waited, "wait")
