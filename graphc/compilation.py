"""From inputs, outputs and updates to a `Step`: what a graph must be, and what is said where it is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

from .errors import CompileError, DTypeError, InputError, ShapeError, message, shown, user_line, warn
from .ir import dims
from .ir.apply import SYMBOLIC, is_tensor, lift
from .ir.graph import Graph
from .ir.leaves import INPUT, Param, function_of
from .ir.owed import Owed
from .ir.tensor import Tensor
from .ir.traversal import topological
from .ir.tree import Tree, flatten
from .ops.philox import PHILOX
from .step import Step

_LISTED = 3
"""How many layers a warning names."""


def compile_graph(
    inputs: Any,
    outputs: Any,
    updates: Mapping[Any, Any] | None,
    name: str | None,
    threads: int | None = None,
    check: str | None = None,
    target: str | None = None,
    device_outputs: bool = False,
) -> Step:
    in_tree, in_leaves = flatten([] if inputs is None else inputs)
    if in_tree.kind is None:
        in_tree = Tree(list, (), (in_tree,))
    out_tree, out_leaves = flatten([] if outputs is None else outputs)
    _check_inputs(in_leaves)
    results = [_in_graph("an output", lift(o)[0]) for o in out_leaves]
    pairs = _check_updates({} if updates is None else updates)
    _check_closed(results, pairs, in_leaves)
    if outputs is None and not pairs:
        raise InputError(
            message(
                "a step that computes nothing",
                got="no outputs, and no updates",
                expected="gc.compile(inputs, outputs, updates)",
                at=user_line(),
                created=False,
            )
        )
    graph = Graph(in_leaves, results, pairs, name or "step")
    _warn_of_state(graph)
    where = _place(graph) if target is None else target
    return Step(graph, in_tree, out_tree, name or "step", threads, check, where, device_outputs)


def _place(graph: Graph) -> str:
    """The target for a graph whose user names none: the device that params have been put on, if any have."""
    places = {param.state.place: param.name for param in reversed(graph.params) if param.state.place != "cpu"}
    if len(places) > 1:
        raise CompileError(
            message(
                "params of one step have been put on several devices",
                got=", ".join(f"{name!r} on {place}" for place, name in sorted(places.items())),
                expected="one device, or target=",
                at=user_line(),
                created=False,
                hint="target= says where a step runs, whatever its params say",
            )
        )
    return next(iter(places), "cpu")


def _warn_of_state(graph: Graph) -> None:
    """Warn of a step that trains a model and leaves behind the state which the model's layers move while training; and
    of one that predicts, with layers that were left in train mode."""
    updated = {param for param, _ in graph.updates}
    owed = [node.owes for node in graph.nodes if node.owes is not None]
    if not updated and all(graph.origin[node].section != "backward" for node in graph.nodes):
        predicted = topological([output for output in graph.outputs if output.shape])  # a loss may well be of training
        layers = _named([node.owes for node in predicted if node.owes is not None])
        if layers:
            warn(
                message(
                    "a step without updates has layers in train mode",
                    got=layers,
                    expected="model.eval() before the model is called, for predictions",
                    hint="gc.compile([x], model.eval()(x)); model.train() goes back to training",
                )
            )
    if not any(param.trainable for param in updated):
        return
    _warn_of_draws(graph, updated)
    behind = _named([o for o in owed if not o.asked and not updated.intersection(o.params)])
    if behind:
        warn(
            message(
                "a step trains a model, and the state that its layers keep stays as it is",
                got=f"no new values for {behind}",
                expected="those of model.updates() among the updates",
                hint="gc.compile(..., updates={**trained, **model.updates()}); model.eval(), before the model is "
                "called, if its state is not to move",
            )
        )


def _warn_of_draws(graph: Graph, updated: Set[Param]) -> None:
    """Warn of a step that changes params by random numbers which are the same at every call. (Layers: see above.)"""
    counters = {_param_of(node.inputs[1]) for node in graph.nodes if node.op is PHILOX}
    still = [c.name or "" for c in graph.params if c in counters and c not in updated and c.state.role is None]
    if still:
        warn(
            message(
                "a step changes params, and draws the same random numbers at every call",
                got=f"no new value for {', '.join(still)}",
                expected="those of key.updates() among the updates",
                hint="gc.compile(..., updates={**changed, **key.updates()})",
            )
        )


def _param_of(node: Tensor) -> Tensor:
    """What a counter was read from."""
    while node.inputs:
        node = node.inputs[0]
    return node


def _named(owed: Sequence[Owed]) -> str:
    """Layers by name, the first few."""
    names = list(dict.fromkeys(str(o) for o in reversed(owed)))[::-1]
    more = [f"{len(names) - _LISTED} more"] if len(names) > _LISTED else []
    return ", ".join([*names[:_LISTED], *more])


def _in_graph(what: str, tensor: Any) -> Tensor:
    """`tensor`, which must be symbolic."""
    if isinstance(tensor, Tensor):
        return tensor
    raise InputError(
        message(
            f"{what} is an eager tensor",
            got=f"{tensor.dtype}{dims.shape_text(tensor.shape)}",
            expected="a symbolic tensor, or data",
            at=user_line(),
            created=False,
            hint="e.numpy() of an eager tensor e is a constant",
        )
    )


def _check_inputs(leaves: Sequence[Any]) -> None:
    names: set[str] = set()
    for leaf in leaves:
        if not isinstance(leaf, Tensor) or leaf.op is not INPUT:
            raise InputError(
                message(
                    "inputs must be symbolic inputs",
                    got=shown(leaf),
                    expected="tensors made by gc.input",
                    at=user_line(),
                    created=False,
                    hint=_input_hint(leaf),
                )
            )
        if leaf.name in names:
            raise InputError(
                message(
                    "two inputs have one name",
                    got=repr(leaf.name),
                    expected="distinct names",
                    at=user_line(),
                    created=False,
                )
            )
        names.add(leaf.name or "")


def _input_hint(leaf: Any) -> str:
    if isinstance(leaf, Param):
        return "params are not listed: a step reads them itself"
    if isinstance(leaf, Tensor):
        return "the order is gc.compile(inputs, outputs); what is computed is an output"
    return "give the tensors, not their names" if isinstance(leaf, str) else "data is given to the step that comes back"


def _key_hint(key: Any) -> str:
    if isinstance(key, Tensor) and key.op is INPUT:
        return "an input is given anew with each call; state is a gc.param(value), which steps read and update"
    if isinstance(key, Tensor):
        return "w -= ... makes another tensor, which is no param: updates={w: w - ...}"
    return "the key is the param itself, not its name" if isinstance(key, str) else ""


def _updates_hint(updates: Any) -> str:
    """How what was given as updates becomes a dict."""
    if hasattr(updates, "minimize"):
        return "updates=opt.minimize(loss), of an optimiser opt"
    if isinstance(updates, (list, tuple)) and updates and all(isinstance(u, tuple) and len(u) == 2 for u in updates):
        return "dict(updates) of pairs (param, new value)"
    if isinstance(updates, Tensor) or (isinstance(updates, (list, tuple)) and any(map(is_tensor, updates))):
        return (
            "several results are a list, gc.compile(inputs, [loss, gradient]); updates say which param gets which"
            " new value: updates={w: w - 0.1 * gc.grad(loss, w)}"
        )
    return ""


def _check_updates(updates: Mapping[Any, Any]) -> list[tuple[Param, Tensor]]:
    pairs: list[tuple[Param, Tensor]] = []
    if not isinstance(updates, Mapping):
        raise InputError(
            message(
                "bad updates=",
                got=shown(updates),
                expected="a dict {param: new value}",
                at=user_line(),
                created=False,
                hint=_updates_hint(updates),
            )
        )
    for param, value in updates.items():
        if not isinstance(param, Param):
            raise InputError(
                message(
                    "only params can be updated",
                    got=shown(param),
                    expected="a gc.param as key",
                    at=user_line(),
                    created=False,
                    hint=_key_hint(param),
                )
            )
        try:
            new = value if is_tensor(value) else SYMBOLIC.constant(value, param.dtype)
        except DTypeError as error:
            raise DTypeError(f"update of param {param.name!r}: {error}") from None
        _in_graph(f"the update of param {param.name!r}", new)
        if new.dtype != param.dtype:
            raise DTypeError(
                message(
                    f"update of param {param.name!r} changes its dtype",
                    got=str(new.aval),
                    expected=str(param.aval),
                    at=user_line(),
                    created=False,
                    hint=f"declare the param as one of floats: gc.param(value, dtype={new.dtype.name!r})"
                    if param.dtype.kind != "f" and new.dtype.kind == "f"
                    else f"convert it: gc.astype(value, {param.dtype.name!r})",
                )
            )
        if len(new.shape) != len(param.shape) or any(
            dims.equal(a, b) is not True for a, b in zip(new.shape, param.shape, strict=True)
        ):
            raise ShapeError(
                message(
                    f"update of param {param.name!r} changes its shape",
                    got=str(new.aval),
                    expected=str(param.aval),
                    at=user_line(),
                    created=False,
                    hint=_shape_hint(new),
                )
            )
        pairs.append((param, new))
    return pairs


def _shape_hint(new: Tensor) -> str:
    names = [name for size in new.shape for name in dims.symbols(size)]
    return f"a param has a fixed shape: reduce the axis of runtime size {names[0]!r}, as gc.mean does" if names else ""


def _stray_hint(node: Tensor, updates: Sequence[tuple[Param, Tensor]]) -> str:
    """Where an input that is not listed comes from, if from the trace of a function."""
    function = function_of(node)
    if function is None:
        return ""
    hint = f"{node.name!r} is an argument of {function}, whose trace is another graph"
    states = [(p, v) for p, v in updates if p.state.role is not None and not p.trainable]
    kept = [param.name for param, value in states if node in set(topological([value]))]
    if kept:
        hint += (
            f"; the update of {kept[0]!r} is of a module in train mode that {function} called, as batch norm is: "
            f"call model.eval() before {function}, or model.updates() once after it"
        )
    return hint


def _check_closed(outputs: Sequence[Tensor], updates: Sequence[tuple[Param, Tensor]], inputs: Sequence[Tensor]) -> None:
    known, roots = set(inputs), [*outputs, *[value for _, value in updates]]
    for node in topological(roots):
        if node.op is INPUT and node not in known:
            raise InputError(
                message(
                    "an output depends on an input that is not listed",
                    got=repr(node.name),
                    expected=f"inputs=[..., {node.name}]",
                    at=node.origin.latest,
                    hint=_stray_hint(node, updates),
                )
            )
    declared = {s for i in inputs for d in i.shape for s in dims.symbols(d)}
    for node in topological(roots):
        for size in node.shape if not node.op.multi else ():
            missing = [s for s in dims.symbols(size) if s not in declared]
            if missing:
                raise InputError(
                    message(
                        "a runtime dim that no input declares",
                        got=repr(missing[0]),
                        expected="an input whose shape has that name",
                        at=node.origin.latest,
                    )
                )
