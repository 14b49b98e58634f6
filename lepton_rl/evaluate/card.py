"""The model card of a policy: what it was trained on, and what it was measured to do.

A card is made from an evaluation document (`document`) and kept beside the policy file as JSON, so
that the policy can be measured again and compared with what the card says (`card_problems`).
`card_text` writes it for people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from lepton_rl.core.errors import ConfigError, InputFileError
from lepton_rl.core.settings import Settings
from lepton_rl.evaluate.metrics import METRICS

__all__ = [
    "CARD_VERSION",
    "MOST_RIVALS",
    "Card",
    "Origin",
    "Rival",
    "card_of",
    "card_problems",
    "read_card",
]

CARD_VERSION: Literal[1] = 1
"""Counts up when a field of `Card` changes its meaning or goes away."""

MOST_RIVALS = 12
"""Heuristics on a card: where each order meets each placement rule there are near a hundred."""

_SAME = 1e-6
"""Relative difference below which a figure of a heuristic counts as the same: rounding only."""


class Origin(Settings):
    """Where a policy comes from.

    Attributes:
        name: the shipped policy's.
        config: name of the shipped configuration that trains it.
        purpose: what it is for.
        limits: what it is not for.
        sha256: checksum of the policy file, as in `policies.artifact`.
        workload: what it was trained on.
        seed: of training.
        steps: decisions after which its weights were taken.
        revision: of the sources.
        versions: of the software.
    """

    name: str
    config: str
    purpose: str
    limits: tuple[str, ...]
    sha256: str
    workload: str
    seed: int
    steps: int
    revision: str
    versions: dict[str, str]


class Rival(Settings):
    """A heuristic on the same windows.

    Attributes:
        name: its spec.
        figures: by metric, null where it does not apply.
        difference: of the policy to it, in the headline metric's unit.
        interval: of that difference.
        relative, relative_interval: the same as fractions of the heuristic's figure; None where
            that is zero.
        verdict: better, worse, or no difference shown; of the policy.
    """

    name: str
    figures: dict[str, float | None]
    difference: float
    interval: tuple[float, float]
    relative: float | None
    relative_interval: tuple[float, float] | None
    verdict: str


class Card(Settings):
    """What a policy was measured to do; figures by the names and in the units of `METRICS`.

    Attributes:
        card_version: `CARD_VERSION`.
        origin: of the policy.
        protocol: name and version.
        notes: of the protocol: which split, which tasks.
        headline: metric that ranks.
        backfill: rule around policy and heuristics alike.
        level: of the intervals, e.g. 0.95.
        bootstrap_seed: of the intervals.
        window_tasks: tasks of a window.
        windows: first task of each window, `(W,)`.
        figures: of the policy over all windows.
        per_window: headline figure of the policy in each window, `(W,)`.
        best_per_window: the same of the best heuristic, which is the first of `rivals`.
        rivals: the best heuristics, best first, at most `MOST_RIVALS`.
        num_heuristics: that were compared; None where `rivals` are all of them.
        limit: headline figure of the best schedule that a search in hindsight has found, if one
            was made.
        verdict: one sentence.
    """

    card_version: Literal[1] = CARD_VERSION
    origin: Origin
    protocol: str
    notes: tuple[str, ...]
    headline: str
    backfill: str
    level: float
    bootstrap_seed: int
    window_tasks: int
    windows: tuple[int, ...]
    figures: dict[str, float | None]
    per_window: tuple[float, ...]
    best_per_window: tuple[float, ...]
    rivals: tuple[Rival, ...]
    num_heuristics: int | None = None
    limit: float | None
    verdict: str


def card_of(origin: Origin, document: Mapping[str, Any], policy: str) -> Card:
    """The card of a policy from the document of an evaluation.

    Args:
        origin: of the policy.
        document: of `evaluate.document`, of the policy beside heuristics; its last setting counts.
        policy: its name in the document.

    Raises:
        ConfigError: the policy or the heuristics are missing there, or there are too few windows
            for intervals.
    """
    setting = document["settings"][-1]
    contenders = {each["name"]: each for each in setting["contenders"]}
    if policy not in contenders:
        raise ConfigError(f"card of {policy}: the evaluation has only {', '.join(contenders)}")
    headline, ours = document["headline"], contenders[policy]
    pairs = {d["theirs"]: d for d in setting["differences"] if d["ours"] == policy}
    if not pairs or any(pair["difference_interval"] is None for pair in pairs.values()):
        raise ConfigError(
            f"card of {policy}: expected a comparison with heuristics on six windows or more, so"
            f" that there are intervals; got {len(document['windows'])} windows and"
            f" {len(pairs)} heuristics"
        )
    heuristics = [each for each in setting["contenders"] if each["is_heuristic"]]
    limits = [each["figures"][headline] for each in setting["limits"] if "found" in each["name"]]
    return Card(
        origin=origin,
        protocol=f"{document['protocol']['name']} v{document['protocol']['version']}",
        notes=tuple(document["protocol"]["notes"]),
        headline=headline,
        backfill=setting["backfill"],
        level=document["bootstrap"]["level"],
        bootstrap_seed=document["bootstrap"]["seed"],
        window_tasks=document["windows"][0]["num_tasks"],
        windows=tuple(window["first_task"] for window in document["windows"]),
        figures=ours["figures"],
        per_window=tuple(ours["per_window"][headline]),
        best_per_window=tuple(heuristics[0]["per_window"][headline]),
        rivals=tuple(_rival(each, pairs[each["name"]]) for each in heuristics[:MOST_RIVALS]),
        num_heuristics=len(heuristics),
        limit=limits[0] if limits else None,
        verdict=setting["verdict"],
    )


def _rival(contender: Mapping[str, Any], pair: Mapping[str, Any]) -> Rival:
    return Rival(
        name=contender["name"],
        figures=contender["figures"],
        difference=pair["difference"],
        interval=tuple(pair["difference_interval"]),
        relative=pair["relative"],
        relative_interval=pair["relative_interval"] and tuple(pair["relative_interval"]),
        verdict=pair["verdict"],
    )


def read_card(path: Path) -> Card:
    """A card from its JSON file.

    Raises:
        InputFileError: the file cannot be read, or is not a card, or one of another version.
    """
    try:
        card = Card.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputFileError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the document"
        raise InputFileError(
            f"{path}: expected a model card of version {CARD_VERSION}; {place}: {first['msg']};"
            " make it again with: make retrain NAME=..."
        ) from error
    lengths = {len(each) for each in (card.windows, card.per_window, card.best_per_window)}
    if card.headline not in METRICS or not card.rivals or len(lengths) > 1:
        raise InputFileError(
            f"{path}: expected a known headline metric, heuristics, and a figure for each window"
        )
    return card


def card_problems(
    card: Card, windows: Sequence[int], ours: Sequence[float], best: Sequence[float]
) -> list[str]:
    """What a new measurement says against the card; nothing if it bears it out.

    The heuristic must do in each window what the card says: same workload, same rules. The
    policy's figures may differ a little (another processor rounds otherwise, and a near tie then
    falls the other way), but with them in the place of the card's, the mean difference to the best
    heuristic must stay in the card's interval.

    Args:
        card: says what was measured before.
        windows: positions in `card.windows`, `(K,)`.
        ours: headline figures of the policy in these windows, `(K,)`.
        best: the same of the card's best heuristic.
    """
    expected = np.array(card.best_per_window)[list(windows)]
    wrong = ~np.isclose(best, expected, rtol=_SAME, atol=_SAME)
    problems = [
        f"window {windows[int(k)]}: {card.rivals[0].name} has {best[int(k)]:.6g}, the card says"
        f" {expected[k]:.6g}: workload or rules have changed"
        for k in np.flatnonzero(wrong)
    ]
    merged = np.array(card.per_window)
    merged[list(windows)] = ours
    difference = float((merged - np.array(card.best_per_window)).mean())
    low, high = card.rivals[0].interval
    if not low <= difference <= high:
        problems.append(
            f"difference to {card.rivals[0].name} is {difference:+.4g}, outside of the card's"
            f" interval {low:+.4g} to {high:+.4g}"
        )
    return problems
