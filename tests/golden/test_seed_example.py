"""The worked example of the seed document ("Lepton rules"), as its formulas compute it.

The source's text contains three slips; each is named where the formula is evaluated. Where the
source prints only a result, the inputs are chosen to give it, and a comment says so.
"""

import numpy as np
import pytest

from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.rules.lepton import least_loaded, load, node_load, priority, reserve_amount
from tests.builders import idle_pool

ALLOCATED = np.array([20, 40, 30], np.int64)  # C_i of R1, R2, R3
TOTAL = np.array([50, 100, 80], np.int64)  # T_i


def test_loads() -> None:
    loads = [load(float(c), float(t)) for c, t in zip(ALLOCATED, TOTAL, strict=True)]

    assert loads == [0.4, 0.4, 0.375]


def test_slip_1_the_least_loaded_resource_is_r3() -> None:
    # The text chooses R1 with 0.4, but R3 has 30 / 80 = 0.375.
    assert least_loaded(ALLOCATED, TOTAL) == 2


def test_r1_and_r2_tie_and_the_lower_index_wins() -> None:
    assert least_loaded(ALLOCATED[:2], TOTAL[:2]) == 0


@pytest.mark.parametrize("requested", [10.0, 30.0])  # any request up to 30 gives the printed 30
def test_reservation_on_r1(requested: float) -> None:
    assert reserve_amount(requested, 50.0, 20.0) == 30.0


@pytest.mark.parametrize("requested", [20.0, 60.0])  # any request up to 60 gives the printed 60
def test_reservation_on_r2(requested: float) -> None:
    assert reserve_amount(requested, 100.0, 40.0) == 60.0


def test_slip_2_the_reservation_on_r3_is_50() -> None:
    # The text says 55, but max(R_req, R_max - R_alloc) = max(15, 80 - 30) = 50.
    assert reserve_amount(15.0, 80.0, 30.0) == 50.0


def test_a_reservation_is_never_below_the_request() -> None:
    assert reserve_amount(70.0, 80.0, 30.0) == 70.0


@pytest.mark.parametrize(
    ("time_need", "urgency", "expected"),
    [(10.0, 2.0, 6.0), (5.0, 3.0, 4.0)],  # inputs chosen for the printed 6 and 4
)
def test_priorities(time_need: float, urgency: float, expected: float) -> None:
    assert priority(time_need, urgency, 0.5, 0.5, 0.0, 0.0) == expected


def test_slip_3_the_third_priority_is_8() -> None:
    # The text says 9, but 0.5 * 15 + 0.5 * 1 = 8.
    assert priority(15.0, 1.0, 0.5, 0.5, 0.0, 0.0) == 8.0


def test_aging_adds_gamma_times_the_wait() -> None:
    assert priority(15.0, 1.0, 0.5, 0.5, 40.0, 0.25) == 8.0 + 0.25 * 40.0


def test_a_resource_that_has_nothing_counts_as_full() -> None:
    assert load(0.0, 0.0) == 1.0


def test_no_resources_no_choice() -> None:
    nothing = np.zeros(0, np.int64)

    assert least_loaded(nothing, nothing) == -1


def test_with_one_kind_a_nodes_load_is_exactly_c_over_t() -> None:
    nodes, pool = idle_pool(Cluster((Node("r3", {"cpu": 80}),)))
    pool.rows["free"][0, 0, 0] -= 30_000

    assert node_load(nodes, pool, 0, 0) == 30 / 80


def test_with_several_kinds_a_nodes_load_is_its_dominant_share() -> None:
    # r3 has no GPU, r4 has: a kind that a node lacks does not count as load there.
    cluster = Cluster(
        (Node("r3", {"cpu": 80, "memory": 100}), Node("r4", {"cpu": 80, "memory": 100, "gpu": 4}))
    )
    nodes, pool = idle_pool(cluster)
    pool.rows["free"][0, :, 0] -= 20_000  # 20 / 80 cores
    pool.rows["free"][0, :, 1] -= 30 * 1024  # 30 / 100 GiB
    pool.rows["free"][0, 1, 2] -= 2_000  # 2 / 4 cards

    assert node_load(nodes, pool, 0, 0) == 0.3
    assert node_load(nodes, pool, 0, 1) == 0.5
