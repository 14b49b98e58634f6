"""Nodes kept free for somebody, by hand: spare nodes, a critical task's promise, held nodes."""

from __future__ import annotations

import pytest

from lepton_rl.core.nodes import Cluster, Node
from tests.golden.by_hand import node_of, run, starts_s, task

POOL = Cluster.pool(4)


class TestSpareNodes:
    """`r` holds the card of n0 and 2 of its 4 cores until 100 s; `H` wants the card and 4 cores.

    n0 | r r r r | H H |   H starts at 100 s. First-fit likes n0 best for any small task.
    n1 | ------- | --- |
       0        100   150 s
    """

    CLUSTER = Cluster((Node("n0", {"cpu": 4, "gpu": 1}, "T4", {"card"}), Node("n1", {"cpu": 4})))
    QUEUE = (task("r", 2, 100, demand={"gpu": 1}), task("H", 4, 50, demand={"gpu": 1}))

    def test_a_long_task_takes_the_node_that_the_head_does_not_want(self) -> None:
        found = run(self.CLUSTER, [*self.QUEUE, task("c", 2, 500)], "fcfs+easy")
        assert starts_s(found) == {"r": 0, "H": 100, "c": 0}
        assert node_of(found, "c") == 1

    def test_a_short_one_the_node_it_likes_best(self) -> None:
        found = run(self.CLUSTER, [*self.QUEUE, task("c", 2, 100)], "fcfs+easy")
        assert starts_s(found) == {"r": 0, "H": 100, "c": 0}
        assert node_of(found, "c") == 0

    def test_a_long_task_that_may_run_nowhere_else_waits(self) -> None:
        c = task("c", 2, 500, required_labels={"card"})
        found = run(self.CLUSTER, [*self.QUEUE, c], "fcfs+easy")
        assert starts_s(found) == {"r": 0, "H": 100, "c": 150}


class TestPromise:
    """`a` holds 2 of 4 cores until 100 s; `K` (4 cores x 200 s) is the last that SJF would start.

    K is submitted at 1 s. `s1` (1 x 50 s, at 2 s) ends before 100 s, `s2` (1 x 99 s, at 3 s) at
    102 s.
    """

    REST = (task("a", 2, 100), task("s1", 1, 50, at=2), task("s2", 1, 99, at=3))

    def test_shorter_tasks_put_it_off(self) -> None:
        tasks = [*self.REST, task("K", 4, 200, at=1)]
        assert starts_s(run(POOL, tasks, "sjf")) == {"a": 0, "s1": 2, "s2": 3, "K": 102}

    @pytest.mark.parametrize("backfill", ["none", "easy", "conservative"])
    def test_a_critical_task_starts_when_it_was_promised(self, backfill: str) -> None:
        tasks = [*self.REST, task("K", 4, 200, at=1, critical=True)]
        found = starts_s(run(POOL, tasks, f"sjf+{backfill}"))
        assert found == {"a": 0, "s1": 2, "K": 100, "s2": 300}

    def test_and_at_once_when_it_fits_earlier(self) -> None:
        a = task("a", 2, 60, estimate_s=100)  # s1 ended at 52 s
        tasks = [a, *self.REST[1:], task("K", 4, 200, at=1, critical=True)]
        assert starts_s(run(POOL, tasks, "sjf")) == {"a": 0, "s1": 2, "K": 60, "s2": 260}


class TestHeadBlockedByHeldNodes:
    """n0 is `a`'s until 100 s, half of n1 `b`'s until 50 s, and both are held for the gang `K`.

    n0 | a a a a a | K K K K K K | H   K (critical, 2 x 4 cores x 300 s) starts at 100 s. Under SJF
    n1 | b b | --- | K K K K K K |     H (2 cores x 200 s) comes first; n1 has room for it, but
       0    50    100           400 s  is held. n2 (1 core) is too small for both.
    """

    CLUSTER = Cluster((Node("n0", {"cpu": 4}), Node("n1", {"cpu": 4}), Node("n2", {"cpu": 1})))
    QUEUE = (
        task("a", 4, 100),
        task("b", 2, 50),
        task("K", 4, 300, at=1, num_replicas=2, critical=True),
        task("H", 2, 200, at=2),
    )

    def test_the_head_waits_for_the_holder(self) -> None:
        found = run(self.CLUSTER, self.QUEUE, "sjf+easy")
        assert starts_s(found) == {"a": 0, "b": 0, "K": 100, "H": 400}
        assert found["K"].nodes == (0, 1)

    def test_without_a_holder_it_would_start_at_once(self) -> None:
        found = run(self.CLUSTER, [*self.QUEUE[:2], self.QUEUE[3]], "sjf+easy")
        assert starts_s(found)["H"] == 2

    def test_who_does_not_need_held_nodes_passes_it_with_backfilling_only(self) -> None:
        tasks = [*self.QUEUE, task("c", 1, 390, at=3)]
        easy, none = (run(self.CLUSTER, tasks, f"sjf+{backfill}") for backfill in ("easy", "none"))
        assert starts_s(easy)["c"] == 3
        assert node_of(easy, "c") == 2
        assert starts_s(none)["c"] == 400

    def test_nobody_is_stopped_for_nodes_that_are_held(self) -> None:
        """Preemption: H would not get the room; `b` would start again, and be stopped again."""
        b = task("b", 4, 50, preemptible=True)
        more = [self.QUEUE[0], b, self.QUEUE[2], task("H", 2, 200, at=2, deadline_s=10)]
        found = run(self.CLUSTER, more, "edf+preempt")
        assert found["b"].interruptions == ()
        assert starts_s(found) == {"a": 0, "b": 0, "K": 100, "H": 400}
