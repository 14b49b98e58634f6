"""A picture of cluster and queue at one moment, drawn with NumPy alone.

Above, a strip that is filled by the share of the cluster in use. Left, one cell a node, filled from
below by its load; cards are cells of their own within it. Right, pending tasks in order of arrival
from the top: as long as the logarithm of what they ask for, as thick as their share of the cluster,
from blue (has just come) to red (has waited ten times what it asks for, or more).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.clock import MICROSECOND
from lepton_rl.core.tables import View

__all__ = ["HEIGHT", "WIDTH", "draw_view"]

Frame = NDArray[np.uint8]

HEIGHT, WIDTH = 360, 640
"""Pixels of a picture."""

_PAPER, _EMPTY, _BUSY = (250, 250, 252), (222, 227, 234), (46, 108, 190)
_DOWN, _YOUNG, _OLD = (120, 120, 128), (90, 160, 230), (205, 60, 45)
_MARGIN = 10
_STRIP = 16
_MOST_CELLS = 900
_MOST_TASKS = 60


def draw_view(view: View, b: int = 0) -> Frame:
    """The picture of environment `b`, `(HEIGHT, WIDTH, 3)` uint8 RGB."""
    frame = np.full((HEIGHT, WIDTH, 3), _PAPER, np.uint8)
    nodes, pool = view.nodes, view.pool
    kinds = len(nodes.total)
    capacity = nodes.rows["capacity"][:, :kinds]
    used = capacity - pool.rows["free"][b][:, :kinds]
    load = (used.sum(axis=0) / np.maximum(nodes.total, 1)).max()
    top, middle = 2 * _MARGIN + _STRIP, WIDTH // 2
    _fill(frame, _MARGIN, _MARGIN, WIDTH - 2 * _MARGIN, _STRIP, _EMPTY)
    _fill(frame, _MARGIN, _MARGIN, round(load * (WIDTH - 2 * _MARGIN)), _STRIP, _BUSY)
    _draw_nodes(frame, view, b, used, capacity, top, middle - 2 * _MARGIN)
    _draw_queue(frame, view, b, top, middle)
    return frame


def _fill(frame: Frame, x: int, y: int, width: int, height: int, colour: tuple[int, ...]) -> None:
    if width > 0 and height > 0:
        frame[y : y + height, x : x + width] = colour


def _draw_nodes(
    frame: Frame,
    view: View,
    b: int,
    used: NDArray[np.int64],
    capacity: NDArray[np.int64],
    top: int,
    width: int,
) -> None:
    """One cell a node, in rows; of more than 900 nodes the first ones."""
    count = min(len(capacity), _MOST_CELLS)
    height = HEIGHT - top - _MARGIN
    columns = max(1, min(count, math.ceil(math.sqrt(count * width / height))))
    cell_width, cell_height = width // columns, height // math.ceil(count / columns)
    gap = 1 if cell_width < 12 else 3
    for m in range(count):
        x, y = _MARGIN + m % columns * cell_width, top + m // columns * cell_height
        size = cell_width - gap, cell_height - gap
        if not view.pool.rows["accepting"][b, m]:
            _fill(frame, x, y, *size, _DOWN)
            continue
        _fill(frame, x, y, *size, _EMPTY)
        cards = np.flatnonzero(view.nodes.cards[m] > 0)
        if len(cards) and size[0] >= 3 * len(cards):
            shares = 1 - view.pool.card_free[b, m, cards] / view.nodes.cards[m, cards]
        else:
            has = capacity[m] > 0
            shares = np.array([(used[m, has] / capacity[m, has]).max(initial=0.0)])
        _draw_shares(frame, x, y, size, shares)


def _draw_shares(
    frame: Frame, x: int, y: int, size: tuple[int, int], shares: NDArray[np.float64]
) -> None:
    """Columns side by side, each filled from below."""
    width = size[0] // len(shares)
    for number, share in enumerate(shares.tolist()):
        filled = round(share * size[1])
        gap = 1 if len(shares) > 1 else 0
        _fill(frame, x + number * width, y + size[1] - filled, width - gap, filled, _BUSY)


def _draw_queue(frame: Frame, view: View, b: int, top: int, left: int) -> None:
    """Pending tasks, as many as there is room for, at most 60."""
    status = view.status[b]
    y, width = top, WIDTH - left - _MARGIN
    for position in range(min(int(status["num_pending"]), _MOST_TASKS)):
        task = view.tasks[int(status["first_row"]) + int(view.pending[b, position])]
        asked = task["demand"][: len(view.nodes.total)] * task["replicas"]
        share = float((asked / np.maximum(view.nodes.total, 1)).max())
        thickness = max(2, round(24 * min(1.0, share)))
        if y + thickness > HEIGHT - _MARGIN:
            return
        requested_s = max(1.0, float(task["requested_us"]) / MICROSECOND)
        waited_s = max(0.0, (int(status["now_us"]) - int(task["submit_us"])) / MICROSECOND)
        length = round(width * min(1.0, (0.3 + math.log10(requested_s)) / 6.3))
        age = min(1.0, math.log10(1 + waited_s / requested_s) / math.log10(11))
        colour = tuple(round(o * age + n * (1 - age)) for n, o in zip(_YOUNG, _OLD, strict=True))
        _fill(frame, left, y, max(3, length), thickness, colour)
        y += thickness + 2
