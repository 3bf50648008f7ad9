"""Modules of modules: `Sequential`, `ModuleList`, `ModuleDict`. A plain list or dict in an attribute does as well."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..errors import InputError, message, user_line
from .module import Module
from .printing import layout, repeated


def _checked(name: str, module: Any) -> Module:
    if isinstance(module, Module):
        return module
    called = f" class {module.__name__}" if isinstance(module, type) else f" {module!r:.60}"
    raise InputError(
        message(
            f"{name} is of modules",
            got=f"{type(module).__name__}{called}",
            expected="modules",
            at=user_line(),
            created=False,
            hint=_module_hint(name, module),
        )
    )


def _module_hint(name: str, module: Any) -> str:
    """How what is no module becomes one."""
    if isinstance(module, type):
        return f"make one of it: {module.__name__}()"
    if isinstance(module, (list, tuple)):
        return f"{name}(*modules) of a list"
    return "functions have modules, as nn.ReLU() is of gc.relu, or are called in a forward" if callable(module) else ""


class _Numbered(Module):
    """Modules by number: their names are "0", "1" ..."""

    def _fill(self, modules: Iterable[Any]) -> None:
        """Let these be the modules."""
        for name, _ in list(self.named_children()):
            delattr(self, name)
        for k, module in enumerate(modules):
            setattr(self, str(k), _checked(type(self).__name__, module))

    def _all(self) -> list[Module]:
        return [value for value in vars(self).values() if isinstance(value, Module)]

    def __len__(self) -> int:
        return len(self._all())

    def __iter__(self) -> Iterator[Module]:
        return iter(self._all())

    def __getitem__(self, k: int | slice) -> Any:
        found = self._all()[k]
        return type(self)._of(found) if isinstance(found, list) else found

    def __setitem__(self, k: int, module: Module) -> None:
        names = [name for name, value in vars(self).items() if isinstance(value, Module)]
        setattr(self, names[k], _checked(type(self).__name__, module))

    def append(self, module: Module) -> Any:
        """Add a module at the end; returns this one."""
        setattr(self, str(len(self)), _checked(type(self).__name__, module))
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        """Add modules at the end; returns this one."""
        for module in modules:
            self.append(module)
        return self

    @classmethod
    def _of(cls, modules: list[Module]) -> Any:
        return cls(modules)


class Sequential(_Numbered):
    """Modules called one after the other, each with what the one before gave.

    modules  in order; or one dict of them, whose keys are their names

    >>> from graphc import nn
    >>> net = nn.Sequential(nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))
    >>> net
    Sequential(
      (0): Linear(in_features=784, out_features=32, bias=True)
      (1): ReLU()
      (2): Linear(in_features=32, out_features=10, bias=True)
    )
    >>> net[0].weight.shape, len(net), [name for name, _ in net.named_parameters()][0]
    ((32, 784), 3, '0.weight')
    """

    def __init__(self, *modules: Any):
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                setattr(self, name, _checked("Sequential", module))
        else:
            self._fill(modules)

    @classmethod
    def _of(cls, modules: list[Module]) -> Any:
        return cls(*modules)

    def forward(self, x: Any) -> Any:
        for module in self._all():
            x = module(x)
        return x


class ModuleList(_Numbered):
    """A list of modules.

    >>> from graphc import nn
    >>> nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])
    ModuleList(
      (0-2): 3 x Linear(in_features=4, out_features=4, bias=True)
    )
    """

    def __init__(self, modules: Iterable[Any] = ()):
        self._fill(modules)

    def __repr__(self) -> str:
        return layout("ModuleList", "", repeated([(k, repr(module)) for k, module in enumerate(self)]))


class ModuleDict(Module):
    """A dict of modules.

    >>> from graphc import nn
    >>> heads = nn.ModuleDict({"digit": nn.Linear(8, 10), "parity": nn.Linear(8, 2)})
    >>> heads["parity"], list(heads)
    (Linear(in_features=8, out_features=2, bias=True), ['digit', 'parity'])
    """

    def __init__(self, modules: Mapping[str, Any] | None = None):
        for name, module in (modules or {}).items():
            self[name] = module

    def __setitem__(self, name: str, module: Module) -> None:
        setattr(self, name, _checked("ModuleDict", module))

    def __getitem__(self, name: str) -> Module:
        return self._named()[name]

    def __len__(self) -> int:
        return len(self._named())

    def __iter__(self) -> Iterator[str]:
        return iter(self._named())

    def __contains__(self, name: object) -> bool:
        return name in self._named()

    def items(self) -> Any:
        """Pairs (name, module)."""
        return self._named().items()

    def keys(self) -> Any:
        """The names."""
        return self._named().keys()

    def values(self) -> Any:
        """The modules."""
        return self._named().values()

    def _named(self) -> dict[str, Module]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Module)}
