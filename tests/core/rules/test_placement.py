"""Placement: where a replica goes, what it holds there, and gangs that get all or nothing."""

from typing import Any, ClassVar

import pytest

from lepton_rl.core.intake import Intake
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.rules.placement import Place
from lepton_rl.core.tasks import Task
from tests.builders import Ledger, same

GANG = 4


class Shop:
    """A cluster, tasks known by their names, and one pool to take from."""

    def __init__(self, nodes: list[Node], **tasks: dict[str, Any]) -> None:
        intake = Intake(Cluster(tuple(nodes)))
        self.row = {name: index for index, name in enumerate(tasks)}
        table = intake.table(
            [Task(name, **{"requested_time_s": 60.0, **given}) for name, given in tasks.items()]
        )
        self.ledger = Ledger(intake.nodes, table, GANG)
        self.cards_of_gang: list[list[int]] = []
        self.now_us = 0

    def capacity(self, name: str) -> list[int]:
        ledger = self.ledger
        return [ledger.capacity(self.row[name], node) for node in range(ledger.num_nodes)]

    def gang_capacity(self, name: str) -> int:
        return self.ledger.gang_capacity(self.row[name])

    def take(self, name: str, node: int = 0) -> list[int]:
        """Take one replica; the card columns it got."""
        assert self.capacity(name)[node] > 0
        return columns(self.ledger.take(self.row[name], node))

    def give_back(self, name: str, cards: list[int], node: int = 0) -> None:
        self.ledger.give_back(self.row[name], ([node], [sum(1 << column for column in cards)]))

    def retake(self, name: str, cards: list[int], node: int = 0) -> None:
        self.ledger.retake(self.row[name], ([node], [sum(1 << column for column in cards)]))

    def place(self, name: str, place: Place = Place.FIRST_FIT) -> list[int] | None:
        """Nodes the gang got, None if it did not fit."""
        holding = self.ledger.place(self.row[name], place, self.now_us)
        if holding is None:
            return None
        self.cards_of_gang = [columns(bits) for bits in holding[1]]
        return holding[0]

    def hold(self, node: int, name: str, from_s: float = 0.0) -> None:
        self.ledger.hold(node, self.row[name], round(from_s * 1e6))

    def cards(self, node: int = 0) -> list[int]:
        return self.ledger.card_free[node].tolist()

    def free(self, node: int = 0) -> list[int]:
        return self.ledger.free[node].tolist()

    def is_empty(self) -> bool:
        return self.ledger.is_empty()


def columns(card_set: int) -> list[int]:
    return [column for column in range(63) if card_set >> column & 1]


def cpu_nodes(*cores: float) -> list[Node]:
    return [Node(f"n{index}", {"cpu": each}) for index, each in enumerate(cores)]


class TestDivisible:
    def test_capacity_is_the_scarcest_kind(self) -> None:
        shop = Shop([Node("n", {"cpu": 8, "memory": 10})], a={"demand": {"cpu": 1, "memory": 3}})

        assert shop.capacity("a") == [3]

    def test_taking_and_giving_back(self) -> None:
        shop = Shop([Node("n", {"cpu": 8, "memory": 10})], a={"demand": {"cpu": 1.5}})

        assert shop.take("a") == []
        assert shop.free() == [6500, 10 * 1024]
        assert shop.ledger.replicas_on.tolist() == [1]
        shop.give_back("a", [])
        assert shop.is_empty()

    def test_a_task_can_fill_a_node_exactly(self) -> None:
        shop = Shop(cpu_nodes(1), third={"demand": {"cpu": 0.333}}, rest={"demand": {"cpu": 0.001}})
        for _ in range(3):
            shop.take("third")

        assert shop.capacity("third") == [0]
        assert shop.capacity("rest") == [1]


class TestCards:
    NODES = (Node("n", {"cpu": 64, "gpu": 4}),)

    def test_a_share_goes_to_the_fullest_card_that_holds_it(self) -> None:
        shop = Shop(
            list(self.NODES),
            half={"demand": {"gpu": 0.5}},
            most={"demand": {"gpu": 0.7}},
            third={"demand": {"gpu": 0.3}},
            tenth={"demand": {"gpu": 0.1}},
        )

        assert shop.take("half") == [0]
        assert shop.take("most") == [1]  # does not fit beside the half
        assert shop.take("third") == [1]  # 0.3 free there, 0.5 on card 0
        assert shop.take("third") == [0]
        assert shop.take("tenth") == [0]  # 0.2 free there, nothing on card 1
        assert shop.cards() == [100, 0, 1000, 1000]

    def test_equally_full_cards_go_by_the_lowest_index(self) -> None:
        shop = Shop(list(self.NODES), most={"demand": {"gpu": 0.7}}, third={"demand": {"gpu": 0.3}})
        for _ in range(3):
            shop.take("most")

        assert shop.take("third") == [0]

    def test_whole_cards_are_the_lowest_free_ones(self) -> None:
        shop = Shop(list(self.NODES), share={"demand": {"gpu": 0.2}}, two={"demand": {"gpu": 2}})
        shop.take("share")

        assert shop.take("two") == [1, 2]
        assert shop.cards() == [800, 0, 0, 1000]
        assert shop.capacity("two") == [0]

    def test_whole_cards_skip_what_is_in_use(self) -> None:
        shop = Shop(list(self.NODES), one={"demand": {"gpu": 1}}, two={"demand": {"gpu": 2}})
        assert [shop.take("one") for _ in range(3)] == [[0], [1], [2]]
        shop.give_back("one", [1])

        assert shop.take("two") == [1, 3]

    def test_a_started_card_is_no_whole_card(self) -> None:
        shop = Shop(
            [Node("n", {"cpu": 64, "gpu": 1})],
            crumb={"demand": {"gpu": 0.001}},
            one={"demand": {"gpu": 1}},
            share={"demand": {"gpu": 0.999}},
        )
        shop.take("crumb")

        assert shop.capacity("one") == [0]
        assert shop.capacity("share") == [1]

    def test_a_share_never_spans_cards(self) -> None:
        shop = Shop(list(self.NODES), most={"demand": {"gpu": 0.6}}, share={"demand": {"gpu": 0.5}})
        for _ in range(4):
            shop.take("most")

        assert shop.free()[1] == 1600  # milli-cards, 400 on each card
        assert shop.capacity("share") == [0]

    def test_capacity_counts_shares_card_by_card(self) -> None:
        shop = Shop(list(self.NODES), share={"demand": {"gpu": 0.3}})

        assert shop.capacity("share") == [4 * 3]
        shop.take("share")
        assert shop.capacity("share") == [3 * 3 + 2]

    def test_device_kinds_have_cards_of_their_own(self) -> None:
        shop = Shop(
            [Node("n", {"cpu": 8, "gpu": 2, "fpga": 2})],
            both={"demand": {"gpu": 0.5, "fpga": 1}},
            gpus={"demand": {"gpu": 2}},
        )

        assert shop.take("both") == [0, 2]  # columns: gpu 0 and 1, fpga 2 and 3
        assert shop.cards() == [500, 1000, 0, 1000]
        assert shop.free() == [8000, 1500, 1000]
        assert shop.capacity("gpus") == [0]

    def test_card_columns_that_a_node_lacks_are_never_used(self) -> None:
        shop = Shop(
            [Node("one", {"cpu": 8, "gpu": 1}), Node("three", {"cpu": 8, "gpu": 3})],
            card={"demand": {"gpu": 1}},
            crumb={"demand": {"gpu": 0.001}},
        )

        assert shop.capacity("card") == [1, 3]
        assert shop.capacity("crumb") == [1000, 3000]

    def test_the_last_of_63_cards(self) -> None:
        shop = Shop(
            [Node("n", {"gpu": 60, "fpga": 3})],
            all={"demand": {"fpga": 3}},
            one={"demand": {"fpga": 1}},
        )

        cards = shop.take("all")
        assert cards == [60, 61, 62]
        assert shop.capacity("one") == [0]
        shop.give_back("all", cards)
        assert shop.is_empty()

    def test_giving_back_and_retaking_the_same_cards(self) -> None:
        shop = Shop(
            list(self.NODES), one={"demand": {"cpu": 3, "gpu": 1}}, half={"demand": {"gpu": 0.5}}
        )
        shop.take("half")
        cards = shop.take("one")
        held = shop.ledger.snapshot()

        shop.give_back("one", cards)
        shop.give_back("half", [0])
        assert shop.is_empty()
        shop.retake("half", [0])
        shop.retake("one", cards)

        assert same(shop.ledger.snapshot(), held)


class TestExclusive:
    TASKS: ClassVar[dict[str, Any]] = {
        "alone": {"demand": {"cpu": 1, "gpu": 1}, "exclusive_node": True},
        "other": {"demand": {"cpu": 1}},
        "share": {"demand": {"gpu": 0.1}},
    }
    NODES = (Node("n", {"cpu": 8, "gpu": 2}),)

    def test_it_holds_all_the_node_has(self) -> None:
        shop = Shop(list(self.NODES), **self.TASKS)
        cards = shop.take("alone")

        assert shop.free() == [0, 0]
        assert shop.cards() == [0, 0]
        assert [shop.capacity(name) for name in self.TASKS] == [[0], [0], [0]]
        shop.give_back("alone", cards)
        assert shop.is_empty()

    @pytest.mark.parametrize("name", ["other", "share"])
    def test_it_needs_an_idle_node(self, name: str) -> None:
        shop = Shop(list(self.NODES), **self.TASKS)
        assert shop.capacity("alone") == [1]
        cards = shop.take(name)

        assert shop.capacity("alone") == [0]
        shop.give_back(name, cards)
        assert shop.capacity("alone") == [1]

    def test_a_gang_of_them_takes_a_node_each(self) -> None:
        shop = Shop(
            cpu_nodes(4, 4, 4, 4),
            gang={"demand": {"cpu": 1}, "exclusive_node": True, "num_replicas": 3},
        )

        assert shop.place("gang") == [0, 1, 2]


class TestLabelsAndModels:
    NODES = (
        Node("none", {"cpu": 8, "gpu": 1}, ""),
        Node("eu", {"cpu": 8, "gpu": 1}, "A100", frozenset({"eu"})),
        Node("both", {"cpu": 8, "gpu": 1}, "T4", frozenset({"eu", "trusted"})),
        Node("trusted", {"cpu": 8}, "", frozenset({"trusted"})),
    )

    @pytest.mark.parametrize(
        ("labels", "expected"),
        [([], [8, 8, 8, 8]), (["eu"], [0, 8, 8, 0]), (["eu", "trusted"], [0, 0, 8, 0])],
    )
    def test_a_node_carries_all_the_labels(self, labels: list[str], expected: list[int]) -> None:
        shop = Shop(list(self.NODES), a={"demand": {"cpu": 1}, "required_labels": labels})

        assert shop.capacity("a") == expected

    @pytest.mark.parametrize(
        ("models", "expected"),
        [([], [1, 1, 1, 0]), (["T4"], [0, 0, 1, 0]), (["T4", "A100"], [0, 1, 1, 0])],
    )
    def test_any_of_the_models_will_do(self, models: list[str], expected: list[int]) -> None:
        shop = Shop(list(self.NODES), a={"demand": {"gpu": 1}, "device_models": models})

        assert shop.capacity("a") == expected

    def test_placement_keeps_to_them(self) -> None:
        shop = Shop(list(self.NODES), a={"demand": {"cpu": 1}, "required_labels": ["trusted"]})

        assert shop.place("a") == [2]


class TestGangs:
    def test_all_replicas_are_placed(self) -> None:
        shop = Shop(cpu_nodes(4, 2, 8), gang={"demand": {"cpu": 2}, "num_replicas": 4})

        assert shop.gang_capacity("gang") == 4
        assert shop.place("gang") == [0, 0, 1, 2]
        assert shop.ledger.free[:, 0].tolist() == [0, 0, 6000]
        assert shop.ledger.replicas_on.tolist() == [2, 1, 1]

    def test_capacity_is_counted_up_to_the_gang(self) -> None:
        shop = Shop(cpu_nodes(100, 100), pair={"demand": {"cpu": 1}, "num_replicas": 2})

        assert shop.gang_capacity("pair") == 2

    @pytest.mark.parametrize("place", Place)
    def test_nothing_is_taken_when_one_replica_does_not_fit(self, place: Place) -> None:
        shop = Shop(
            [Node("a", {"cpu": 8, "gpu": 2}), Node("b", {"cpu": 8, "gpu": 2})],
            gang={"demand": {"cpu": 2, "gpu": 1}, "num_replicas": 4},
            one={"demand": {"gpu": 0.5}},
        )
        shop.take("one", node=1)
        before = shop.ledger.snapshot()

        assert shop.gang_capacity("gang") == 3
        assert shop.place("gang", place) is None
        assert same(shop.ledger.snapshot(), before)

    def test_each_replica_has_cards_of_its_own(self) -> None:
        shop = Shop([Node("a", {"gpu": 4})], gang={"demand": {"gpu": 1}, "num_replicas": 3})

        assert shop.place("gang") == [0, 0, 0]
        assert shop.cards_of_gang == [[0], [1], [2]]


class TestPlaces:
    """Loads before: n0 4/8, n1 6/8, n2 2/8, n3 6/8; each replica takes 1 core."""

    @pytest.fixture
    def shop(self) -> Shop:
        shop = Shop(
            cpu_nodes(8, 8, 8, 8),
            one={"demand": {"cpu": 1}},
            two={"demand": {"cpu": 2}},
            three={"demand": {"cpu": 3}},
            gang={"demand": {"cpu": 1}, "num_replicas": 4},
        )
        for node, times in enumerate((2, 3, 1, 3)):
            for _ in range(times):
                shop.take("two", node)
        return shop

    @pytest.mark.parametrize(
        ("place", "expected"), [(Place.FIRST_FIT, 0), (Place.BEST_FIT, 1), (Place.LEAST_LOADED, 2)]
    )
    def test_one_replica(self, shop: Shop, place: Place, expected: int) -> None:
        assert shop.place("one", place) == [expected]

    def test_best_fit_passes_over_nodes_that_are_too_full(self, shop: Shop) -> None:
        assert shop.place("three", Place.BEST_FIT) == [0]

    @pytest.mark.parametrize(
        ("place", "expected"),
        [
            (Place.FIRST_FIT, [0, 0, 0, 0]),
            (Place.BEST_FIT, [1, 1, 3, 3]),  # fills n1, then n3
            (Place.LEAST_LOADED, [2, 2, 0, 2]),  # loads 2, 3, then the tie of 4 goes to n0
        ],
    )
    def test_replicas_see_the_loads_that_earlier_ones_left(
        self, shop: Shop, place: Place, expected: list[int]
    ) -> None:
        assert shop.place("gang", place) == expected

    @pytest.mark.parametrize("place", Place)
    def test_ties_go_to_the_lowest_index(self, place: Place) -> None:
        assert Shop(cpu_nodes(8, 8, 8), one={"demand": {"cpu": 1}}).place("one", place) == [0]

    def test_load_is_the_dominant_share(self) -> None:
        # On "a" 6/8 of the memory is in use, on "b" 4/8 of the cores.
        shop = Shop(
            [Node("a", {"cpu": 8, "memory": 8}), Node("b", {"cpu": 8, "memory": 8})],
            memory={"demand": {"memory": 6}},
            cores={"demand": {"cpu": 4}},
            one={"demand": {"cpu": 1}},
        )
        shop.take("memory", 0)
        shop.take("cores", 1)

        assert shop.place("one", Place.LEAST_LOADED) == [1]

    def test_best_fit_leaves_the_fewest_cores_and_cards_of_the_largest_node_over(self) -> None:
        # "a" keeps 1/8 of the largest node's cores, "b" 4/8, "c" 3/8 and a card of two.
        nodes = [
            Node("b", {"cpu": 8}),
            Node("c", {"cpu": 4, "gpu": 1}, "T4"),
            Node("a", {"cpu": 2, "memory": 64}),
            Node("wide", {"cpu": 1, "gpu": 2}, "T4"),
        ]
        shop = Shop(nodes, half={"demand": {"cpu": 3}}, one={"demand": {"cpu": 1}})
        shop.take("half", 0)

        assert shop.place("one", Place.BEST_FIT) == [2]


class TestHeldNodes:
    def test_a_node_held_for_another_task_is_left_alone(self) -> None:
        shop = Shop(cpu_nodes(8, 8), a={"demand": {"cpu": 1}}, b={"demand": {"cpu": 1}})
        shop.hold(0, "b")

        assert shop.place("a") == [1]
        assert shop.place("b") == [0]

    @pytest.mark.parametrize("place", Place)
    def test_a_task_waits_rather_than_use_a_held_node(self, place: Place) -> None:
        shop = Shop(
            cpu_nodes(8, 8),
            gang={"demand": {"cpu": 8}, "num_replicas": 2},
            holder={"demand": {"cpu": 1}},
        )
        shop.hold(1, "holder")

        assert shop.place("gang", place) is None
        shop.hold(1, "gang")
        assert shop.place("gang", place) == [0, 1]

    @pytest.mark.parametrize(("held_from_s", "expected"), [(70, [0]), (69.999999, [1]), (0, [1])])
    def test_a_task_that_ends_before_the_reservation_begins_may_use_the_node(
        self, held_from_s: float, expected: list[int]
    ) -> None:
        tasks = {"a": {"demand": {"cpu": 1}, "requested_time_s": 60}, "b": {"demand": {"cpu": 1}}}
        shop = Shop(cpu_nodes(8, 8), **tasks)
        shop.now_us = 10_000_000  # `a` would end at 70 s
        shop.hold(0, "b", from_s=held_from_s)

        assert shop.place("a") == expected

    def test_holding_is_no_question_of_capacity(self) -> None:
        shop = Shop(cpu_nodes(8), a={"demand": {"cpu": 2}}, b={"demand": {"cpu": 1}})
        shop.hold(0, "b")

        assert shop.capacity("a") == [4]
