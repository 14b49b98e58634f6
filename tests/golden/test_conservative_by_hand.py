"""Conservative backfilling worked by hand: it protects everybody ahead, EASY the first alone."""

from __future__ import annotations

from lepton_rl.core.nodes import Cluster, Node
from tests.golden.by_hand import node_of, run, starts_s, task

POOL = Cluster.pool(10)


class TestOnePool:
    """`a` holds 6 of 10 until 100 s; `H1` (8 x 50 s), then `H2` (9 x 100 s) are blocked.

    10 |          | H1 H1 | H2 H2 H2 |      By the plan H1 starts at 100 s and H2 at 150 s. There
     8 |          | H1 H1 | H2 H2 H2 |      are 4 processors left until 100 s, 2 until 150 s and 1
     6 | a  a  a  | H1 H1 | H2 H2 H2 |      until 250 s.
       0         100     150        250 s
    """

    QUEUE = (task("a", 6, 100), task("H1", 8, 50), task("H2", 9, 100))

    def test_easy_lets_the_second_blocked_task_be_delayed(self) -> None:
        # `c` (2 x 200 s) is within the spare of H1 (10 - 8), but stands in H2's way until 200 s.
        tasks = [*self.QUEUE, task("c", 2, 200)]
        assert starts_s(run(POOL, tasks, "fcfs+easy")) == {"a": 0, "H1": 100, "H2": 200, "c": 0}

    def test_conservative_does_not(self) -> None:
        tasks = [*self.QUEUE, task("c", 2, 200)]
        found = starts_s(run(POOL, tasks, "fcfs+conservative"))
        assert found == {"a": 0, "H1": 100, "H2": 150, "c": 250}

    def test_who_ends_when_the_second_begins_delays_nobody(self) -> None:
        tasks = [*self.QUEUE, task("exact", 2, 150), task("later", 2, 150.000001)]
        found = starts_s(run(POOL, tasks, "fcfs+conservative"))
        assert found == {"a": 0, "H1": 100, "H2": 150, "exact": 0, "later": 250}

    def test_a_gap_between_two_promises_is_used(self) -> None:
        # At 100 s `b` (2 x 50 s) fits beside H1; the 4 processors before are `s`'s (3 x 100 s).
        tasks = [*self.QUEUE, task("s", 3, 100), task("b", 2, 50)]
        found = starts_s(run(POOL, tasks, "fcfs+conservative"))
        assert found == {"a": 0, "H1": 100, "H2": 150, "s": 0, "b": 100}

    def test_an_early_end_is_used_at_once(self) -> None:
        tasks = [task("a", 6, 60, estimate_s=100), *self.QUEUE[1:], task("c", 2, 200)]
        found = starts_s(run(POOL, tasks, "fcfs+conservative"))
        assert found == {"a": 0, "H1": 60, "H2": 110, "c": 210}


def test_two_nodes_and_a_gang() -> None:
    """`a` holds n0 until 100 s, `b` half of n1 until 60 s.

    n0 | a  a  a  a  a | H1 |  The gang H1 (2 x 3 cores) needs both nodes: 100 s. H2 (4 x 30 s) fits
    n1 | b  b  |H2| -- | H1 |  on n1 from 60 to 90 s. `c` (2 cores x 100 s) fits on n1 now.
       0      60 90   100  150 s
    """
    cluster = Cluster((Node("n0", {"cpu": 4}), Node("n1", {"cpu": 4})))
    tasks = [
        task("a", 4, 100),
        task("b", 2, 60),
        task("H1", 3, 50, num_replicas=2),
        task("H2", 4, 30),
        task("c", 2, 100),
    ]
    # It ends with the shadow time of H1, so EASY starts it; H2 then finds no whole node until 150.
    easy = run(cluster, tasks, "fcfs+easy")
    assert starts_s(easy) == {"a": 0, "b": 0, "H1": 100, "H2": 150, "c": 0}
    assert node_of(easy, "c") == 1

    kept = run(cluster, tasks, "fcfs+conservative")
    assert starts_s(kept) == {"a": 0, "b": 0, "H1": 100, "H2": 60, "c": 150}
    assert node_of(kept, "H2") == 1
    assert kept["H1"].nodes == (0, 1)
    assert node_of(kept, "c") == 0


def test_cards() -> None:
    """Of 3 cards `a` holds 2 until 100 s; H1 (2 x 50 s), then H2 (3 x 20 s) are blocked.

    card 2 | -------- | -------- | H2 |  One card is left until 150 s, none until 170 s.
    card 1 | a  a  a  | H1  H1   | H2 |
    card 0 | a  a  a  | H1  H1   | H2 |
           0         100        150  170 s
    """
    cluster = Cluster((Node("n", {"cpu": 16, "gpu": 3}),))
    queue = [
        task("a", 1, 100, demand={"gpu": 2}),
        task("H1", 1, 50, demand={"gpu": 2}),
        task("H2", 1, 20, demand={"gpu": 3}),
    ]
    share = task("share", 1, 160, demand={"gpu": 0.5})
    exact = task("exact", 1, 150, demand={"gpu": 0.5})
    easy, kept = (
        starts_s(run(cluster, [*queue, share, exact], f"fcfs+{backfill}"))
        for backfill in ("easy", "conservative")
    )
    # H1 leaves one card spare, so EASY starts both; H2 then waits for the share.
    assert easy == {"a": 0, "H1": 100, "H2": 160, "share": 0, "exact": 0}
    assert kept == {"a": 0, "H1": 100, "H2": 150, "share": 170, "exact": 0}
