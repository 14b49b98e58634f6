"""Tsafrir's correction by hand: a task that outlives its prediction, in the running order."""

from __future__ import annotations

from lepton_rl.core.clock import to_us
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.rules.queueing import correct_outlived
from tests.builders import Desk, batch_job
from tests.golden.by_hand import run, starts_s, task


def test_the_running_order_follows_corrected_ends() -> None:
    """`a` is predicted to take 100 s, its user asked for 1000 s; `b` asked for 130 s."""
    desk = Desk(Cluster.pool(10), [batch_job("a", 5, 100), batch_job("b", 5, 130)])
    desk.view.tasks["limit_us"][desk.local["a"]] = to_us(1000)
    desk.run("a", "b")
    expected = [
        (99, 100, ["a", "b"]),
        (100, 160, ["b", "a"]),  # outlived: 1 min more than predicted
        (159, 160, ["b", "a"]),  # `b` has outlived what its user asked for: it is due
        (160, 400, ["b", "a"]),  # 5 min more than predicted, not than expected
        (401, 1000, ["b", "a"]),  # 15 min more
        (1001, 1000, ["b", "a"]),  # never more than its user asked for
    ]
    for now_s, end_s, order in expected:
        desk.at(now_s)
        correct_outlived(desk.view, 0)
        ends_us = desk.view.spans["expected_end_us"][0]
        assert ends_us.tolist() == [to_us(end_s), to_us(130)], now_s
        assert desk.running == order, now_s


def test_it_makes_room_for_backfilling() -> None:
    """`a` (6 of 10) runs for 150 s, predicted 100 of the 1000 s asked for; H (8) waits for it.

    At 102 s `c` (4 x 55 s) arrives: it would end at 157 s. `a`'s end is expected at 160 s now, so c
    starts, and H when both have ended. Without the correction `a` would be due at once.
    """
    a = task("a", 6, 150, estimate_s=1000)
    tasks = [a, task("H", 8, 50, at=1), task("c", 4, 55, at=102)]
    found = starts_s(run(Cluster.pool(10), tasks, "fcfs+easy", predicted_s={"a": 100}))
    assert found == {"a": 0, "H": 157, "c": 102}

    honest = task("a", 6, 150, estimate_s=100)  # asked for no more: it may end at any moment
    found = starts_s(run(Cluster.pool(10), [honest, *tasks[1:]], "fcfs+easy"))
    assert found == {"a": 0, "H": 150, "c": 200}
