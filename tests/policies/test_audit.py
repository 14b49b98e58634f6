"""The audit: a line for each decision that says what, why, and who."""

from __future__ import annotations

import io
import json

import pytest

from lepton_rl.core.nodes import Cluster
from lepton_rl.core.tasks import Task
from lepton_rl.policies.audit import AuditedPolicy, view_digest
from lepton_rl.policies.guard import GuardedPolicy, GuardSettings
from lepton_rl.policies.learned import load_policy
from lepton_rl.policies.registry import heuristic
from lepton_rl.system import Scheduler
from tests.policies.desks import FALLBACK, Scripted, boom, desk_of
from tests.trained import random_policy_file


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_learned_decision_with_its_features() -> None:
    policy, stream, desk = load_policy(random_policy_file()), io.StringIO(), desk_of(6, running=1)
    audited = AuditedPolicy(policy, stream, lambda: policy, features=2)
    audited.name_of = lambda local: desk.ids[local]

    decision = audited.decide(desk.view)

    (line,) = lines(stream)
    assert decision == load_policy(random_policy_file()).decide(desk.view)
    assert line["view"] == view_digest(desk.view)
    assert (line["time_s"], line["pending"], line["running"]) == (6.0, 5, 1)
    assert line["policy"] == "random"
    assert line["action"] in ("start", "wait")
    features = line["features"]
    assert isinstance(features, dict)
    assert len(features) == 2
    assert all(name.split(".")[0] in ("task", "node", "cluster") for name in features)


def test_a_fallback_with_its_cause() -> None:
    stream, desk = io.StringIO(), desk_of(4)
    guard = GuardedPolicy(Scripted(boom), FALLBACK, GuardSettings(budget_us=60e6))

    AuditedPolicy(guard, stream).decide(desk.view)

    (line,) = lines(stream)
    assert line["fallback"] == ["fallback-exception"]
    assert (line["action"], line["task"], line["nodes"]) == ("start", "0", [0])
    assert "features" not in line


def test_the_digest_is_of_what_can_be_seen() -> None:
    desk = desk_of(6, running=1)
    digest = view_digest(desk.view)
    assert digest == view_digest(desk_of(6, running=1).view)
    changes = [lambda d: d.at(99.0), lambda d: d.withdraw("t4"), lambda d: d.finish("t0")]
    for change in changes:
        other = desk_of(6, running=1)
        change(other)
        assert view_digest(other.view) != digest


def test_a_full_disk_stops_no_decision(caplog: pytest.LogCaptureFixture) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    audited = AuditedPolicy(heuristic("sjf"), Full())
    system = Scheduler(Cluster.pool(4), audited)
    system.submit_all([Task(f"t{n}", {"cpu": 2}, 5.0, run_time_s=5.0) for n in range(6)])
    system.run()

    assert system.monitor.outcomes == {"completed": 6}
    assert system.monitor.incidents["audit-lost"] == audited.counts()["audit-lost"] > 0
    assert "No space left" in caplog.text
