"""Draws `docs/images/hpc.svg`, the picture of the README, from the model card of a shipped policy.

    python -m benchmarks.results_picture

Two charts side by side with the same rows: what the policy wins, and what that costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

from lepton_rl.evaluate.card import Card, read_card
from lepton_rl.evaluate.figures import seconds_text
from lepton_rl.policies.shipped import card_path

__all__ = ["PICTURE", "main", "picture"]

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "hpc.svg"

_ROWS = 6
"""Bars of a chart: the policy and the best heuristics; the others are off the scale."""

_WIDTH, _ROW, _TOP, _NAMES, _BARS = 760, 26, 58, 70, 200
_OURS, _THEIRS, _INK = "#c2410c", "#64748b", "#1e293b"


def picture(card: Card) -> str:
    """The drawing as SVG text."""
    named = [(card.origin.name, card.figures)]
    named += [(rival.name, rival.figures) for rival in card.rivals[: _ROWS - 1]]
    height = _TOP + _ROW * len(named) + 34
    slowdowns = {name: float(figures[card.headline] or 0) for name, figures in named}
    waits_h = {name: float(figures["p95_wait_s"] or 0) / 3600 for name, figures in named}
    low, high = (100 * each for each in card.rivals[0].relative_interval or (0.0, 0.0))
    change = 100 * (card.rivals[0].relative or 0.0)
    note = (
        f"{len(card.windows)} test windows. Mean against {card.rivals[0].name}: {change:+.0f} %"
        f" (95 % interval {low:+.0f} to {high:+.0f} %)."
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"'
        f' font-family="sans-serif" font-size="13" fill="{_INK}" role="img">',
        f"<title>{escape(card.verdict)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        *_chart(slowdowns, 10, "Mean bounded slowdown: lower is better"),
        *_chart(waits_h, _WIDTH // 2 + 10, "95th percentile of waits, hours: lower is better"),
        f'<text x="10" y="{height - 10}">{escape(note)}</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _chart(values: dict[str, float], left: int, title: str) -> Iterator[str]:
    """Horizontal bars, the first one in the colour of the policy."""
    yield f'<text x="{left}" y="28" font-weight="bold">{escape(title)}</text>'
    longest = max(values.values())
    for row, (name, value) in enumerate(values.items()):
        y, width = _TOP + _ROW * row, _BARS * value / longest
        colour = _THEIRS if row else _OURS
        yield f'<text x="{left + _NAMES - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>'
        yield (
            f'<rect x="{left + _NAMES}" y="{y}" width="{width:.1f}" height="{_ROW - 8}"'
            f' fill="{colour}"/>'
        )
        yield f'<text x="{left + _NAMES + width + 6:.1f}" y="{y + 13}">{seconds_text(value)}</text>'


def main() -> None:
    """Write the picture."""
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_text(picture(read_card(card_path("hpc"))), encoding="utf-8")


if __name__ == "__main__":
    main()
