"""Compile what Python calls once, with all that it calls in turn, and nothing on its own.

Numba optimises every function, together with copies of all functions below it, as if Python were
going to call it: some hundred functions deep in each other cost minutes. Here a function that is
called by compiled code is only translated; whoever Python calls is then optimised as a whole. The
machine code is as fast or faster, and only functions that Python calls are kept on disk.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from numba.core import types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.dispatcher import _FunctionCompiler  # type: ignore[attr-defined]
from numba.core.typing.templates import make_concrete_template

__all__ = ["link_as_a_whole"]


class _TranslatingCompiler(_FunctionCompiler):
    """Translates to LLVM's language and stops there."""

    def _customize_flags(self, flags: Any) -> Any:
        flags.no_compile = True
        flags.no_cpython_wrapper = True
        flags.no_cfunc_wrapper = True
        return flags


class _Inner:
    """A function as other compiled functions call it, one translation for each signature."""

    def __init__(self, dispatcher: Any) -> None:
        self._name = dispatcher.py_func.__name__
        self._context = dispatcher.targetctx
        self._compiler = _TranslatingCompiler(
            dispatcher.py_func,
            dispatcher.targetdescr,
            dispatcher.targetoptions,
            dispatcher.locals,
            dispatcher._compiler.pipeline_class,
        )
        self._keys: dict[tuple[Any, ...], object] = {}
        self._signatures: list[Any] = []

    def call_template(self, args: Any, kws: Any) -> Any:
        """What `Dispatcher.get_call_template` returns; it must be called by position.

        Constants as arguments are integers like others: `f(3)` and `f(n)` share one translation.
        """
        pysig, folded = self._compiler.fold_argument_types(args, kws)
        plain = tuple(types.unliteral(each) for each in folded)
        self._translate(plain)
        template = make_concrete_template(
            f"CallTemplate({self._name})", key=self._name, signatures=self._signatures
        )
        return template, pysig, plain, {}

    def overload(self, args: Any) -> object:
        """The key under which code that calls it finds the translation for a signature."""
        return self._keys[tuple(args)]

    def _translate(self, args: tuple[Any, ...]) -> None:
        with global_compiler_lock:
            if args in self._keys:
                return
            result = self._compiler.compile(args, None)
            result.library._optimize_final_module = _leave_as_it_is
            result.library._finalize_final_module = partial(_keep_from_engine, result.library)
            key = object()
            self._context.insert_user_function(key, result.fndesc, [result.library])
            self._keys[args] = key
            self._signatures.append(result.signature)


def _leave_as_it_is() -> None:
    """It is optimised within whoever calls it."""


def _keep_from_engine(library: Any) -> None:
    """It is no machine code.

    Otherwise it would become some as it is, not optimised; and since machine code of one name is
    taken from wherever it came first, the optimised code would call that, at half the speed.
    """
    library._finalize_dynamic_globals()
    library._verify_declare_only_symbols()
    library._finalized = True


def link_as_a_whole(dispatcher: Any) -> None:
    """Let other compiled functions take this one in, instead of linking finished code."""
    inner = _Inner(dispatcher)
    dispatcher.get_call_template = inner.call_template
    dispatcher.get_overload = inner.overload
