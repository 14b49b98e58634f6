"""Slurm accounting: rows in the form of sacct's manual, and what a real sacct printed.

`data/slurm-24.11.sacct.gz` has 400 jobs of three users that a Slurm 24.11.5 of four nodes
(tests/slurm/cluster.py) ran in a minute, told by its sacct from slurmdbd and MariaDB.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from lepton_rl.core.errors import WorkloadError
from lepton_rl.core.resources import CARD
from lepton_rl.workloads.sources import open_workload

RECORDED = Path(__file__).parent / "data" / "slurm-24.11.sacct.gz"
HEADER = "JobID|User|Partition|Submit|Start|End|TimelimitRaw|NNodes|AllocCPUS|AllocTRES|State"
DAY = "2026-03-01T"
ROWS = [
    f"1|ann|all|{DAY}08:00:00|{DAY}08:00:10|{DAY}08:05:10|10|1|4|billing=4,cpu=4,gres/gpu=2,gres/gpu:a100=2,mem=8G,node=1|COMPLETED",
    f"1.batch|||{DAY}08:00:10|{DAY}08:00:10|{DAY}08:05:10||1|4|cpu=4,mem=8G,node=1|COMPLETED",
    f"2_7|bob|long|{DAY}08:01:00|{DAY}08:01:00|{DAY}09:01:00|UNLIMITED|2|8|cpu=8,mem=4096M,node=2|TIMEOUT",
    f"3|bob|all|{DAY}08:02:00|{DAY}08:05:10|{DAY}08:05:40|5|1|4|cpu=4,mem=100M|CANCELLED by 0",
    f"4|bob|all|{DAY}08:03:00|Unknown|Unknown|5|1|0||PENDING",
    f"5|bob|all|{DAY}08:03:00|None|{DAY}08:04:00|5|1|0||CANCELLED by 0",
]  # fmt: skip
CLUSTER = """\
nodes:
  - {name: n, count: 2, capacity: {cpu: 8, memory: 16, gpu: 4}}
"""


def write(folder: Path, rows: list[str], name: str = "history.sacct") -> Path:
    path = folder / name
    path.write_text("\n".join([HEADER, *rows, ""]))
    return path


def test_times_waits_and_tenants(tmp_path: Path) -> None:
    workload = open_workload(write(tmp_path, ROWS))

    assert workload.ids.tolist() == ["1", "2_7", "3"]
    assert (workload.tasks["submit_us"] / 1e6).tolist() == [0, 60, 120]
    assert (workload.run_us / 1e6).tolist() == [300, 3600, 30]
    assert (workload.tasks["requested_us"] / 1e6).tolist() == [600, 3600, 300]
    assert workload.waits_us is not None
    assert (workload.waits_us / 1e6).tolist() == [10, 0, 190]
    assert workload.tenants is not None
    assert workload.tenants.tolist() == ["ann", "bob", "bob"]
    assert dict(workload.skipped)["step of a job: left out"] == 1
    assert dict(workload.skipped)["never ran, or has not ended: left out"] == 2


def test_without_a_cluster_the_pool_is_what_was_in_use_at_most(tmp_path: Path) -> None:
    """Job 3 starts when job 1 ends, so 4 + 8 CPUs were in use at once, not 16."""
    workload = open_workload(write(tmp_path, ROWS))

    assert dict(workload.cluster.nodes[0].capacity) == {"cpu": 12}
    assert workload.tasks["demand"][:, 0].tolist() == [4000, 8000, 4000]


def test_with_a_cluster_jobs_are_gangs_with_memory_and_cards(tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_text(CLUSTER)

    workload = open_workload(write(tmp_path, ROWS), settings={"cluster": "cluster.yaml"})

    assert workload.cluster.schema.names == ("cpu", "memory", "gpu")
    assert workload.tasks["replicas"].tolist() == [1, 2, 1]
    np.testing.assert_array_equal(
        workload.tasks["demand"][:, :3], [[4000, 8192, 2000], [4000, 2048, 0], [4000, 100, 0]]
    )


def test_gzip_and_a_line_end_with_a_bar(tmp_path: Path) -> None:
    """`--parsable` ends each line with a bar, `--parsable2` does not."""
    text = "\n".join(f"{line}|" for line in [HEADER, *ROWS])
    path = tmp_path / "history.sacct.gz"
    path.write_bytes(gzip.compress(text.encode()))

    assert len(open_workload(path)) == 3


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Submit", "Begin", r"line 1: expected a column Submit .* --parsable2"),
        ("|10|1|4|", "|ten|1|4|", r"line 2: field 7 \(TimelimitRaw\) must be minutes, .* 'ten'"),
        ("|10|1|4|", "|10|one|4|", r"line 2: field 8 \(NNodes\) must be a whole number"),
        (
            "mem=8G,node=1|COMPLETED\n1.",
            "mem=?,node=1|COMPLETED\n1.",
            r"line 2: field 10 \(AllocTRES\) must be name=",
        ),
        ("08:00:10|2026", "8 o'clock|2026", r"field 5 \(Start\) must be a time"),
        ("|TIMEOUT", "|TIMEOUT|x", r"line 4: expected 11 fields as in the header, got 12"),
    ],
)
def test_what_is_malformed_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    path = write(tmp_path, ROWS)
    path.write_text(path.read_text().replace(old, new, 1))

    with pytest.raises(WorkloadError, match=message):
        open_workload(path, settings={"cluster": "cluster.yaml"})


def test_nothing_that_has_ended(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="none of its 2 rows is a job that has ended"):
        open_workload(write(tmp_path, ROWS[4:]))


def test_what_a_real_sacct_printed(tmp_path: Path) -> None:
    nodes = tmp_path / "nodes.yaml"
    nodes.write_text(
        "nodes:\n"
        "  - {name: g, count: 2, capacity: {cpu: 8, memory: 31, gpu: 4}}\n"
        "  - {name: f, capacity: {cpu: 8, memory: 31, fpga: 2}}\n"
        "  - {name: c, capacity: {cpu: 16, memory: 62}}\n"
    )

    pooled = open_workload(RECORDED)
    placed = open_workload(RECORDED, settings={"cluster": str(nodes)})

    assert len(pooled) == len(placed) == 399  # one was cancelled before it ran
    assert placed.tenants is not None
    assert set(placed.tenants.tolist()) == {"root", "daemon", "games"}
    kinds = placed.cluster.schema.names
    demand = placed.tasks["demand"]
    cards = {kind: int(demand[:, kinds.index(kind)].max()) for kind in ("gpu", "fpga")}
    assert cards == {"gpu": 2 * CARD, "fpga": CARD}
    assert placed.tasks["replicas"].max() == 2
