"""`Step`: a compiled graph as a callable."""

from __future__ import annotations

import copy
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .arguments import whole
from .codegen.cpu import print_program
from .codegen.cuda import print_cuda
from .codegen.statements import Printed
from .errors import CompileError, InputError, message, user_line, warn
from .inspect.dump import dump
from .inspect.export import export
from .inspect.kernels import KernelReports
from .inspect.memory import MemoryReport
from .inspect.source import kernels_called
from .inspect.views import Reading, sizes_in
from .ir.graph import Graph, pack, unpack
from .ir.leaves import Param
from .ir.tensor import Origin, Tensor
from .ir.traversal import topological
from .ir.tree import Tree, flatten
from .ops.hints import missing_member
from .passes.pipeline import optimise
from .runtime import cuda_devices, loop
from .runtime.arguments import bind_arguments, signature
from .runtime.batches import cut
from .runtime.calls import Bound, Caller
from .runtime.collector import collecting_rarely
from .runtime.program import Program
from .schedule.cublas import are_large
from .schedule.plan import Plan, make_plan
from .schedule.policy import CUDA
from .verify.certificate import Certificate
from .verify.entry import verify_step

_OF_RUN = ("steps", "batch_size", "epochs", "first_epoch", "shuffle", "seed", "drop_last", "every", "progress")
"""What `Step.run` takes by name beside inputs."""
_INSTEAD = {
    "state_dict": "model.state_dict() of a module, or p.value of a param p",
    **dict.fromkeys(("train", "fit", "step"), "step(x) takes one step, step.run(x, steps=100) many"),
    **dict.fromkeys(("forward", "predict", "apply", "eval"), "step(x) computes its outputs"),
    **dict.fromkeys(("save", "to_python"), "step.export(path) writes it as Python, pickle.dumps(step) as it is"),
    **dict.fromkeys(("loss", "output", "outputs", "result", "value"), "step(x) returns its outputs"),
    "inputs": "step.graph.inputs",
    "updates": "step.graph.updates",
    "code": "step.source, to be read; step.text.source is the file that runs",
}
"""What people look for on a step."""

Compiled = tuple[Plan, Printed, Caller]


def compiled(
    graph: Graph, outputs: Tree, check: str | None, threads: int | None, target: str, device_outputs: bool
) -> Compiled:
    """What runs `graph` on a target: "cpu", or "cuda" or "cuda:1", the number of a device."""
    index = cuda_devices.parse(target)
    if index is not None:
        return _for_cuda(graph, outputs, check, index, device_outputs)
    if device_outputs:
        raise CompileError(
            message(
                "outputs cannot stay on a device",
                got="device_outputs=True with target='cpu'",
                expected="target='cuda'",
                at=user_line(),
                created=False,
            )
        )
    plan = make_plan(graph, check)
    text = print_program(plan)
    return plan, text, Caller(Program(plan, text, threads), outputs)


def _for_cuda(graph: Graph, outputs: Tree, check: str | None, index: int, device_outputs: bool) -> Compiled:
    from .runtime.cuda_program import CudaCaller, CudaProgram  # only where it is asked for

    device = cuda_devices.device(index)
    plan = make_plan(graph, check, CUDA)
    text = print_cuda(plan, are_large(plan.kernels) and device.multiplier() is not None)
    return plan, text, CudaCaller(CudaProgram(plan, text, device), outputs, device_outputs)


_CALL = """Run one step.

Inputs are given by position or by name. Numbers and lists take their input's dtype where they fit; arrays
must have it. The results are the caller's own: no later call changes them.

Raises `InputError` naming the input for a wrong dtype, rank or size, `ShapeError` for sizes that do not fit
together, `OutOfBoundsError` for an index out of range, and of a step compiled with ``check="nan"``
`NonFiniteError` where an output or a new value of a param has a nan or inf; then no param has changed.

That error is of the first nan or inf, in the order of the graph, that reached an output or new value. One that
reaches none, such as in the branch of `gc.where` that is not taken, is no error. Integers and bools are not
looked at: a nan that has been cast to one, or compared, is lost.

>>> import graphc as gc
>>> x, n = gc.input("x", ("n",)), gc.param(0.0)
>>> step = gc.compile([x], {"sum": gc.sum(x)}, {n: n + 1})
>>> step([1.0, 2.0]), step(x=[5.0]), n.value
({'sum': np.float64(3.0)}, {'sum': np.float64(5.0)}, array(2.))
"""


__test__ = {"Step.__call__": _CALL}


class Step:
    """A compiled step: call it with arrays, nested as its inputs are; the results are nested as its outputs are.

    Attributes: `graph` (after passes), `traced` (before), `passes` (what each pass did), `plan`, `threads`, `check`,
    `target`, `device_outputs`, `certificate` (of the last `verify`; None before).

    A step pickles as graph and values of its params (while no other thread runs it) and finds its code in the cache.
    What comes back has params of its own, as ``copy.deepcopy(step)`` has; steps pickled together go on sharing theirs.

    >>> import graphc as gc
    >>> x = gc.input("x", ("n",))
    >>> step = gc.compile([x], {"total": gc.sum(x)}, name="totals")
    >>> step, step([1.0, 2.0])
    (<Step totals(x: float64[n]) 1 kernel>, {'total': np.float64(3.0)})
    """

    __slots__ = {"__call__": _CALL, "__dict__": "", "__weakref__": ""}
    __call__: Callable[..., Any]

    def __init__(
        self,
        graph: Graph,
        inputs: Tree,
        outputs: Tree,
        name: str,
        threads: int | None = None,
        check: str | None = None,
        target: str = "cpu",
        device_outputs: bool = False,
    ):
        self.name, self.threads, self.check, self.target = name, threads, check, target
        self.device_outputs = device_outputs
        self.traced = mark_updates(graph)
        self._in, self._out = inputs, outputs
        with collecting_rarely():
            self.graph, self.passes = optimise(self.traced)
            found = compiled(self.graph, outputs, check, threads, target, device_outputs)
        self.plan, self.text, self._caller = found
        self.certificate: Certificate | None = None
        self._restored = False
        _set_call(self, self._caller.function(inputs))  # not `self.__call__ =`: a subclass may have one of its own
        self.__signature__ = signature(inputs, self.graph.inputs)

    def bind(self, *args: Any, **named: Any) -> Bound:
        """The step bound to arrays: a callable without arguments that reads them, as they are then, at each call.

        The arrays are kept alive. They must be C-contiguous and of their input's exact dtype, for a converted copy
        would not follow what is written into them; `InputError` otherwise. Python numbers stay what they are.

        Of a step on a device: arrays there are read where they are, and those here are copied at each call.

        >>> import graphc as gc
        >>> x = gc.input("x", ("n",))
        >>> data = np.ones(3)
        >>> total = gc.compile([x], gc.sum(x)).bind(data)
        >>> data[0] = 5.0
        >>> total()
        np.float64(7.0)
        """
        return self._caller.bind(bind_arguments(self._in, self.graph.inputs, args, named))

    def prefetch(self, *args: Any, **named: Any) -> None:
        """Copy the arrays of a coming call to the step's device, beside a step that is running there.

        The call with the same arrays then finds them there. Two calls' are kept; a third takes the place of the
        oldest. Arrays may be changed in between, and other arrays called with first: the call compares them with what
        was copied, and copies anew what is no longer the same. Arrays that are on the device are left where they are,
        and so is everything by a step on the CPU, which reads arrays where they are.

        Raises as the call would for arrays that do not fit.

        >>> import graphc as gc
        >>> x = gc.input("x", ("n",))
        >>> step, data = gc.compile([x], gc.sum(x)), [np.ones(3), np.ones(4)]
        >>> step.prefetch(data[0])
        >>> for k, now in enumerate(data):
        ...     if k + 1 < len(data):
        ...         step.prefetch(data[k + 1])
        ...     print(step(now))
        3.0
        4.0
        """
        self._caller.prefetch(bind_arguments(self._in, self.graph.inputs, args, named))

    def run(
        self,
        *args: Any,
        steps: int | None = None,
        every: int = 1,
        batch_size: int | None = None,
        epochs: int = 1,
        first_epoch: int = 0,
        shuffle: bool = False,
        seed: int | None = None,
        drop_last: bool = False,
        progress: bool | Callable[[int, Any], Any] = False,
        **named: Any,
    ) -> Any:
        """Run many steps in compiled code, without the GIL; the outputs of all of them, in the structure of `outputs`.

        ``run(*arrays, steps=N)`` repeats the step N times on the same arrays. Every output gets a new first axis, of
        N steps.

        ``run(*datasets, batch_size=B)`` cuts datasets into batches of B rows and takes one step on each. The batch
        axis is the first axis of the first input that has axes; inputs whose declared first dim is the same are
        datasets, of equal lengths, and the others are passed whole to every step. The last batch of an epoch is
        smaller where B does not divide the rows: it is left out with ``drop_last=True``, and an error where the dim is
        declared as an int. Outputs whose first dim is the batch dim, declared by name, are joined along it (unshuffled,
        row k of the result belongs to row k of the data); the others get a new first axis, of steps.

        every        keep the outputs of the `every`-th step, the 2 * `every`-th ...: ``steps // every`` of them
        epochs       passes over the datasets
        first_epoch  number of the first of them: a run of epoch 0 and one of ``epochs=2, first_epoch=1`` with the same
                     `seed` take the same batches as one run of three epochs
        shuffle      take the rows of each epoch in a new order, drawn from `seed` and the number of the epoch:
                     ``np.random.Generator(np.random.PCG64([seed, epoch])).permutation(rows)``
        seed         an int >= 0; None draws one. Without `shuffle` there is nothing to draw, and a warning says so
        progress     show a bar (tqdm); or a function, called some ten times a second with the number of steps done so
                     far and their outputs, in the structure of `outputs`; an error of it ends the run at a whole step

        Each step is as one call of the step: other threads may read and change params between two of them, and an
        error at step k, or Ctrl-C, which is seen to at least every second or after the step under way, leaves the
        params of the last whole step. Raises as a call does, before the first step where the arrays do not fit.

        On a device, the steps are launched from here, one by one, and each batch is copied there while the step before
        it runs; arrays that all steps read whole are copied once, and datasets that are on the device already are read
        there (unshuffled). The outputs come back as NumPy arrays, also of a step with ``device_outputs=True``.

        >>> import graphc as gc
        >>> x, w = gc.input("x", ("n",)), gc.param(0.0)
        >>> step = gc.compile([x], [w], {w: w + gc.sum(x)})
        >>> step.run([1.0, 2.0], steps=3), step.run([1.0, 2.0, 3.0], batch_size=2, epochs=2, every=2)
        ([array([0., 3., 6.])], [array([12., 18.])])
        """
        arrays = bind_arguments(self._in, self.graph.inputs, args, named, _OF_RUN)
        every = whole("step.run", "every", every, 1)
        report = progress if not callable(progress) else lambda steps, kept: progress(steps, self._out.build(kept))
        if (steps is None) == (batch_size is None):
            raise InputError(
                message(
                    "run needs to know when to end",
                    got="neither steps= nor batch_size=" if steps is None else "both steps= and batch_size=",
                    expected="steps= for the same arrays again and again, or batch_size= to go through datasets",
                    at=user_line(),
                    created=False,
                )
            )
        if batch_size is None:
            if epochs != 1 or first_epoch != 0 or shuffle or seed is not None or drop_last:
                raise InputError(
                    message(
                        "no batches to go through",
                        got="steps=",
                        expected="batch_size= beside epochs=, first_epoch=, shuffle=, seed= or drop_last=",
                        at=user_line(),
                        created=False,
                    )
                )
            return self._out.build(
                loop.repeat(self._caller, arrays, whole("step.run", "steps", steps, 0), every, report)
            )
        first = whole("step.run", "first_epoch", first_epoch, 0)
        if shuffle and first and seed is None:
            raise InputError(
                message(
                    "the orders of the rows to go on with are not known",
                    got=f"first_epoch={first} without seed=",
                    expected="the seed= of the epochs before",
                    at=user_line(),
                    created=False,
                )
            )
        if seed is not None and not shuffle:
            warn("step.run: seed= without shuffle=True does nothing: the rows are taken as they come")
        data = self._caller.prepare(arrays)
        drawn = secrets.randbits(64) if seed is None else whole("step.run", "seed", seed, 0)
        plan = cut(
            self.graph.inputs,
            data,
            whole("step.run", "batch_size", batch_size, 1),
            whole("step.run", "epochs", epochs, 0),
            drawn if shuffle else None,
            drop_last,
            first,
        )
        return self._out.build(loop.over(self._caller, data, plan, every, report))

    def to(self, target: str, device_outputs: bool | None = None) -> Step:
        """The same graph compiled for another target, "cpu", "cuda" or "cuda:1"; the step itself if it is for that.

        device_outputs  as in `gc.compile`; None: as it is, on a device

        Both share their params: each sees what the other has changed. Raises as `gc.compile` does.

        >>> import graphc as gc
        >>> step = gc.compile([], [], {(n := gc.param(0.0)): n + 1})
        >>> step.to("cpu") is step
        True
        """
        index = cuda_devices.parse(target)
        stay = (self.device_outputs and index is not None) if device_outputs is None else bool(device_outputs)
        if index == cuda_devices.parse(self.target) and stay == self.device_outputs:
            return self
        step = Step(self.traced, self._in, self._out, self.name, self.threads, self.check, target, stay)
        step._restored = self._restored
        return step

    # reading

    def __getattr__(self, name: str) -> Any:
        if hasattr(type(self), name):  # a property that failed: its own error
            return object.__getattribute__(self, name)
        if name.startswith("_") or "traced" not in vars(self):  # a copy that is being made has no graph yet
            raise AttributeError(f"'Step' object has no attribute {name!r}", name=name, obj=self)
        params = [node.name for node in self.traced.nodes if isinstance(node, Param)][:3]
        values = f"params own their values: {', '.join(f'{p}.value' for p in params)}" if params else "it has no params"
        state = dict.fromkeys(("param", "params", "parameters", "state", "weights"), values)
        raise missing_member(self, name, _INSTEAD | state)

    @cached_property
    def _reading(self) -> Reading:
        return Reading(self.plan, self.text, self.traced)

    @property
    def source(self) -> str:
        """The Python that runs, as a document: forward, backward, update, in your names, traced to your lines.

        `text.source` is the file itself.
        """
        return self._reading.source

    @property
    def kernels(self) -> KernelReports:
        """What each kernel computes, reads and writes; ``print(step.kernels.at(n=1000))`` with the bytes."""
        return self._reading.kernels

    @property
    def memory(self) -> MemoryReport:
        """Buffers, lifetimes and the arena, for the sizes of the last call; ``step.memory.at(n=1000)`` for others."""
        return self._reading.memory(sizes_in(self.graph, next(reversed(self._caller.frames), ())))

    def dump(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write every stage of the compilation into `folder`, numbered in order; returns the paths."""
        return dump(self._reading, self.passes, folder, self.memory.sizes)

    def export(self, path: str | os.PathLike[str]) -> Path:
        """Write one Python file that needs only numpy and numba.

        ``from file import step`` is then this step, with the present values of its params as ``step.params``; on the
        same kind of machine it gives the same bits. An index out of range is an `IndexError` there; if the step was
        compiled with ``check="nan"``, a nan or inf is a `FloatingPointError` that names the output or new value.
        ``step.certificate`` there is the JSON text of this step's certificate, or None if it has not been verified.

        Raises `MissingFileError` where there is no such folder.
        """
        return export(self._reading, self._out, path, self.certificate)

    def verify(
        self, values: Mapping[Any, Any] | None = None, *, seconds: float = 60.0, terms: int = 2000
    ) -> Certificate:
        """Check every gradient in this step, and the compiled step itself; see `gc.verify` for how.

        values  {input: array} to check at; random ones otherwise. Params are as they are, and stay so

        The certificate stays with the step, as `Step.certificate`: pickled and exported with it.

        Raises `VerificationError` naming the op, the line and both values where something disagrees.

        >>> import graphc as gc
        >>> x, w = gc.input("x", ("n",)), gc.param(2.0, name="w")
        >>> loss = gc.mean((w * x - 1.0) ** 2)
        >>> gc.compile([x], loss, {w: w - 0.1 * gc.grad(loss, w)}).verify().skipped
        ()
        """

        def run(arrays: Sequence[np.ndarray]) -> tuple[list[Any], list[np.ndarray]]:
            twin = copy.deepcopy(self)
            if self.check is not None:  # random points may well give nan, which is compared like any value
                twin = Step(twin.traced, twin._in, twin._out, self.name, self.threads, None, self.target)
            found = [np.asarray(value) for value in flatten(twin._caller(list(arrays)))[1]]
            return found, [p.value for p, _ in twin.graph.updates]

        self.certificate = verify_step(self.traced, run, self.name, values, seconds, terms, self._restored)
        return self.certificate

    def __reduce__(self) -> Any:
        graph = self.traced
        pairs = [t for pair in graph.updates for t in pair]
        packed = pack([*graph.inputs, *graph.outputs, *pairs], graph.origin)
        counts = (len(graph.inputs), len(graph.outputs))
        how = (self.name, self.threads, self.check, self.certificate, self.target, self.device_outputs)
        return _restore, (packed, counts, self._in, self._out, *how)

    def __repr__(self) -> str:
        ins = ", ".join(f"{i.name}: {i.aval}" for i in self.graph.inputs)
        calls = [name for name, _ in self.text.kernels]
        return f"<Step {self.name}({ins}) {kernels_called(len(set(calls)), len(calls))}>"


_set_call: Callable[[Step, Callable[..., Any]], None] = vars(Step)["__call__"].__set__


def _restore(
    packed: Any,
    counts: tuple[int, int],
    inputs: Tree,
    outputs: Tree,
    name: str,
    threads: int | None,
    check: str | None = None,
    certificate: Certificate | None = None,
    target: str = "cpu",
    device_outputs: bool = False,
) -> Step:
    """The step that was pickled."""
    origins: dict[Tensor, Origin] = {}
    roots = unpack(packed, origins=origins)
    first, last = counts[0], sum(counts)
    pairs = zip(roots[last::2], roots[last + 1 :: 2], strict=True)
    graph = Graph(roots[:first], roots[first:last], list(pairs), name, origins)
    step = Step(graph, inputs, outputs, name, threads, check, target, device_outputs)
    step.certificate, step._restored = certificate, True
    return step


def mark_updates(graph: Graph) -> Graph:
    """Nodes that serve only to compute new values of params belong to the update section: no output and no derivative
    needs them."""
    backward = [node for node in graph.nodes if graph.origin[node].section == "backward"]
    needed = set(topological([*graph.outputs, *backward]))
    for node in graph.nodes:
        origin = graph.origin[node]
        if node.inputs and node not in needed and origin.section == "forward":
            graph.origin[node] = Origin("update", origin.lines, origin.of)
    return graph
