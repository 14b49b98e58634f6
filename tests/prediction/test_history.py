from __future__ import annotations

import math

import pytest

from lepton_rl.prediction.history import FEATURE_NAMES, UNKNOWN, History
from tests.prediction.small import task


def named(history: History, **fields: object) -> dict[str, float]:
    return dict(zip(FEATURE_NAMES, history.row(task(**fields)), strict=True))  # type: ignore[arg-type]


def test_a_row_without_history() -> None:
    row = named(History(), size=8, requested_s=math.e, submit_s=9 * 86_400 + 6 * 3600)

    assert row["log requested time"] == pytest.approx(1)
    assert row["log2 size"] == 3
    assert (row["sine of the hour"], row["cosine of the hour"]) == pytest.approx((1, 0))
    assert row["day of the week"] == 2
    assert row["log share of the tenant's last two"] == UNKNOWN
    assert row["log median share (everybody)"] == UNKNOWN
    assert row["log tasks ended (everybody)"] == 0


def test_a_row_with_history() -> None:
    history = History()
    for run_s in (10, 40, 20):
        history.observe(task("ada", requested_s=100), run_s)
    history.observe(task("bob", requested_s=100), 80)

    row = named(history, tenant="ada", requested_s=200)

    assert row["log share of the tenant's last two"] == pytest.approx(math.log(30 / 200))
    assert row["log median share (tenant)"] == pytest.approx(math.log(0.2))
    assert row["log last share (tenant)"] == pytest.approx(math.log(0.2))
    assert row["log tasks ended (tenant)"] == pytest.approx(math.log(4))
    assert row["log last share (everybody)"] == pytest.approx(math.log(0.8))
    assert row["log median share (tenant, request)"] == UNKNOWN, "nobody asked for 200 s yet"


def test_a_row_of_an_unknown_tenant_has_the_same_columns() -> None:
    assert len(History().row(task(""))) == len(FEATURE_NAMES)
