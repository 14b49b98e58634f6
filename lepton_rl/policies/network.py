"""Running a network on ONNX Runtime, one decision after the other on one core."""

from __future__ import annotations

import os
import threading
from functools import cache
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

__all__ = ["Network", "session_of"]

_EXTERNAL_FOLDER = "session.model_external_initializers_file_folder_path"
_MOST_BINDINGS = 16
_OUTPUT = "logits"

Arrays = tuple[NDArray[Any], ...]


_ARENA_BYTES = 2**30
"""What all networks of this process may use for their intermediate results together; the largest
window on a large cluster needs a hundredth of it."""


@cache
def _limit_memory() -> None:
    """Let ONNX Runtime fail where a network asks for more, rather than the machine."""
    arena = onnxruntime.OrtArenaCfg({"max_mem": _ARENA_BYTES})
    place = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(place, arena)


def session_of(model: bytes) -> onnxruntime.InferenceSession:
    """A session on one thread and in bounded memory, which looks for other files nowhere.

    Raises:
        Exception: one of ONNX Runtime's own, which share no public base: it cannot use the model.
    """
    _limit_memory()
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry(_EXTERNAL_FOLDER, os.devnull)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class Network:
    """Asks a session for logits.

    Arrays that come a second time are bound to it, with an array for the result: a quarter of the
    time of a small network goes into handing arrays over. A policy writes its observations into
    the same buffers, so all its decisions but the first are made so.

    Args:
        session: with the output `logits`.
        inputs: names, in the order in which `run` takes them.
    """

    def __init__(self, session: onnxruntime.InferenceSession, inputs: tuple[str, ...]) -> None:
        self._session, self._inputs = session, inputs
        self._bound: dict[tuple[int, ...], _Binding] = {}
        self._last: Arrays = ()

    def try_run(self, arrays: Arrays, limit_s: float) -> NDArray[np.float32]:
        """Logits of a network that nobody knows yet; it is stopped after `limit_s`.

        Raises:
            Exception: one of ONNX Runtime's own.
        """
        options = onnxruntime.RunOptions()
        timer = threading.Timer(limit_s, setattr, (options, "terminate", True))
        timer.daemon = True
        timer.start()
        try:
            feeds = dict(zip(self._inputs, arrays, strict=True))
            result: NDArray[np.float32] = self._session.run([_OUTPUT], feeds, options)[0]
            return result
        finally:
            timer.cancel()

    def run(self, arrays: Arrays) -> NDArray[np.float32]:
        """Logits of these inputs, in an array of their own."""
        binding = self._bound.get(tuple(map(id, arrays)))
        if binding is None:
            return self._first_run(arrays)
        self._session.run_with_iobinding(binding.io)
        return binding.logits.copy()

    def _first_run(self, arrays: Arrays) -> NDArray[np.float32]:
        feeds = dict(zip(self._inputs, arrays, strict=True))
        result: NDArray[np.float32] = self._session.run([_OUTPUT], feeds)[0]
        is_second = len(self._last) == len(arrays) and all(
            one is other for one, other in zip(arrays, self._last, strict=True)
        )
        self._last = arrays
        if is_second and all(array.flags.c_contiguous for array in arrays):
            if len(self._bound) >= _MOST_BINDINGS:
                self._bound.clear()
            binding = _Binding(self._session, feeds, np.empty_like(result))
            self._bound[tuple(map(id, arrays))] = binding
        return result


class _Binding:
    """Inputs and output of a session, bound to arrays that it keeps alive."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        feeds: dict[str, NDArray[Any]],
        logits: NDArray[np.float32],
    ) -> None:
        self.feeds, self.logits = feeds, logits
        self.io = session.io_binding()
        for name, array in feeds.items():
            self.io.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        self.io.bind_output(_OUTPUT, "cpu", 0, np.float32, logits.shape, logits.ctypes.data)
