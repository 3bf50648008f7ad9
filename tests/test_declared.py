"""What type checkers are told about tensors is what `ops.install` sets on them."""

from __future__ import annotations

import ast
from pathlib import Path

import graphc
from graphc.ops.install import install

PROTOCOLS = {"__array_ufunc__", "__array_function__", "__array_priority__"}


def test_declared_members_are_the_installed_ones() -> None:
    class Bare:
        pass

    before = set(Bare.__dict__)
    install(Bare, lambda tensor: tensor)
    stub = ast.parse((Path(graphc.__file__).parent / "ir" / "installed.pyi").read_text())
    (declared,) = (node for node in stub.body if isinstance(node, ast.ClassDef))
    names = {node.name for node in declared.body if isinstance(node, ast.FunctionDef)}
    assert names == set(Bare.__dict__) - before - PROTOCOLS
