import copy
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.tasks import Task, TaskState
from tests.core.bad_values import NO_NUMBERS, NOT_FINITE


def task(**changes: Any) -> Task:
    given: dict[str, Any] = {"id": "t", "demand": {"cpu": 1}, "requested_time_s": 60.0, **changes}
    return Task(**given)


def test_defaults() -> None:
    plain = task()

    assert plain.submit_time_s == 0
    assert plain.run_time_s is None
    assert plain.num_replicas == 1
    assert plain.required_labels == frozenset()


def test_a_task_cannot_be_changed() -> None:
    plain = task()

    with pytest.raises(AttributeError):
        plain.urgency = 3.0  # type: ignore[misc]
    with pytest.raises(TypeError):
        plain.demand["cpu"] = 2  # type: ignore[index]


def test_a_task_keeps_its_own_copy_of_the_demand() -> None:
    demand = {"cpu": 1.0}
    plain = task(demand=demand)
    demand["cpu"] = 99.0

    assert plain.demand == {"cpu": 1.0}


def test_pickle_copy_and_replace() -> None:
    plain = task(required_labels={"eu"}, tenant="lab", run_time_s=3.0)

    assert pickle.loads(pickle.dumps(plain)) == plain
    assert copy.deepcopy(plain) == plain
    assert replace(plain, urgency=2.0).urgency == 2.0


def test_numpy_numbers_are_numbers() -> None:
    plain = task(
        demand={"cpu": np.int64(3), "gpu": np.float32(0.5)},
        requested_time_s=np.float32(60),
        num_replicas=np.int32(2),
        critical=np.bool_(True),
    )

    assert plain.demand == {"cpu": 3, "gpu": 0.5}


@pytest.mark.parametrize("names", [["a", "b"], ("a", "b", "a"), {"a", "b"}])
def test_collections_of_names_become_sets(names: Any) -> None:
    assert task(required_labels=names, device_models=names).required_labels == {"a", "b"}


@pytest.mark.parametrize("name", ["requested_time_s", "submit_time_s", "run_time_s"])
class TestTimes:
    @pytest.mark.parametrize("value", [x for x in NO_NUMBERS if x is not None])
    def test_no_number(self, name: str, value: object) -> None:
        with pytest.raises(ConfigError, match=f"task 't': {name} must be a finite number of sec"):
            task(**{name: value})

    @pytest.mark.parametrize("value", [*NOT_FINITE, -1, -1e-9, 1.1e11])
    def test_out_of_range(self, name: str, value: float) -> None:
        with pytest.raises(ConfigError, match=rf"{name} must be .* at most 1e\+11, got "):
            task(**{name: value})

    def test_the_longest_time(self, name: str) -> None:
        assert getattr(task(**{name: 1e11}), name) == 1e11


def test_times_of_zero() -> None:
    assert task(submit_time_s=0).submit_time_s == 0
    for name in ("requested_time_s", "run_time_s"):
        with pytest.raises(ConfigError, match=f"{name} must be a finite number of seconds > 0"):
            task(**{name: 0})


def test_only_the_run_time_may_be_unknown() -> None:
    assert task(run_time_s=None).run_time_s is None
    for name in ("requested_time_s", "submit_time_s"):
        with pytest.raises(ConfigError, match=f"{name} must be .* got None"):
            task(**{name: None})


@pytest.mark.parametrize("value", ["", None, 7, b"t", ["t"]])
def test_the_id_is_text(value: object) -> None:
    with pytest.raises(ConfigError, match="task: id must be a non-empty string, got"):
        task(id=value)


@pytest.mark.parametrize("value", [0, -1, 1.0, 2.5, 2**31, 2**40, *NO_NUMBERS, *NOT_FINITE])
def test_the_gang_size_is_a_count(value: object) -> None:
    with pytest.raises(ConfigError, match="num_replicas must be a whole number from 1 to 1000000"):
        task(num_replicas=value)


@pytest.mark.parametrize("value", [*NO_NUMBERS, *NOT_FINITE])
def test_the_urgency_is_a_finite_number(value: object) -> None:
    with pytest.raises(ConfigError, match="urgency must be a finite number, got"):
        task(urgency=value)


@pytest.mark.parametrize("name", ["critical", "exclusive_node"])
@pytest.mark.parametrize("value", [0, 1, "yes", "false", None, float("nan")])
def test_flags_are_booleans(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be true or false, got"):
        task(**{name: value})


@pytest.mark.parametrize("value", [None, 3, ["a"]])
def test_the_tenant_is_text(value: object) -> None:
    with pytest.raises(ConfigError, match="tenant must be a string, got"):
        task(tenant=value)


@pytest.mark.parametrize("name", ["required_labels", "device_models"])
class TestNames:
    def test_a_lone_string_is_not_taken_for_its_letters(self, name: str) -> None:
        with pytest.raises(ConfigError, match=rf"{name} must be a list .*'A100'; write \[A100\]"):
            task(**{name: "A100"})

    @pytest.mark.parametrize("value", [None, 3, "", {"zone": "eu"}, [3], [None], [""], b"eu"])
    def test_other_types(self, name: str, value: object) -> None:
        with pytest.raises(ConfigError, match=f"task 't': {name} must be a list of names, got"):
            task(**{name: value})


class TestDemand:
    @pytest.mark.parametrize("value", [None, "cpu", 4, ["cpu"], {3: 4}, {None: 1}])
    def test_it_maps_names_to_amounts(self, value: object) -> None:
        with pytest.raises(ConfigError, match="demand must map resource kinds to amounts, got"):
            task(demand=value)

    @pytest.mark.parametrize("amount", [*NO_NUMBERS, *NOT_FINITE])
    def test_no_number(self, amount: object) -> None:
        with pytest.raises(ConfigError, match="task 't': demand: gpu must be a finite amount >= 0"):
            task(demand={"cpu": 1, "gpu": amount})

    @pytest.mark.parametrize("amount", [-1, -0.5, -1e-300])
    def test_negative(self, amount: float) -> None:
        with pytest.raises(ConfigError, match="gpu must be a finite amount >= 0, got -"):
            task(demand={"cpu": 1, "gpu": amount})

    @pytest.mark.parametrize("demand", [{}, {"cpu": 0}, {"cpu": 0.0, "gpu": -0.0}])
    def test_it_asks_for_something(self, demand: dict[str, float]) -> None:
        with pytest.raises(ConfigError, match=r"demand must have an amount above 0, got \{"):
            task(demand=demand)


def test_long_values_are_cut_in_messages() -> None:
    with pytest.raises(ConfigError) as caught:
        task(requested_time_s="x" * 100_000)

    assert len(str(caught.value)) < 300


def test_four_states_are_final() -> None:
    final = {state for state in TaskState if state.is_final}

    ends = {TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED, TaskState.TIMED_OUT}
    assert final == ends
