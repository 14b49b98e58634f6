"""Naming a heuristic in one string: `f4`, `f4+easy`, `order=f4,place=best-fit,backfill=easy`.

A spec is a list of parts, separated by `+` or `,`. A part is `key=value`, or a value alone where
that is enough (no two of the names below are equal). Case does not matter, `_` is the same as `-`.

    order     fcfs sjf ljf saf f1 f2 f3 f4 wfp3 unicep lepton edf least-slack multifactor drf
              max-min las (required)
    place     first-fit best-fit least-loaded (or worst-fit) dot-product tetris gpu-packing
              gpu-clustering fgd random fastest; lepton: least-loaded, all others: first-fit
    backfill  none easy conservative fixed-shadow; none
    blocking  true false; alone it means true; false
    preempt   true false; alone it means true; las: true, all others: false; not with ljf, lepton,
              least-slack, drf and max-min, under which a task loses its turn by running
    alpha, beta, gamma   weights of the Lepton priority; 0.5, 0.5, 0
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Any, TypeVar

from lepton_rl.core.checks import require_flag, require_number, shown
from lepton_rl.core.errors import ConfigError
from lepton_rl.core.naming import did_you_mean
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.rules.dispatch import DispatchRule
from lepton_rl.core.rules.orders import Order, PriorityWeights
from lepton_rl.core.rules.placement import Place

__all__ = ["make_rule", "parse_spec", "rule_of", "spec_of"]

E = TypeVar("E", bound=IntEnum)

_KINDS: dict[str, type[IntEnum]] = {"order": Order, "place": Place, "backfill": Backfill}
_WEIGHTS = PriorityWeights._fields
_SWITCHES = ("blocking", "preempt")
_FLAGS = {"true": True, "false": False}
_LOSE_TURN_BY_RUNNING = (
    Order.LJF, Order.LEPTON, Order.LEAST_SLACK, Order.DRF, Order.MAX_MIN
)  # fmt: skip
"""With preemption two tasks would stop each other for ever, a microsecond each."""
_SEPARATOR = re.compile(r",|(?<![0-9.]e)\+", re.IGNORECASE)
"""A comma, or a plus that is not part of a number such as 1e+20."""


def make_rule(
    order: Order | str,
    place: Place | str | None = None,
    backfill: Backfill | str = Backfill.NONE,
    weights: PriorityWeights | None = None,
    blocking: bool = False,
    preempt: bool | None = None,
) -> DispatchRule:
    """The rule with these parts, as plain numbers of the types that the compiled code expects.

    Args:
        order: which task comes first.
        place: which node it gets; None for the order's own (see the module).
        backfill: who may overtake it while it is blocked.
        weights: of the Lepton priority; None for the seed's.
        blocking: the RLScheduler protocol: who comes first stays first until it starts.
        preempt: while who comes first is blocked, stop preemptible tasks that come after it; None
            for the order's own (see the module).

    Raises:
        ConfigError: an unknown name (with the nearest right one), a weight that is not a finite
            number, or a backfilling that this kind of blocking does not have.
    """
    chosen = _member(Order, order, "order")
    if place is None:
        place = Place.LEAST_LOADED if chosen is Order.LEPTON else Place.FIRST_FIT
    if preempt is None:
        preempt = chosen is Order.LAS
    rule = DispatchRule(
        order=int(chosen),
        place=int(_member(Place, place, "place")),
        backfill=int(_member(Backfill, backfill, "backfill")),
        weights=_checked(weights or PriorityWeights()),
        blocking=require_flag(blocking, "blocking"),
        preempt=require_flag(preempt, "preempt"),
    )
    _refuse_mismatch(rule)
    return rule


def rule_of(spec: str) -> DispatchRule:
    """The rule that `spec` names; see the module for how to write one.

    Raises:
        ConfigError: as `make_rule` does, or an unknown or repeated part, or no order.
    """
    return make_rule(**parse_spec(spec))


def parse_spec(spec: str) -> dict[str, Any]:
    """The parts of `spec` as arguments of `make_rule`; what it does not name is left out.

    Raises:
        ConfigError: an unknown or repeated part, or no order.
    """
    found: dict[str, Any] = {}
    for part in _SEPARATOR.split(spec):
        key, value = _key_and_value(part.strip(), spec)
        if key in found:
            raise ConfigError(f"policy {spec!r}: {key} is given twice; keep one")
        found[key] = value
    if "order" not in found:
        orders = ", ".join(map(_name, Order))
        raise ConfigError(f"policy {spec!r}: expected the name of an order, one of {orders}")
    weights = {key: found.pop(key) for key in _WEIGHTS if key in found}
    if weights:
        found["weights"] = PriorityWeights(**weights)
    return found


def spec_of(rule: DispatchRule) -> str:
    """The shortest spec of `rule`, e.g. `f4+easy`; `rule_of` gives the rule back."""
    plain = make_rule(Order(rule.order))
    parts = [_name(Order(rule.order))]
    if rule.place != plain.place:
        parts.append(_name(Place(rule.place)))
    if rule.backfill != plain.backfill:
        parts.append(_name(Backfill(rule.backfill)))
    if rule.blocking:
        parts.append("blocking")
    if rule.preempt != plain.preempt:
        parts.append("preempt" if rule.preempt else "preempt=false")
    pairs = zip(_WEIGHTS, rule.weights, plain.weights, strict=True)
    parts += [f"{key}={value!r}" for key, value, usual in pairs if value != usual]
    return "+".join(parts)


def _key_and_value(part: str, spec: str) -> tuple[str, object]:
    key, separator, text = (_plain(piece) for piece in part.partition("="))
    if not separator:
        return (key, True) if key in _SWITCHES else _bare(key, spec)
    if key in _KINDS:
        return key, _member(_KINDS[key], text, f"policy {spec!r}: {key}")
    if key in _SWITCHES and text in _FLAGS:
        return key, _FLAGS[text]
    if key in _WEIGHTS:
        return key, _weight(text, f"policy {spec!r}: {key}")
    if key in _SWITCHES:
        raise ConfigError(f"policy {spec!r}: {key} must be true or false, got {text!r}")
    hint = did_you_mean(key, [*_KINDS, *_WEIGHTS, *_SWITCHES])
    raise ConfigError(f"policy {spec!r}: unknown key {key!r}; {hint}")


def _bare(name: str, spec: str) -> tuple[str, object]:
    for key, kind in _KINDS.items():
        if name in _members(kind):
            return key, _members(kind)[name]
    known = [name for kind in _KINDS.values() for name in _members(kind)]
    raise ConfigError(
        f"policy {spec!r}: unknown name {name!r}; {did_you_mean(name, [*known, *_SWITCHES])}"
    )


def _plain(text: str) -> str:
    return text.strip().lower().replace("_", "-")


def _members(kind: type[E]) -> dict[str, E]:
    """The members by name, other names of the same (worst-fit) included."""
    return {_plain(name): member for name, member in kind.__members__.items()}


def _name(member: IntEnum) -> str:
    return _plain(member.name)


def _member(kind: type[E], value: object, what: str) -> E:
    if isinstance(value, kind):
        return value
    names = _members(kind)
    if isinstance(value, str):
        if _plain(value) in names:
            return names[_plain(value)]
        raise ConfigError(f"{what}: unknown name {value!r}; {did_you_mean(_plain(value), names)}")
    raise ConfigError(f"{what}: expected one of {', '.join(names)}, got {shown(value)}")


def _weight(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"{what} must be a finite number, got {text!r}") from None


def _checked(weights: PriorityWeights) -> PriorityWeights:
    """Floats: an int would make Numba compile every rule a second time."""
    return PriorityWeights(
        *(
            require_number(value, f"weights: {key} must be a finite number")
            for key, value in zip(_WEIGHTS, weights, strict=True)
        )
    )


def _refuse_mismatch(rule: DispatchRule) -> None:
    if rule.blocking and rule.backfill in (Backfill.EASY, Backfill.CONSERVATIVE):
        name = _name(Backfill(rule.backfill))
        raise ConfigError(
            f"backfill {name} does not go with blocking, which has its own: fixed-shadow"
        )
    if rule.blocking and rule.preempt:
        raise ConfigError("preempt does not go with blocking; leave one of them out")
    if rule.preempt and rule.order in _LOSE_TURN_BY_RUNNING:
        raise ConfigError(
            f"preempt does not go with order {_name(Order(rule.order))}, under which a task loses"
            " its turn by running; use another order, e.g. las, sjf or edf"
        )
    if not rule.blocking and rule.backfill == Backfill.FIXED_SHADOW:
        raise ConfigError(
            "backfill fixed-shadow is the RLScheduler protocol's; it needs blocking=true"
        )
