from __future__ import annotations

from pathlib import Path

import pytest

from lepton_rl.core.errors import ConfigError, WorkloadError
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.policies.registry import heuristic
from lepton_rl.system import Scheduler
from lepton_rl.workloads.quotas import read_quotas
from lepton_rl.workloads.sources import open_workload
from tests.workloads.files import write

DAYS = ("date,vcA,vcB,vcC,total", "2020-04-01,3,1,0,4", "2020-04-02,8,1,1,10")


def test_shares_of_a_day(tmp_path: Path) -> None:
    path = write(tmp_path, "q.csv", *DAYS)
    assert read_quotas(path) == {"vcA": 0.8, "vcB": 0.1, "vcC": 0.1}
    first = read_quotas(path, "2020-04-01")
    assert first == {"vcA": 0.75, "vcB": 0.25}
    cluster = Cluster((Node("n", {"gpu": 8}),))
    assert Scheduler(cluster, heuristic("fcfs"), quotas=first).shares() == {"vcA": 0, "vcB": 0}


def test_errors(tmp_path: Path) -> None:
    path = write(tmp_path, "q.csv", *DAYS)
    with pytest.raises(ConfigError, match="no row of the day '2020-04-03'; did you mean"):
        read_quotas(path, "2020-04-03")
    with pytest.raises(WorkloadError, match="these are quotas of tenants, not tasks"):
        open_workload(path)
    bad = write(tmp_path, "bad.csv", *DAYS[:2], "2020-04-02,8,few,1,10")
    with pytest.raises(WorkloadError, match="line 3: field 'vcB' must be a whole number"):
        read_quotas(bad)


def test_the_public_file(trace_dir: Path) -> None:
    shares = read_quotas(trace_dir / "gpu" / "helios_earth_vc_gpu_number.csv", "2020-04-01")
    assert shares["vchbv"] == 112 / 784
    assert sum(shares.values()) == pytest.approx(1)
    assert len(shares) < 25  # some of the 25 virtual clusters had no GPU that day
