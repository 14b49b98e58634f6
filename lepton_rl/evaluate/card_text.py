"""A model card as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from lepton_rl.evaluate.card import Card, Rival
from lepton_rl.evaluate.figures import figure_text, with_unit
from lepton_rl.evaluate.metrics import METRICS

__all__ = ["card_markdown", "change_of", "lost_metrics"]

_COLUMNS = ("mean_wait_s", "p95_wait_s", "max_wait_s", "utilisation")
_NOTABLE = 0.005
"""Share of the best heuristic's figure below which a loss is not told: it rounds to 0 %."""


def card_markdown(card: Card) -> str:
    """The card for people: data, split, seeds, table with intervals, losses, limits."""
    return "\n".join(
        [
            f"# {card.origin.name}",
            "",
            "This page was written by `make retrain`; edit the configuration, not this file.",
            "",
            f"For {card.origin.purpose}." if card.origin.purpose else "",
            "",
            card.verdict,
            "",
            *_origin(card),
            "",
            *_figures(card),
            "",
            "## Where it loses",
            "",
            *_losses(card),
            "",
            "## Limits",
            "",
            *(f"- {limit}" for limit in card.origin.limits or ("None were written down.",)),
            "",
            "## Check it",
            "",
            "```console",
            f"lepton-rl policies check {card.origin.name} --windows 3",
            f"lepton-rl verify {card.origin.name}",
            "```",
            "",
        ]
    )


def change_of(rival: Rival, headline: str) -> str:
    """The policy's change against a heuristic, with its interval."""
    if rival.relative is None or rival.relative_interval is None:
        low, high = rival.interval
        return f"{rival.difference:+.4g} ({low:+.4g} to {high:+.4g}) {METRICS[headline].unit}"
    low, high = rival.relative_interval
    return f"{100 * rival.relative:+.1f} % ({100 * low:+.1f} to {100 * high:+.1f})"


def lost_metrics(card: Card) -> dict[str, tuple[float, float]]:
    """Metrics in which the policy is worse than the best heuristic: its figure, and the other's."""
    lost = {}
    for name, info in METRICS.items():
        ours, theirs = card.figures.get(name), card.rivals[0].figures.get(name)
        if ours is None or theirs is None:
            continue
        worse = ours - theirs if info.lower_is_better else theirs - ours
        if worse > _NOTABLE * abs(theirs):
            lost[name] = (ours, theirs)
    return lost


def _origin(card: Card) -> Iterator[str]:
    origin = card.origin
    versions = ", ".join(f"{name} {version}" for name, version in origin.versions.items())
    yield "| | |"
    yield "|---|---|"
    yield f"| trained by | `make retrain NAME={origin.name}` (configuration `{origin.config}`) |"
    yield f"| on | {origin.workload} |"
    yield f"| seeds | training {origin.seed}; bootstrap {card.bootstrap_seed} |"
    yield f"| weights of decision | {origin.steps:,} |"
    yield f"| sources | revision `{origin.revision}`; {versions} |"
    yield f"| SHA-256 | `{origin.sha256}` |"
    yield f"| measured by | protocol {card.protocol}; {'; '.join(card.notes)} |"
    count, length = len(card.windows), card.window_tasks
    yield f"| windows | {count} of {length} tasks, each from an idle machine |"
    yield f"| backfilling | {card.backfill}, for all alike |"


def _figures(card: Card) -> Iterator[str]:
    info = METRICS[card.headline]
    yield "## Figures"
    yield ""
    yield (
        f"Means over the windows (the longest wait is the longest of all). The last column is the"
        f" policy's change in {info.title} against that row, paired, {100 * card.level:g} %."
    )
    yield ""
    titles = [METRICS[name].title + _unit(name) for name in (card.headline, *_COLUMNS)]
    yield "| | " + " | ".join(titles) + " | change |"
    yield "|---" * (len(titles) + 2) + "|"
    yield f"| **{card.origin.name}** | {_cells(card, card.figures)} | |"
    for rival in card.rivals:
        change = change_of(rival, card.headline)
        yield f"| {rival.name} | {_cells(card, rival.figures)} | {change} |"
    if card.num_heuristics is not None and card.num_heuristics > len(card.rivals):
        yield ""
        yield f"The table has the best {len(card.rivals)} of {card.num_heuristics} heuristics."
    if card.limit is not None:
        yield ""
        yield (
            "Best schedules that a search with all run times known has found:"
            f" {with_unit(card.headline, card.limit)}."
        )


def _cells(card: Card, figures: dict[str, float | None]) -> str:
    values = (figures.get(name) for name in (card.headline, *_COLUMNS))
    texts = zip((card.headline, *_COLUMNS), values, strict=True)
    return " | ".join("-" if value is None else figure_text(name, value) for name, value in texts)


def _unit(name: str) -> str:
    return {"s": ", s", "share": ", %"}.get(METRICS[name].unit, "")


def _losses(card: Card) -> Iterator[str]:
    best = card.rivals[0]
    lower = METRICS[card.headline].lower_is_better
    pairs = zip(card.per_window, card.best_per_window, strict=True)
    worse = sum((ours > theirs) if lower else (ours < theirs) for ours, theirs in pairs)
    yield f"- In {worse} of {len(card.windows)} windows it is worse than {best.name}."
    for name, (ours, theirs) in lost_metrics(card).items():
        figures = f"{with_unit(name, ours)} against {with_unit(name, theirs)}"
        yield f"- {METRICS[name].title}: {figures} of {best.name}."
    not_beaten = [rival.name for rival in card.rivals if rival.verdict != "better"]
    if not_beaten:
        yield f"- Not shown to be better than: {', '.join(not_beaten)}."
