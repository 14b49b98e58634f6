"""GRES, lists of hosts and numbers, constraints, priorities: Slurm's small languages."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_rl.core.errors import ExecutorError
from lepton_rl.integrations.slurm.admission import admissible_nodes, understands
from lepton_rl.integrations.slurm.gres import Gres, parse_gres
from lepton_rl.integrations.slurm.hostlist import expand_hosts, expand_numbers
from lepton_rl.integrations.slurm.priorities import changed_priorities
from tests.integrations.slurm.builders import NODES, job

BASE = 1_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gpu:a100:4(S:0-1),fpga:u250:2", [("gpu", "a100", 4), ("fpga", "u250", 2)]),
        ("gres:gpu:1", [("gpu", "", 1)]),
        ("gres/gpu:a100=2", [("gpu", "a100", 2)]),
        ("gres/gpu=2", [("gpu", "", 2)]),
        ("gpu", [("gpu", "", 1)]),
        ("gpu:a100", [("gpu", "a100", 1)]),
        ("gpu:a100:0(IDX:N/A)", []),
        ("gpu:a100:2(IDX:0,3)", [("gpu", "a100", 2)]),
        ("bandwidth:2K", [("bandwidth", "", 2048)]),
        ("", []),
        ("(null)", []),
        ("N/A", []),
    ],
)
def test_gres(text: str, expected: list[tuple[str, str, int]]) -> None:
    assert parse_gres(text) == tuple(Gres(*each) for each in expected)


@pytest.mark.parametrize("text", ["a:b:c:d", ":1", ","])
def test_gres_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ExecutorError, match="expected name"):
        parse_gres(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gpu[1-2,5],cpu1", ["gpu1", "gpu2", "gpu5", "cpu1"]),
        ("n[008-010]", ["n008", "n009", "n010"]),
        ("r[1-2]n[1-2]", ["r1n1", "r1n2", "r2n1", "r2n2"]),
        ("", []),
        ("(null)", []),
    ],
)
def test_hosts(text: str, expected: list[str]) -> None:
    assert list(expand_hosts(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("1,3-5", [1, 3, 4, 5]), ("0-8:4", [0, 4, 8]), ("1-3,...", [1, 2, 3])]
)
def test_numbers(text: str, expected: list[int]) -> None:
    assert list(expand_numbers(text)) == expected


@pytest.mark.parametrize("text", ["a", "1-", "0-999999999"])
def test_numbers_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ExecutorError, match="expected numbers and ranges"):
        expand_numbers(text)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"cpu1", "gpu1", "gpu2"}),
        ({"features": "gpu"}, {"gpu1", "gpu2"}),
        ({"features": "gpu|cpu"}, {"cpu1", "gpu1", "gpu2"}),
        ({"features": "gpu&cpu"}, set()),
        ({"required_nodes": ("gpu2",)}, {"gpu2"}),
        ({"excluded_nodes": ("gpu2", "cpu1")}, {"gpu1"}),
        ({"partitions": ("debug",)}, set()),
        ({"partitions": ("debug", "all")}, {"cpu1", "gpu1", "gpu2"}),
        ({"gres_per_node": (Gres("gpu", "", 1),)}, {"gpu1", "gpu2"}),
        ({"gres_per_job": (Gres("gpu", "h100", 1),)}, set()),
    ],
)
def test_where_a_job_may_run(fields: dict[str, object], expected: set[str]) -> None:
    assert admissible_nodes(job(1, **fields), NODES) == expected


def test_constraints_that_only_slurm_can_judge() -> None:
    assert understands("a&b|c_1.2-x")
    for features in ("[a|b]", "a*2", "(a|b)&c", "!a"):
        assert not understands(features)


@given(st.lists(st.integers(0, BASE + 20), max_size=30))
def test_new_priorities_fall_strictly_and_lie_above_the_base(present: list[int]) -> None:
    order = [(str(i), value) for i, value in enumerate(present)]

    changed = changed_priorities(order, BASE)

    after = [changed.get(name, value) for name, value in order]
    assert all(upper > lower for upper, lower in pairwise(after))
    assert all(BASE < value <= 4_000_000_000 for value in after)
    assert changed_priorities([(n, changed.get(n, v)) for n, v in order], BASE) == {}


def test_only_the_job_that_moved_changes() -> None:
    settled = {f"j{i}": BASE + 1024 * (10 - i) for i in range(10)}
    order = ["j7", *[name for name in settled if name != "j7"]]

    changed = changed_priorities([(name, settled[name]) for name in order], BASE)

    assert changed == {"j7": BASE + 1024 * 11}


def test_a_new_job_goes_in_between() -> None:
    order = [("a", BASE + 4096), ("new", 1), ("b", BASE + 2048)]

    assert changed_priorities(order, BASE) == {"new": BASE + 3072}


def test_all_change_where_there_is_no_room() -> None:
    order = [("a", BASE + 11), ("new", 1), ("b", BASE + 10)]

    assert list(changed_priorities(order, BASE)) == ["a", "new", "b"]


def test_priorities_of_somebody_else_at_the_limit_are_replaced() -> None:
    assert changed_priorities([("a", 1), ("b", 4_000_000_000)], BASE) == {
        "a": BASE + 2048,
        "b": BASE + 1024,
    }
