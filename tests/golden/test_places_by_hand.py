"""Which of three nodes each placement rule takes, with the scores worked out."""

from __future__ import annotations

from itertools import pairwise

import pytest

from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.tasks import Task
from tests.golden.by_hand import node_of, run, starts_s, task

LONG_S = 1000


def nodes(*capacities: dict[str, float]) -> Cluster:
    """n0, n1 and n2; each carries its name as a label."""
    return Cluster(
        tuple(
            Node(f"n{m}", capacity, "T4" if "gpu" in capacity else "", {f"n{m}"})
            for m, capacity in enumerate(capacities)
        )
    )


def on(m: int, cards: float) -> Task:
    """Somebody who runs on node `m` already."""
    return task(f"on{m}", 1, LONG_S, demand={"gpu": cards}, required_labels={f"n{m}"})


def chosen(cluster: Cluster, place: str, wanted: Task, *before: Task) -> int:
    return node_of(run(cluster, [*before, wanted], f"fcfs+{place}"), wanted.id)


class TestFreeAmounts:
    """Idle nodes; the largest have 8 cores, 16 GiB and 4 cards. Shares of the largest:

         cores  memory  cards  | left over by x (best-fit)       products (cores, memory, cards)
    n0   8/8    16/16   2/4    | 6/8 + 1/4 = 1.0                 .25   .5    .125
    n1   4/8     8/16   2/4    | 2/8 + 1/4 = 0.5                 .125  .25   .125
    n2   8/8     8/16   4/4    | 6/8 + 3/4 = 1.5                 .25   .25   .25

    x asks for 2 cores, 8 GiB and a card: .25, .5 and .25.
    """

    CLUSTER = nodes(
        {"cpu": 8, "memory": 16, "gpu": 2},
        {"cpu": 4, "memory": 8, "gpu": 2},
        {"cpu": 8, "memory": 8, "gpu": 4},
    )
    X = task("x", 2, 10, demand={"memory": 8, "gpu": 1})

    @pytest.mark.parametrize(
        ("place", "expected"),
        [
            ("first-fit", 0),
            ("best-fit", 1),  # the least left over
            ("dot-product", 1),  # cores and cards: means .1875, .125, .25; the smallest
            ("tetris", 0),  # over all kinds: means .292, .167, .25; the largest
        ],
    )
    def test_an_idle_cluster(self, place: str, expected: int) -> None:
        assert chosen(self.CLUSTER, place, self.X) == expected

    def test_the_best_fit_counts_cards_that_are_not_asked_for_and_the_product_does_not(
        self,
    ) -> None:
        cluster = nodes({"cpu": 8}, {"cpu": 4, "gpu": 4}, {"cpu": 8, "gpu": 4})
        x = task("x", 2, 10)  # left over: 6/8, 2/8 + 4/4, 6/8 + 4/4; products: .125, .0625, .125
        assert chosen(cluster, "best-fit", x) == 0
        assert chosen(cluster, "dot-product", x) == 1


class TestCards:
    """n0 is idle, n1 runs somebody on one of 4 cards, n2 somebody on half of one of 4 cards."""

    CLUSTER = nodes(*[{"cpu": 16, "gpu": 4}] * 3)
    BEFORE = (on(1, 1), on(2, 0.5))

    @pytest.mark.parametrize(
        ("cards", "expected"),
        [
            (0.3, 2),  # on the used card
            (0.6, 1),  # no used card has room, so a free one of a used node; the tie goes to n1
            (1, 1),
            (4, 0),  # only the idle node is large enough
        ],
    )
    def test_packing(self, cards: float, expected: int) -> None:
        x = task("x", 1, 10, demand={"gpu": cards})
        assert chosen(self.CLUSTER, "gpu-packing", x, *self.BEFORE) == expected

    @pytest.mark.parametrize(
        ("cards", "expected"),
        [
            (0.3, 2),  # shares to shares: 75 + 25 x 0.5/4
            (1, 1),  # one card to one card: 75 + 25 x 1/4
            (2, 0),  # nobody asks for as many: the idle node has 25, the others 6 and 3
        ],
    )
    def test_clustering(self, cards: float, expected: int) -> None:
        x = task("x", 1, 10, demand={"gpu": cards})
        assert chosen(self.CLUSTER, "gpu-clustering", x, *self.BEFORE) == expected


def test_the_least_growth_of_fragmentation() -> None:
    """Nodes of 2 cards; n1 has half a card used, n2 a whole one. Half of the tasks ask for a card.

    In milli-cards, with F = 1/2 f(a card) + 1/2 f(half a card), and the score of `half`:

         free        F     with `half` there     growth   100 / (1 + e^(growth / 1000))
    n0   1000 1000   0     500 1000:  500 / 2      +250    43
    n1    500 1000   250     0 1000:  0            -250    56
    n2      0 1000   0       0  500:  500 / 2      +250    43

    `whole` then adds no fragmentation anywhere: 50 each, the tie goes to n0.
    """
    cluster = nodes(*[{"cpu": 16, "gpu": 2}] * 3)
    half = task("half", 1, LONG_S, demand={"gpu": 0.5})
    whole = task("whole", 1, 10, demand={"gpu": 1})
    found = run(cluster, [on(1, 0.5), on(2, 1), half, whole], "fcfs+fgd")
    assert node_of(found, "half") == 1
    assert node_of(found, "whole") == 0


class TestFastest:
    """Speeds for training 0.5, 2, 2, 2, and 0.8 for all else on n1; cores 4, 8, 6 and 6."""

    CLUSTER = Cluster(
        (
            Node("n0", {"cpu": 4}, speed_factors={"training": 0.5}),
            Node("n1", {"cpu": 8}, speed_factors={"training": 2, "": 0.8}),
            Node("n2", {"cpu": 6}, speed_factors={"training": 2}),
            Node("n3", {"cpu": 6}, speed_factors={"training": 2}),
        )
    )

    def test_the_speed_for_the_class_decides_then_what_is_left_over_then_the_index(self) -> None:
        tasks = [
            task("a", 3, 10, task_class="training"),  # n2 and n3 keep 3/8, n1 5/8
            task("b", 4, 10, task_class="training"),  # n3 keeps 2/8, n1 4/8; n2 has no room
            task("c", 2, 10),  # no class: n0, n2, n3 have 1 and keep 2/8, 1/8, 0
            task("d", 3, 10, task_class="training"),  # n2 keeps nothing, n1 5/8
            task("e", 2, 10, task_class="training"),  # only n1 has room beside the slow n0
        ]
        found = run(self.CLUSTER, tasks, "fcfs+fastest")
        assert [node_of(found, each.id) for each in tasks] == [2, 3, 3, 2, 1]

    def test_each_replica_of_a_gang_gets_the_fastest_that_is_left(self) -> None:
        gang = task("gang", 4, 10, task_class="training", num_replicas=5)
        found = run(self.CLUSTER, [gang], "fcfs+fastest")
        assert found["gang"].nodes == (2, 3, 1, 1, 0)
        assert found["gang"].end_us == 20_000_000  # as fast as its slowest node

    def test_where_all_are_equally_fast_it_is_the_best_fit(self) -> None:
        cluster = nodes({"cpu": 8}, {"cpu": 4}, {"cpu": 4})
        assert chosen(cluster, "fastest", task("x", 2, 10, task_class="training")) == 1


class TestRandom:
    CLUSTER = nodes({"cpu": 64}, {"cpu": 64}, {"cpu": 64})
    TASKS = tuple(task(f"t{index}", 1, 1, at=index) for index in range(300))

    def test_the_same_tasks_get_the_same_nodes(self) -> None:
        one, other = (run(self.CLUSTER, self.TASKS, "fcfs+random") for _ in range(2))
        assert one == other

    def test_they_are_spread_evenly(self) -> None:
        found = run(self.CLUSTER, self.TASKS, "fcfs+random")
        counts = [sum(record.nodes == (m,) for record in found.values()) for m in range(3)]
        # 100 each is expected; four standard deviations are 33.
        assert all(67 <= count <= 133 for count in counts)

    def test_it_does_not_follow_a_pattern(self) -> None:
        found = run(self.CLUSTER, self.TASKS, "fcfs+random")
        drawn = [found[each.id].nodes[0] for each in self.TASKS]
        pairs = set(pairwise(drawn))
        assert len(pairs) == 9
        assert max(starts_s(found).values()) == 299
