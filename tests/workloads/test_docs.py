"""docs/workloads.md has every kind, setting and array, and its figures are true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lepton_rl.workloads.columnar import _OPTIONAL_SPECS, _SPECS, _task_specs
from lepton_rl.workloads.kinds import KINDS
from lepton_rl.workloads.sources import GENERATORS, offered_load, open_workload

DOCS = (Path(__file__).parents[2] / "docs" / "workloads.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [*KINDS, *GENERATORS])
def test_every_kind_is_there(name: str) -> None:
    assert re.search(rf"^\| `{name}` \|", DOCS, re.MULTILINE)


@pytest.mark.parametrize("name", KINDS)
def test_every_setting_is_there(name: str) -> None:
    missing = [field for field in KINDS[name].settings.model_fields if f"`{field}`" not in DOCS]
    assert not missing


def test_every_array_is_there() -> None:
    names = {*_SPECS, *_OPTIONAL_SPECS, *_task_specs(1)}
    assert [name for name in sorted(names) if f"`{name}`" not in DOCS] == []


FILES = {
    "openb_pod_list_default": "openb/{}.csv.gz",
    "philly_2017_jobs": "gpu/{}.csv.gz",
    "muri_philly_trace1": "gpu/{}.csv.gz",
    "chronus_philly_SLO": "gpu/{}.csv.gz",
    "elasticflow_philly_103959": "gpu/{}.csv",
    "tiresias_60_job": "gpu/{}.csv",
    "gavel_msr_seed0_ee9e8c": "gpu/{}.trace.gz",
    "AzureLLMInferenceTrace_conv": "requests/{}.csv.gz",
    "azure_functions_2021_sample": "requests/{}.csv",
    "disaggregated_DLRM_trace": "requests/{}.csv.gz",
    "lora_request_trace": "requests/{}.csv.gz",
    "MetaCentrum-wagap-2013": "swf/{}.swf.gz",
}


@pytest.mark.parametrize("name", FILES)
def test_tasks_and_loads_are_those_of_the_public_traces(trace_dir: Path, name: str) -> None:
    row = re.search(rf"^\| {name}[^|]* \| ([\d,]+)[^|]* \| ([\d.]+)", DOCS, re.MULTILINE)
    assert row is not None
    tasks, load = int(row[1].rstrip(",").replace(",", "")), row[2]

    workload = open_workload(trace_dir / FILES[name].format(name))

    assert len(workload) == tasks
    decimals = len(load.partition(".")[2])
    assert offered_load(workload) == pytest.approx(float(load), abs=0.5 * 10**-decimals)
