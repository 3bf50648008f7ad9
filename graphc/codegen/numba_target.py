"""Numba's compiler for generated functions: a target of its own, of which no more is loaded and made than they need.

Their code is plain: integers, floats, arrays in C order, loops over ranges; no Python objects, exceptions or reference
counts. So most of numba's libraries are not loaded (a third of a second), an element of an array is one address, a loop
is a counter, and LLVM gets a third of the lines. What is compiled is the same function that Python would run.
"""

# mypy: disable-error-code="attr-defined, assignment, call-arg"
# (numba says little of the types of its parts)

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import (
    callconv,
    ccallback,
    cgutils,
    codegen,
    compiler,
    config,
    cpu,
    dispatcher,
    registry,
    sigutils,
    target_extension,
    typing,
)
from numba.core.compiler_lock import global_compiler_lock
from numba.core.imputils import builtin_registry
from numba.core.typing import templates
from numba.np.numpy_support import from_dtype

from graphc.codegen import arrays
from graphc.codegen.arrays import struct, word

features = config.CPU_FEATURES
if features is None:
    features = binding.get_host_cpu_features().flatten() if config.CPU_NAME in (None, "host") else ""
FEATURES = frozenset(features.split(","))
"""What the processor can do that code is compiled for."""
VECTOR = 64 if "+avx512f" in FEATURES else 32 if "+avx" in FEATURES else 16
"""Bytes of its widest vectors."""

loops: weakref.WeakKeyDictionary[Any, list[Any]] = weakref.WeakKeyDictionary()
"""Of a module that is being written: the last blocks of loops that call `as_vectors`."""


# ---- loops over ranges ---------------------------------------------------------------------------------------------


def range_of(context, builder, signature, args):
    """start, stop and step of a range."""
    start, stop, step = {1: (word(0), *args, word(1)), 2: (*args, word(1)), 3: args}[len(args)]
    return struct(builder, context.get_value_type(signature.return_type), [start, stop, step])


def begin_range(context, builder, signature, args):
    """A range's iterator: where the next number stands (twice: numba has two places), stop and step."""
    start, stop, step = (builder.extract_value(args[0], k) for k in range(3))
    place = cgutils.alloca_once(builder, start.type)
    builder.store(start, place)
    return struct(builder, context.get_value_type(signature.return_type), [place, stop, step, place])


def next_of_range(context, builder, signature, args):
    """The next number, and whether there is one."""
    place, stop, step = (builder.extract_value(args[0], k) for k in range(3))
    value = builder.load(place)
    up = builder.icmp_signed(">", step, word(0))
    there = builder.select(up, builder.icmp_signed("<", value, stop), builder.icmp_signed(">", value, stop))
    builder.store(builder.add(value, step, flags=["nsw"]), place)
    return struct(builder, ir.LiteralStructType([value.type, there.type]), [value, there])


WORD, STATE, COUNTER = types.int64, types.range_state64_type, types.range_iter64_type
OWN = {
    (range, (WORD,)): range_of,
    (range, (WORD, WORD)): range_of,
    (range, (WORD, WORD, WORD)): range_of,
    ("getiter", (STATE,)): begin_range,
    ("iternext", (COUNTER,)): next_of_range,
}
"""What replaces an implementation of numba's for the same types."""


# ---- the target ----------------------------------------------------------------------------------------------------


class TypingContext(typing.Context):
    """The types of what generated functions do: of that, nothing is implemented by Python functions (`overload`)."""

    def load_additional_registries(self):
        from numba.core.typing import mathdecl

        self.install_registry(mathdecl.registry)
        self.install_registry(arrays.declarations)

    def resolve_value_type(self, value):
        if isinstance(value, np.ndarray):
            return arrays.Array(from_dtype(value.dtype), value.ndim)
        return super().resolve_value_type(value)

    def install_registry(self, registry):
        loader = self._registries.get(registry) or templates.RegistryLoader(registry)
        self._registries[registry] = loader
        for function in filter(is_direct, loader.new_registrations("functions")):
            self.insert_function(function(self))
        for attributes in filter(is_direct, loader.new_registrations("attributes")):
            self.insert_attributes(attributes(self))
        for value, kind in loader.new_registrations("globals"):
            if isinstance(kind, types.Function):
                direct = tuple(filter(is_direct, kind.templates))
                if not direct:
                    continue
                kind = types.Function(direct)
            known = self._lookup_global(value)
            if known is not None:
                self._remove_global(value)
                kind = known.augment(kind)
                assert kind is not None, f"two types of {value}"
            self._insert_global(value, kind)


def is_direct(template):
    """Whether its implementation writes LLVM. (`issubclass` would take a tenth of a second.)"""
    parents = template.__mro__
    return templates._OverloadFunctionTemplate not in parents and templates._OverloadAttributeTemplate not in parents


class CallConvention(callconv.BaseCallConv):
    """That of C: what a function returns is what it computes, for there are no exceptions."""

    def _make_call_helper(self, builder):
        return None

    def return_value(self, builder, value):
        builder.ret(value)

    def return_status_propagate(self, builder, status):
        builder.unreachable()

    def return_user_exc(self, builder, exc, exc_args=None, loc=None, func_name=None):
        builder.unreachable()  # numba asks whether an index of a tuple is out of range: here, none is

    def get_return_type(self, kind):
        return self.context.data_model_manager[kind].get_return_type()

    def get_function_type(self, result, arguments):
        return ir.FunctionType(self.get_return_type(result), list(self._get_arg_packer(arguments).argument_types))

    def decorate_function(self, function, names, kinds, noalias=False):
        packer = self._get_arg_packer(kinds)
        packer.assign_names(self.get_arguments(function), [f"arg.{name}" for name in names])

    def get_arguments(self, function):
        return function.args

    def call_function(self, builder, callee, result, kinds, args, attrs=None):
        value = builder.call(callee, list(self._get_arg_packer(kinds).as_arguments(builder, args)))
        return NEVER, self.context.get_returned_value(builder, result, value)


NEVER = callconv.Status(callconv.RETCODE_OK, *[cgutils.true_bit, *[cgutils.false_bit] * 5], None)
"""The status of a call: all is well."""


class Context(cpu.CPUContext):
    """How they are written for LLVM."""

    enable_nrt = False

    @property
    def call_conv(self):
        return CallConvention(self)

    def refresh(self):
        if not self._registries:
            self.load_additional_registries()
        for known in (builtin_registry, *self._registries):
            self.install_registry(known)
        self.typing_context.refresh()

    def load_additional_registries(self):
        from numba.cpython import builtins, mathimpl, numbers, rangeobj, tupleobj  # noqa: F401

        self.install_registry(mathimpl.registry)
        self.install_registry(arrays.lowering)

    def get_function(self, function, signature, _firstcall=True):
        key = function.get_impl_key(signature) if isinstance(function, types.Callable) else function
        own = OWN.get((key, signature.args))
        if own is not None:
            return lambda builder, args, loc=None: own(self, builder, signature, args)
        return super().get_function(function, signature, _firstcall)

    def pair_first(self, builder, value, kind):
        return builder.extract_value(value, 0)

    def pair_second(self, builder, value, kind):
        return builder.extract_value(value, 1)

    def post_lowering(self, module, library):
        """There are no reference counts."""

    def create_cfunc_wrapper(self, library, description, environment, call_helper):
        """The functions are C functions."""


class Target(target_extension.CPU):
    """The name of the target, by which numba finds who compiles what a function calls."""


class Descriptor(registry.CPUTarget):
    @registry.cached_property
    def _toplevel_target_context(self):
        return Context(self.typing_context, self._target_name)

    @registry.cached_property
    def _toplevel_typing_context(self):
        return TypingContext()


NAME = f"graphc of {__name__}"
target_extension.target_registry[NAME] = Target
descriptor = Descriptor(NAME)


# ---- the compiler --------------------------------------------------------------------------------------------------


class Library(codegen.JITCodeLibrary):
    """Code in which no function is optimised before all of them are there."""

    def _optimize_functions(self, module):
        module.data_layout = self._codegen._data_layout


class HelperLibrary(Library):
    """The code of a function that kernels take in: LLVM makes nothing of it for itself, where nobody calls it."""

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        self._finalized = True

    def get_pointer_to_function(self, name):
        return 0

    codegen = property(lambda self: self)

    def set_env(self, name, env):
        """Its environment, for exceptions, is not needed either."""


class KernelLibrary(Library):
    """The code of a kernel, in which LLVM makes vectors of straight code, too, which numba does not ask for.

    A loop of few elements becomes straight code before loops become vectors. (In functions that kernels call, it
    would come too early: their vectors of two keep the loops around a call from becoming vectors.)
    """

    level = 3
    """How much LLVM does about it, unless numba is told to do less."""

    def add_ir_module(self, module):
        said = {"unroll.disable": (), "vectorize.followup_vectorized": ()}
        if VECTOR == 64:  # two vectors side by side: what one waits for, the other does; there are 32 registers
            said["interleave.count"] = (ir.Constant(ir.IntType(32), 2),)
        for block in loops.pop(module, ()):
            parts = [
                module.add_metadata([ir.MetaDataString(module, f"llvm.loop.{what}"), *more])
                for what, more in said.items()
            ]
            name = module.add_metadata([parts[0], ir.Constant(ir.IntType(64), len(module.metadata))])
            name.operands = (name, *parts)  # the name of a loop refers to itself
            block.terminator.set_metadata("llvm.loop", name)
        super().add_ir_module(module)

    def _optimize_final_module(self):
        passes = self._codegen._module_pass_manager(opt=min(self.level, config.OPT), slp_vectorize=True)
        if isinstance(passes, tuple):
            passes[0].run(self._final_module, passes[1])
        else:
            passes.run(self._final_module)  # of an old numba


UNUSED = frozenset({
    "WithLifting", "InlineClosureLikes", "RewriteDynamicRaises", "MakeFunctionToJitFunction", "InlineInlinables",
    "FindLiterallyCalls", "LiteralUnroll", "InlineOverloads", "NoPythonSupportedFeatureValidation", "AnnotateTypes",
    "DumpParforDiagnostics",
})  # fmt: skip
"""Steps of numba's compiler for what generated text has not: closures, contexts, exceptions, inlined overloads."""


class HelperCompiler(compiler.Compiler):
    """Numba's compiler without these steps, which puts its code in such a library."""

    library = HelperLibrary

    def define_pipelines(self):
        (passes,) = super().define_pipelines()
        passes.passes = [p for p in passes.passes if p[0].__name__ not in UNUSED]
        return [passes]

    def compile_extra(self, function):
        self.state.library = self.library(self.state.targetctx.codegen(), function.__qualname__)
        self.state.library.enable_object_caching()
        return super().compile_extra(function)


class KernelCompiler(HelperCompiler):
    """The same for kernels."""

    library = KernelLibrary


class WrittenOutLibrary(KernelLibrary):
    """The code of a function that is written as it should run: LLVM need not look for more loops to write out."""

    level = 2


class WrittenOutCompiler(HelperCompiler):
    library = WrittenOutLibrary


class Helper(dispatcher.Dispatcher):
    """A function that kernels take in."""

    targetdescr = descriptor


class Kernel(ccallback.CFunc):
    """A C function."""

    _targetdescr = descriptor

    @global_compiler_lock
    def compile(self):
        found = self._cache.load_overload(self._sig, descriptor.target_context)
        self._cache_hits += found is not None
        if found is None:
            found = self._compile_uncached()
            self._cache.save_overload(self._sig, found)
        self._library = found.library
        self._wrapper_name = found.fndesc.llvm_func_name
        self._wrapper_address = self._library.get_pointer_to_function(self._wrapper_name)


OPTIONS = {"error_model": "numpy", "no_rewrites": True, "_nrt": False}


def c_function(kind, compiled_by=WrittenOutCompiler):
    """The decorator that makes a C function of a function of words; its machine code is cached."""
    arguments, result = sigutils.normalize_signature(kind)

    def compiled(function):
        made = Kernel(function, (arguments, result), {}, OPTIONS.copy(), compiled_by)
        made.enable_caching()
        made.compile()
        return made

    return compiled


kernel = c_function("void(int64, int64, int64, int64, int64)", KernelCompiler)


def helper(function):
    options = OPTIONS | {"nopython": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True, "forceinline": True}
    return Helper(function, {}, options, HelperCompiler)


target_extension.dispatcher_registry[Target] = Helper
target_extension.jit_registry[Target] = lambda *args, **options: helper
