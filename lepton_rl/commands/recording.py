"""An episode as an animation: pictures of cluster and queue at the moments of decision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.policy import Decision, Policy
from lepton_rl.core.tables import Ints, View
from lepton_rl.encoding.picture import draw_view

__all__ = ["RECORDING_SUFFIXES", "RecordedPolicy", "check_recording"]

RECORDING_SUFFIXES = (".gif", ".apng", ".png")
"""Files that can be written: GIF, or animated PNG."""

_MOST_FRAMES = 240
_FRAME_MS = 80


def check_recording(path: Path) -> None:
    """Refuse a file that cannot be written, before anything is simulated.

    Raises:
        ConfigError: another suffix, or Pillow is not installed.
    """
    if path.suffix.lower() not in RECORDING_SUFFIXES:
        raise ConfigError(
            f"--record {path}: expected a file ending in {', '.join(RECORDING_SUFFIXES)}"
        )
    try:
        import PIL.Image  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigError(
            "--record: Pillow is missing; install it with: pip install 'lepton-rl[report]'"
        ) from error


class RecordedPolicy:
    """A policy that is watched while it decides.

    At most 240 pictures are kept: when there are more, every other one is dropped, and from then on
    only half as many are taken.

    Args:
        policy: decides.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.name = policy.name
        self._stride, self._seen = 1, 0
        self.frames: list[NDArray[np.uint8]] = []

    def reset(self) -> None:
        """See `Policy.reset`."""
        self._policy.reset()

    def decide(self, view: View) -> Decision:
        """See `Policy.decide`."""
        if self._seen % self._stride == 0:
            self.frames.append(draw_view(view))
            if len(self.frames) > _MOST_FRAMES:
                self.frames, self._stride = self.frames[::2], 2 * self._stride
        self._seen += 1
        return self._policy.decide(view)

    def reindex(self, moved: Ints) -> None:
        """See `RemembersTasks`."""
        reindex = getattr(self._policy, "reindex", None)
        if reindex is not None:
            reindex(moved)

    def save(self, path: Path) -> None:
        """Write the animation."""
        from PIL import Image

        images = [Image.fromarray(frame) for frame in self.frames]
        kind = "GIF" if path.suffix.lower() == ".gif" else "PNG"
        images[0].save(
            path, format=kind, save_all=True, append_images=images[1:], duration=_FRAME_MS, loop=0
        )
