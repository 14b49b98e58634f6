"""The benchmark of decisions measures what it says."""

from __future__ import annotations

from benchmarks.decision_latency import measure, parts_of, view_of
from lepton_rl import load_policy
from tests.trained import random_policy_file


def test_it_measures_all_parts() -> None:
    view = view_of(8, 4)
    assert int(view.status["num_pending"][0]) == 8
    assert int(view.status["num_running"][0]) == 4

    found = measure(parts_of(load_policy(random_policy_file()), view), rounds=5)

    assert list(found) == ["network", "decision", "guarded decision"]
    for times in found.values():
        assert 0 < times["min_us"] <= times["p50_us"] <= times["p99_us"]
