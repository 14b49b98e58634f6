"""Running a network on ONNX Runtime, one decision after the other on one core."""

from __future__ import annotations

import os
import threading
from functools import cache
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

__all__ = ["BoundNetwork", "Network", "session_of"]

_EXTERNAL_FOLDER = "session.model_external_initializers_file_folder_path"
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

    Args:
        session: with the output `logits`.
        inputs: names, in the order in which `run` takes them; the mask of the actions among them.
    """

    def __init__(self, session: onnxruntime.InferenceSession, inputs: tuple[str, ...]) -> None:
        self._session, self._inputs = session, inputs

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
        feeds = dict(zip(self._inputs, arrays, strict=True))
        result: NDArray[np.float32] = self._session.run([_OUTPUT], feeds)[0]
        return result

    def bound_to(self, arrays: Arrays, num_actions: int) -> BoundNetwork:
        """The network for the one observation in these arrays, whatever is written there.

        A fifth of the time of a small network goes into handing arrays over, so a policy does it
        once for each of its buffers.

        Args:
            arrays: contiguous, with a batch axis of 1.
            num_actions: logits of one observation.
        """
        feeds = dict(zip(self._inputs, arrays, strict=True))
        return BoundNetwork(self._session, feeds, np.empty((1, num_actions), np.float32))


class BoundNetwork:
    """Inputs and output of a session, bound to arrays that it keeps alive."""

    __slots__ = ("_feeds", "_io", "_logits", "_run")

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        feeds: dict[str, NDArray[Any]],
        logits: NDArray[np.float32],
    ) -> None:
        self._run, self._feeds, self._logits = session.run_with_iobinding, feeds, logits
        self._io = session.io_binding()
        for name, array in feeds.items():
            assert array.flags.c_contiguous, f"{name} has gaps"
            self._io.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        self._io.bind_output(_OUTPUT, "cpu", 0, np.float32, logits.shape, logits.ctypes.data)

    def __call__(self) -> NDArray[np.float32]:
        """Logits `(1, actions)` of what the inputs hold now; the next call overwrites them."""
        self._run(self._io)
        return self._logits
