"""The version layer, on files that tests/slurm/record.py got from 22.05.8 and from 24.11.5."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from lepton_rl.core.errors import ExecutorError
from lepton_rl.integrations.slurm.gres import Gres
from lepton_rl.integrations.slurm.parse import dialect_of
from lepton_rl.integrations.slurm.records import Share, SlurmJob, SlurmNode

DATA = Path(__file__).parent / "data"
FILES = {
    "slurm-wlm 22.05.8": ("squeue-22.05.json", "nodes-22.05.json"),
    "slurm 24.11.5": ("squeue-24.11.json", "nodes-24.11.json"),
}


def jobs_of(version: str) -> dict[str, SlurmJob]:
    text = (DATA / FILES[version][0]).read_text()
    return {job.name: job for job in dialect_of(version).jobs(text)}


def nodes_of(version: str) -> dict[str, SlurmNode]:
    text = (DATA / FILES[version][1]).read_text()
    return {node.name: node for node in dialect_of(version).nodes(text)}


@pytest.mark.parametrize("version", FILES)
def test_a_running_job(version: str) -> None:
    job = jobs_of(version)["1"]

    assert job.state == "RUNNING"
    assert job.holds_nodes
    assert job.shares == (Share("gpu1", 2.0, 100, (Gres("gpu", "a100", 1),)),)
    assert (job.limit_s, job.memory_per_node_mib) == (300.0, 100)
    assert job.start_s > job.submit_s > 1.7e9


@pytest.mark.parametrize("version", FILES)
def test_a_job_on_two_nodes(version: str) -> None:
    job = jobs_of(version)["2"]

    assert (job.node_count, job.cpus, job.memory_per_cpu_mib) == (2, 8, 50)
    assert [(share.node, share.cpus, share.memory_mib) for share in job.shares] == [
        ("cpu1", 4.0, 200),
        ("fpga1", 4.0, 200),
    ]
    assert job.limit_s is None


@pytest.mark.parametrize("version", FILES)
def test_a_pending_array_and_an_element_that_was_released(version: str) -> None:
    whole, element = jobs_of(version)["3_[1,3-5]"], jobs_of(version)["3_2"]

    assert whole.elements == (1, 3, 4, 5)
    assert (whole.array_limit, whole.is_user_held) == (2, True)
    assert whole.gres_per_node == (Gres("fpga", "", 1),)
    assert (whole.features, whole.comment) == ("gpu|fpga", {"lepton-rl"})
    assert (element.id, element.element, element.is_held) == (7, 2, False)


@pytest.mark.parametrize("version", FILES)
def test_an_administrators_hold_is_told_from_a_users(version: str) -> None:
    job = jobs_of(version)["4"]

    assert job.is_held
    assert not job.is_user_held
    assert job.dependency == "afterok:1(unfulfilled)"
    assert job.required_nodes == ("gpu1",)


@pytest.mark.parametrize("version", FILES)
def test_exclusive_and_ended_jobs(version: str) -> None:
    jobs = jobs_of(version)

    assert jobs["5"].is_exclusive
    assert not jobs["1"].is_exclusive
    assert (jobs["6"].is_over, jobs["5"].is_over) == (True, False)
    assert jobs["6"].gres_per_job == (Gres("gpu", "", 3),)
    assert jobs["6"].excluded_nodes == ("gpu1",)


@pytest.mark.parametrize("version", FILES)
def test_nodes(version: str) -> None:
    nodes = nodes_of(version)

    assert list(nodes) == ["cpu1", "fpga1", "gpu1", "gpu2"]
    assert nodes["gpu1"].gres == (Gres("gpu", "a100", 4),)
    assert (nodes["cpu1"].cpus, nodes["cpu1"].memory_mib) == (16, 64000)
    assert [name for name, node in nodes.items() if not node.is_usable] == ["cpu1"]
    assert nodes["fpga1"].features == {"fpga"}


def test_both_versions_tell_the_same() -> None:
    old, new = FILES

    assert {n: _timeless(each) for n, each in jobs_of(old).items()} == {
        n: _timeless(each) for n, each in jobs_of(new).items()
    }
    assert nodes_of(old) == nodes_of(new)


def _timeless(job: SlurmJob) -> SlurmJob:
    """Without what differs from one recording to the next; no memory limit is 0 or None."""
    memory = job.memory_per_node_mib or None
    return dataclasses.replace(job, submit_s=0, eligible_s=0, start_s=0, memory_per_node_mib=memory)


def test_cpus_for_each_task_are_no_generic_resource() -> None:
    """`-c 2` is told as `cpu=2` by 24.11, where 22.05 has nothing."""
    text = (DATA / FILES["slurm 24.11.5"][0]).read_text()
    assert {each["tres_per_task"] for each in json.loads(text)["jobs"]} >= {"cpu=2", "cpu=4"}

    assert {job.gres_per_task for job in jobs_of("slurm 24.11.5").values()} == {()}


@pytest.mark.parametrize("state", ["DOWN", "DRAIN", "NOT_RESPONDING"])
def test_nodes_that_take_nothing(state: str) -> None:
    text = (DATA / FILES["slurm 24.11.5"][1]).read_text()
    item = json.loads(text)["nodes"][0] | {"state": ["IDLE", state]}

    (node,) = dialect_of("slurm 24.11.5").nodes(json.dumps({"nodes": [item]}))

    assert not node.is_usable


@pytest.mark.parametrize("version", ["slurm 20.11.4", "slurm 23.02.1", "torque 6", ""])
def test_other_versions_are_refused(version: str) -> None:
    with pytest.raises(ExecutorError, match=r"expected Slurm 22\.05, or 24\.11 or later"):
        dialect_of(version)


@pytest.mark.parametrize("text", ["", "{}", '{"jobs": [{}]}', '{"jobs": [{"job_id": 1}]}', "[1]"])
def test_other_shapes_are_refused(text: str) -> None:
    for version in FILES:
        with pytest.raises(ExecutorError, match="expected the JSON of this version"):
            dialect_of(version).jobs(text)


def test_later_versions_read_as_24_11() -> None:
    assert dialect_of("slurm 25.05.2") == dialect_of("slurm 24.11.5")
    assert dataclasses.is_dataclass(dialect_of("slurm 24.11.5"))


def test_a_job_that_was_cancelled_while_it_ran() -> None:
    version = "slurm-wlm 22.05.8"
    text = (DATA / FILES[version][0]).read_text()
    item = json.loads(text)["jobs"][1] | {"job_state": "CANCELLED", "cpus": None, "tasks": None}

    (job,) = dialect_of(version).jobs(json.dumps({"jobs": [item]}))

    assert job.is_over
    assert not job.holds_nodes
    assert [share.cpus for share in job.shares] == [4.0, 4.0]
