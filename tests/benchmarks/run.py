"""The benchmark suite: ``python tests/benchmarks/run.py [workloads ...] [options]``.

Every workload is computed by graphc and by its peers, on the same data, each in processes of their own:

- one with empty cache folders: seconds to the first result ("cold");
- one with the folders that the first has left: seconds to the first result ("warm"), the time of a step (least and
  median of many), the peak of memory, and the results, which are compared with a float64 NumPy reference. Where
  nothing is cached, it is the only one.

"cold" and "warm" count from after the import of the library, which has a column of its own, and with the data in
memory. The process is pinned to as many cores as it may use threads. With ``--busy``, another process spins on the
second core. A way whose results differ by more than the workload's tolerance is marked WRONG, and the exit status is 1.

``--keep FILE`` adds what was measured to a file, in the place of older figures of the same ways, and ``--readme``
writes the tables of all that is in it:

    python tests/benchmarks/run.py --keep measured.json
    python tests/benchmarks/run.py --keep measured.json --busy --threads 2 --peers --readme

The peers are the extra `bench` of this project. They can live in environments of their own:
``--python torch=/path/to/python``.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from benchmarks.tables import HEAD, Line, cells, markdown, text_row  # noqa: E402 - found by the line above
from benchmarks.worker import MODULES, worker  # noqa: E402
from benchmarks.workload import Workload, worst_error  # noqa: E402
from benchmarks.workloads import WORKLOADS  # noqa: E402

README = HERE.parents[1] / "README.md"
MARKERS = "<!-- benchmarks -->\n", "<!-- end of benchmarks -->\n"
PEERS = [way for way in MODULES if way != "graphc"]
COMPILE_TIME = "compile_time"
NO_CACHE = ("numpy", "torch", "casadi", "casadi C")
"""Ways that leave nothing behind that a second process could use."""


def environment(threads: int, folder: Path, float64: bool) -> dict[str, str]:
    """Thread counts of all libraries, and all caches inside `folder`."""
    names = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA")
    settings = {f"{name}_NUM_THREADS": str(threads) for name in names}
    settings["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'}"
    settings["JAX_ENABLE_X64"] = str(int(float64))
    settings["JAX_PLATFORMS"] = "cpu"
    settings["PYTENSOR_FLAGS"] = f"base_compiledir={folder / 'pytensor'},floatX={'float64' if float64 else 'float32'}"
    settings["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    for name, place in (
        ("GRAPHC_CACHE_DIR", "graphc"),
        ("NUMBA_CACHE_DIR", "numba"),
        ("TORCHINDUCTOR_CACHE_DIR", "torch"),
        ("JAX_COMPILATION_CACHE_DIR", "jax"),
    ):
        settings[name] = str(folder / place)
    return {**os.environ, **settings}


def pin(first: int, last: int) -> Callable[[], None] | None:
    """What a new process does to stay on some of the cores that this one may use; nothing where there is no way."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    return functools.partial(os.sched_setaffinity, 0, sorted(os.sched_getaffinity(0))[first:last])


def process(python: str, options: dict[str, Any], settings: dict[str, str], timeout: float) -> dict[str, Any]:
    """What a worker found; "note" says why it found nothing."""
    command, cores = [python, __file__, "--worker", json.dumps(options)], pin(0, options["threads"])
    try:
        done = subprocess.run(
            command, env=settings, capture_output=True, text=True, timeout=timeout, preexec_fn=cores, check=False
        )
    except subprocess.TimeoutExpired:
        return {"note": f"no result in {timeout:.0f} s"}
    if done.returncode != 0:
        print(done.stderr, file=sys.stderr)
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {"note": f"FAILED: {last.partition(':')[0][:80]}"}  # what it says is printed above
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return {"note": "not installed"} if "missing" in found else found


def measure(workload: Workload, way: str, threads: int, files: tuple[Path, Path], options: Any) -> Line:
    """The processes of one way: two, or one where nothing is cached."""
    arrays, expected = files
    line = Line(workload.name, way, threads, busy=options.busy)
    python = options.python.get(way, sys.executable)
    with np.load(arrays) as data:
        float64 = any(data[name].dtype == np.float64 for name in data)
    with tempfile.TemporaryDirectory() as folder:
        settings = environment(threads, Path(folder), float64)
        results = Path(folder) / "results.npz"
        task = {"workload": workload.name, "way": way, "threads": threads, "data": str(arrays), "results": None}
        full = {**task, "results": str(results), "seconds": options.seconds}
        for step in (full,) if way in NO_CACHE else (task, full):
            found = process(python, step, settings, options.timeout)
            if "note" in found:
                line.note = found["note"]
                return line
            line.imported = min(found["import"], line.imported or found["import"])
            if line.cold is None:
                line.cold = found["first"]
            else:
                line.warm = found["first"]
        options.versions[way] = found["version"]
        line.least, line.median, line.memory = found["least"], found["median"], found["memory"]
        with np.load(results) as got, np.load(expected) as right:
            line.error = worst_error(list(got.values()), list(right.values()))
        line.wrong = line.error > workload.tolerance
    return line


@contextlib.contextmanager
def busy(wanted: bool) -> Iterator[None]:
    """A process that spins on the second core."""
    if not wanted:
        yield
        return
    spinning = subprocess.Popen([sys.executable, "-c", "while True: pass"], preexec_fn=pin(1, 2))
    try:
        yield
    finally:
        spinning.kill()
        spinning.wait()


def machine() -> str:
    """What the figures belong to, without names of machines."""
    info = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else None
    return f"{os.cpu_count()} cores, {model[1] if model else platform.machine()}, Python {platform.python_version()}"


def kept(file: Path | None, lines: list[Line], versions: dict[str, str]) -> tuple[list[Line], dict[str, str]]:
    """These figures and those in `file`, which now has them all; in the order of workloads and ways."""
    if file is None:
        return lines, versions
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"lines": [], "versions": {}}
    every = {(line.workload, line.way, line.threads, line.busy): line for line in [Line(**v) for v in found["lines"]]}
    every |= {(line.workload, line.way, line.threads, line.busy): line for line in lines}
    ways, names = list(MODULES), list(WORKLOADS)
    order = sorted(every.values(), key=lambda line: (names.index(line.workload), ways.index(line.way)))
    versions = {way: v for way in ways if (v := versions.get(way, found["versions"].get(way)))}
    whole = {"lines": [dataclasses.asdict(line) for line in order], "versions": versions}
    file.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return order, versions


def write_readme(table: str) -> None:
    """Replace what stands between the markers."""
    text = README.read_text(encoding="utf-8")
    start, end = (text.find(marker) for marker in MARKERS)
    if not 0 <= start < end:
        sys.exit(f"no {MARKERS[0].strip()} ... {MARKERS[1].strip()} in {README}")
    README.write_text(f"{text[:start]}{MARKERS[0]}\n{table}\n\n{text[end:]}", encoding="utf-8")


def parse() -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*WORKLOADS, COMPILE_TIME]
    parser.add_argument("workloads", nargs="*", metavar="workload", help=f"of: {', '.join(names)} (default: all)")
    parser.add_argument("--peers", nargs="*", default=PEERS, choices=PEERS, metavar="peer", help=", ".join(PEERS))
    parser.add_argument("--threads", default="1,2", help="thread counts, with commas (default: %(default)s)")
    parser.add_argument("--busy", action="store_true", help="keep the second core busy with another process")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="add the figures to those in a file (JSON)")
    parser.add_argument("--readme", action="store_true", help="write the tables of them all into README.md")
    parser.add_argument("--seconds", type=float, default=1.0, help="of timing per line (default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=300, help="seconds for one process (default: %(default)s)")
    parser.add_argument("--python", action="append", default=[], metavar="way=path", help="another interpreter for it")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = [name for name in options.workloads if name not in names]
    if unknown:
        parser.error(f"unknown workload {unknown[0]!r}; there are {', '.join(names)}")
    options.workloads = options.workloads or names
    options.threads = [int(n) for n in options.threads.split(",")]
    options.python = dict(pair.split("=", 1) for pair in options.python)
    options.versions = {}
    return options


def main() -> int:
    options = parse()
    if options.worker:
        worker(options.worker)
        return 0
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(machine() + load + (", second core busy" if options.busy else ""))
    print(text_row(HEAD))
    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as folder, busy(options.busy):
        for workload in (WORKLOADS[name] for name in options.workloads if name in WORKLOADS):
            files = Path(folder) / "data.npz", Path(folder) / "expected.npz"
            data = workload.data()
            np.savez(files[0], **data)
            np.savez(files[1], *workload.reference(data))
            for threads in options.threads:
                for way in (way for way in workload.ways if way in ("graphc", *options.peers)):
                    lines.append(measure(workload, way, threads, files, options))
                    print(text_row(cells(lines[-1])), flush=True)
        if COMPILE_TIME in options.workloads:
            subprocess.run([sys.executable, HERE / "compile_time.py"], check=True)
    print("tolerances: " + ", ".join(f"{n} {WORKLOADS[n].tolerance:.0e}" for n in options.workloads if n in WORKLOADS))
    shown, versions = kept(options.keep, lines, options.versions)
    named = ", ".join(f"{way} {version}" for way, version in versions.items())
    table = f"{machine()}; {named}.\n\n{markdown(shown)}"
    print(f"\n{table}")
    if options.readme:
        write_readme(table)
    failed = [line for line in lines if line.wrong or line.note.startswith("FAILED")]
    for line in failed:
        why = line.note or f"error {line.error:.1e} above {WORKLOADS[line.workload].tolerance:.0e}"
        print(f"WRONG: {line.workload}, {line.way}, {line.threads} threads: {why}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
