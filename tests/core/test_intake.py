from typing import Any

import numpy as np
import pytest

from lepton_rl.core.errors import ConfigError, InfeasibleTaskError, LeptonError
from lepton_rl.core.intake import Intake, empty_tasks, node_table
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.tasks import Task

CLUSTER = Cluster(
    (
        Node("big", {"cpu": 64, "memory": 256, "gpu": 4}, "A100", frozenset({"eu", "trusted"})),
        Node("small", {"cpu": 8, "memory": 32, "gpu": 1}, "T4", frozenset({"us"})),
        Node("plain", {"cpu": 16, "memory": 64}, "", frozenset({"eu"})),
        Node("fpga", {"cpu": 16, "memory": 64, "fpga": 2}, "U250"),
    )
)


def task(**changes: Any) -> Task:
    given: dict[str, Any] = {"id": "t", "demand": {"cpu": 1}, "requested_time_s": 60.0, **changes}
    return Task(**given)


class TestNodeTable:
    def test_rows_are_in_the_clusters_order(self) -> None:
        nodes = node_table(CLUSTER)

        assert nodes.rows["capacity"].tolist() == [
            [64_000, 256 * 1024, 4_000, 0],
            [8_000, 32 * 1024, 1_000, 0],
            [16_000, 64 * 1024, 0, 0],
            [16_000, 64 * 1024, 0, 2_000],
        ]

    def test_each_device_kind_has_columns_for_its_widest_node(self) -> None:
        nodes = node_table(CLUSTER)

        assert nodes.card_start.tolist() == [0, 4, 6]
        assert (nodes.cards // 1000).tolist() == [
            [1, 1, 1, 1, 0, 0],
            [1, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 1, 1],
        ]

    def test_a_cluster_without_devices_has_no_card_columns(self) -> None:
        nodes = node_table(Cluster.pool(4))

        assert nodes.card_start.tolist() == [0]
        assert nodes.cards.shape == (1, 0)

    def test_labels_and_models_are_bits_in_sorted_order(self) -> None:
        nodes = node_table(CLUSTER)  # labels eu 1, trusted 2, us 4; models A100 1, T4 2, U250 4

        assert nodes.rows["labels"].tolist() == [1 + 2, 4, 1, 0]
        assert nodes.rows["model"].tolist() == [1, 2, 0, 4]

    def test_63_labels_fit_and_64_do_not(self) -> None:
        def cluster(count: int) -> Cluster:
            return Cluster(
                (Node("n", {"cpu": 1}, "", frozenset(f"l{i:02}" for i in range(count))),)
            )

        assert node_table(cluster(63)).rows["labels"].tolist() == [2**63 - 1]
        last = Intake(cluster(63)).table([task(required_labels={"l62"})])
        assert last["labels"].tolist() == [2**62]
        for use in (node_table, Intake):
            with pytest.raises(ConfigError, match="at most 63 different labels, got 64"):
                use(cluster(64))

    def test_64_device_models_do_not_fit(self) -> None:
        nodes = tuple(Node(f"n{i}", {"gpu": 1}, f"model {i}") for i in range(64))

        with pytest.raises(ConfigError, match="at most 63 different device models, got 64"):
            Intake(Cluster(nodes))


class TestRows:
    def test_every_column(self) -> None:
        table = Intake(CLUSTER).table(
            [
                task(),
                task(
                    id="gang",
                    demand={"cpu": 2.5, "memory": 8, "gpu": 2},
                    requested_time_s=1.5,
                    submit_time_s=7.25,
                    num_replicas=2,
                    urgency=-3.5,
                    critical=True,
                    required_labels={"eu", "trusted"},
                    device_models={"A100", "T4"},
                    exclusive_node=False,
                ),
            ]
        )

        assert table["submit_us"].tolist() == [0, 7_250_000]
        assert table["requested_us"].tolist() == [60_000_000, 1_500_000]
        assert table["demand"].tolist() == [[1000, 0, 0, 0], [2500, 8 * 1024, 2000, 0]]
        assert table["replicas"].tolist() == [1, 2]
        assert table["urgency"].tolist() == [0.0, -3.5]
        assert table["critical"].tolist() == [False, True]
        assert table["labels"].tolist() == [0, 1 + 2]
        assert table["models"].tolist() == [0, 1 + 2]
        assert table["exclusive"].tolist() == [False, False]

    @pytest.mark.parametrize(
        ("demand", "replicas", "size"),
        [
            ({"cpu": 3}, 1, 3.0),
            ({"cpu": 3}, 4, 12.0),
            ({"cpu": 8, "gpu": 2}, 2, 4.0),
            ({"cpu": 8, "gpu": 0.25}, 1, 0.25),
            ({"cpu": 0.5, "memory": 9}, 1, 0.5),
        ],
    )
    def test_the_size_is_cards_if_there_are_any_else_cores(
        self, demand: dict[str, float], replicas: int, size: float
    ) -> None:
        table = Intake(CLUSTER).table([task(demand=demand, num_replicas=replicas)])

        assert table["size"].tolist() == [size]

    def test_times_below_a_microsecond_count_as_one(self) -> None:
        assert Intake(CLUSTER).table([task(requested_time_s=1e-9)])["requested_us"].tolist() == [1]

    def test_the_longest_times_are_exact(self) -> None:
        table = Intake(CLUSTER).table([task(requested_time_s=1e11, submit_time_s=1e11)])

        assert table["submit_us"].tolist() == table["requested_us"].tolist() == [10**17]

    def test_no_tasks(self) -> None:
        assert Intake(CLUSTER).table([])["demand"].shape == (0, 4)

    def test_an_empty_table_is_valid(self) -> None:
        table = empty_tasks(3, 4)

        assert table["demand"].shape == (3, 4)
        assert np.all(table["requested_us"] == 1)
        assert np.all(table["replicas"] == 1)

    def test_a_kind_that_no_node_has_may_be_asked_for_zero_times(self) -> None:
        table = Intake(Cluster.pool(4)).table([task(demand={"cpu": 1, "gpu": 0})])

        assert table["demand"].tolist() == [[1000, 0, 0, 0]]

    def test_models_that_no_node_has_are_ignored_beside_one_that_exists(self) -> None:
        table = Intake(CLUSTER).table([task(demand={"gpu": 1}, device_models={"H100", "T4"})])

        assert table["models"].tolist() == [2]


class TestInfeasible:
    @pytest.mark.parametrize(
        "changes",
        [
            {"demand": {"cpu": 65}},
            {"demand": {"cpu": 64.001}},
            {"demand": {"memory": 257}},
            {"demand": {"gpu": 5}},
            {"demand": {"gpu": 1, "fpga": 1}},
            {"demand": {"cpu": 64}, "num_replicas": 2},
            {"demand": {"gpu": 1}, "num_replicas": 6},
            {"demand": {"gpu": 0.6}, "num_replicas": 6},
            {"demand": {"gpu": 2}, "device_models": {"T4"}},
            {"demand": {"gpu": 1}, "device_models": {"U250"}},
            {"demand": {"cpu": 1}, "required_labels": {"us", "eu"}},
            {"demand": {"cpu": 9}, "required_labels": {"us"}},
            {"exclusive_node": True, "num_replicas": 5},
            {"num_replicas": 1_000_000},
            {"demand": {"cpu": 2**43}},
        ],
    )
    def test_larger_than_the_cluster(self, changes: dict[str, Any]) -> None:
        with pytest.raises(InfeasibleTaskError, match="task 't' can never start: it asks for"):
            Intake(CLUSTER).table([task(**changes)])

    @pytest.mark.parametrize(
        "changes",
        [
            {"demand": {"cpu": 64, "memory": 256, "gpu": 4}},
            {"demand": {"cpu": 64}, "required_labels": {"eu", "trusted"}},
            {"demand": {"gpu": 1}, "num_replicas": 5},
            {"demand": {"gpu": 0.5}, "num_replicas": 10},
            {"demand": {"cpu": 8}, "num_replicas": 8 + 1 + 2 + 2},
            {"exclusive_node": True, "num_replicas": 4},
        ],
    )
    def test_exactly_as_large_as_the_cluster(self, changes: dict[str, Any]) -> None:
        Intake(CLUSTER).table([task(**changes)])

    def test_the_message_says_what_was_asked_what_there_is_and_what_to_do(self) -> None:
        with pytest.raises(InfeasibleTaskError) as caught:
            Intake(CLUSTER).table([task(demand={"cpu": 100, "gpu": 0.5}, num_replicas=2)])

        message = str(caught.value)
        assert "2 x (cpu 100, memory 0, gpu 0.5, fpga 0)" in message
        assert "4 nodes offer at most (cpu 64, memory 256, gpu 4, fpga 2) each" in message
        assert "lower its demand" in message

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"required_labels": {"truste"}},
                "no node has the label 'truste'; did you mean 'trust",
            ),
            ({"required_labels": {"eu", "mars"}}, "no node has the label 'mars'; known: eu, tr"),
            ({"device_models": {"A10"}}, "no node has the device model 'A10'; did you mean 'A100'"),
            ({"device_models": {"x"}}, "no node has the device model 'x'; known: A100, T4, U250"),
            ({"demand": {"gpus": 1}}, "demand: no node has the kind 'gpus'; did you mean 'gpu'?"),
            ({"demand": {"cpu": 1, "disk": 5}}, "no node has the kind 'disk'; known: cpu, fpga"),
        ],
    )
    def test_names_that_no_node_has(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(InfeasibleTaskError) as caught:
            Intake(CLUSTER).table([task(**changes)])

        assert str(caught.value).startswith("task 't': ")
        assert message in str(caught.value)

    def test_a_cluster_without_labels_says_so(self) -> None:
        with pytest.raises(
            InfeasibleTaskError, match=r"no node has the label 'eu'; known: \(none\)"
        ):
            Intake(Cluster.pool(4)).table([task(required_labels={"eu"})])

    def test_a_kind_that_only_other_clusters_have(self) -> None:
        with pytest.raises(
            InfeasibleTaskError, match="no node has the kind 'gpu'; the cluster has cpu"
        ):
            Intake(Cluster.pool(4)).table([task(demand={"gpu": 1})])

    @pytest.mark.parametrize("cards", [1.5, 2.001])
    def test_a_share_above_one_card(self, cards: float) -> None:
        with pytest.raises(
            ConfigError, match="task 't': demand: gpu must be a whole number of cards"
        ):
            Intake(CLUSTER).table([task(demand={"gpu": cards})])

    def test_an_amount_below_the_unit(self) -> None:
        with pytest.raises(ConfigError, match="task 't': demand: cpu of 1e-09 is below the unit"):
            Intake(CLUSTER).table([task(demand={"cpu": 1e-9})])

    def test_all_are_lepton_errors(self) -> None:
        assert issubclass(InfeasibleTaskError, LeptonError)
        assert issubclass(ConfigError, LeptonError)
