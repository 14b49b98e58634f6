from __future__ import annotations

import gzip
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from lepton_rl.core.errors import ConfigError, InputFileError, WorkloadError
from lepton_rl.workloads.swf import read_swf
from lepton_rl.workloads.workload import Workload


def row(job: object = 1, submit: object = 5, run: object = 60, **fields: object) -> str:
    """One SWF row; fields by name, -1 unless given."""
    values: list[object] = [-1] * 18
    values[0], values[1], values[3] = job, submit, run
    columns = {"wait": 2, "allocated": 4, "asked": 7, "requested": 8, "status": 10, "user": 11}
    columns["think"] = 17
    for name, value in {"allocated": 4, "status": 1, **fields}.items():
        values[columns[name]] = value
    return " ".join(str(value) for value in values)


def write(folder: Path, *rows: str, header: str = "; MaxProcs: 8") -> Path:
    path = folder / "log.swf"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def seconds(workload: Workload) -> dict[str, list[float]]:
    tasks = workload.tasks
    columns = {
        "submit": tasks["submit_us"],
        "run": workload.run_us,
        "requested": tasks["requested_us"],
    }
    return {name: (column / 1e6).tolist() for name, column in columns.items()}


@dataclass(frozen=True)
class Expected:
    name: str
    tasks: int
    processors: int
    skipped: dict[str, int] = field(default_factory=dict)


# Row counts and machine sizes are those of the traces' README.
TRACES = [
    Expected("lublin_256", 10_000, 256, {"requested time unknown: run time taken": 10_000}),
    Expected("KTH-SP2-1996", 28_481, 100, {"run time 0: dropped": 8}),  # 28489 rows
    Expected("HPC2N-2002-first3170", 3_170, 240, {"run time unknown: 10 s assumed": 25}),
    Expected("CEA-Curie-2011-sample", 29_998, 93_312),
    Expected("ANL-Theta-2022", 23_911, 4_360),
    Expected(
        "MetaCentrum-wagap-2013",
        17_900,
        20 * 80 + 48 * 12,  # from the .machines file beside it
        {"run time unknown: 10 s assumed": 2, "requested time <= 0: run time taken": 2},
    ),
]


@pytest.mark.parametrize("expected", TRACES, ids=lambda expected: expected.name)
def test_reads_every_public_trace(trace_dir: Path, expected: Expected) -> None:
    workload = read_swf(trace_dir / "swf" / f"{expected.name}.swf.gz")
    assert workload.name == expected.name
    assert len(workload) == expected.tasks
    assert workload.cluster.nodes[0].capacity == {"cpu": expected.processors}
    assert workload.skipped == expected.skipped
    tasks = workload.tasks
    assert np.array_equal(tasks["demand"][:, 0], tasks["size"] * 1000)
    assert tasks["size"].min() >= 1
    assert tasks["size"].max() <= expected.processors
    assert len(set(workload.ids)) == len(workload)
    assert np.array_equal(workload.ids, sorted(workload.ids, key=int)), "also in order of job ids"


def test_first_rows_of_lublin_256(trace_dir: Path) -> None:
    workload = read_swf(trace_dir / "swf" / "lublin_256.swf.gz").window(0, 3)
    times = seconds(workload)
    assert times == {
        "submit": [5094, 5170, 6742],
        "run": [12072, 2, 24089],
        "requested": [12072, 2, 24089],
    }
    assert workload.tasks["size"].tolist() == [16, 1, 1]
    assert workload.ids.tolist() == ["1", "2", "3"]
    workload.check_feasible()


def test_curie_demand_is_the_allocated_cores(trace_dir: Path) -> None:
    workload = read_swf(trace_dir / "swf" / "CEA-Curie-2011-sample.swf.gz")
    assert workload.tasks["size"][:3].tolist() == [
        77248,
        77248,
        576,
    ]  # field 8 says 4828, 4828, 576


def test_thirty_thousand_rows_take_well_below_a_second(trace_dir: Path) -> None:
    # Measured: 0.04 s. The bound leaves room for a loaded machine.
    start = time.perf_counter()
    read_swf(trace_dir / "swf" / "CEA-Curie-2011-sample.swf.gz")
    assert time.perf_counter() - start < 1.0


def test_fields_become_tasks(tmp_path: Path) -> None:
    rows = [row(1, 5, 60, allocated=2, asked=4, requested=90), row(2, 7.5, 1.25, allocated=3)]
    workload = read_swf(write(tmp_path, *rows))
    assert workload.tasks["size"].tolist() == [4, 3], "the larger of allocated and requested"
    assert seconds(workload) == {"submit": [5, 7.5], "run": [60, 1.25], "requested": [90, 1.25]}
    assert workload.tasks["replicas"].tolist() == [1, 1]
    assert workload.tasks["urgency"].tolist() == [0, 0]
    assert not workload.tasks["critical"].any()
    assert not workload.tasks["exclusive"].any()


def test_users_become_tenants_and_waits_are_kept(tmp_path: Path) -> None:
    rows = [row(1, 5, user=31, wait=2), row(2, 6), row(3, 7, user=7, wait=0)]
    workload = read_swf(write(tmp_path, *rows))

    assert workload.tenants is not None
    assert workload.waits_us is not None
    assert workload.tenants.tolist() == ["31", "", "7"]
    assert workload.waits_us.tolist() == [2_000_000, -1, 0]
    last_two = workload.window(1, 2)
    assert last_two.tenants is not None
    assert last_two.waits_us is not None
    assert last_two.tenants.tolist() == ["", "7"]
    assert last_two.waits_us.tolist() == [-1, 0]


def test_a_log_without_users_has_no_tenants(tmp_path: Path) -> None:
    workload = read_swf(write(tmp_path, row(1), row(2)))

    assert workload.tenants is None
    assert workload.window(0, 1).tenants is None


def test_tenants_of_a_public_trace(trace_dir: Path) -> None:
    workload = read_swf(trace_dir / "swf" / "KTH-SP2-1996.swf.gz")

    assert workload.tenants is not None
    assert len(set(workload.tenants)) == 214


def test_rows_are_sorted_by_submit_time_then_job_id(tmp_path: Path) -> None:
    workload = read_swf(write(tmp_path, row(9, 20), row(10, 5), row(3, 20), row(4, 5)))
    assert workload.ids.tolist() == ["4", "10", "3", "9"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (row(2, run=0), "run time 0: dropped"),
        (row(2, allocated=-1), "processors <= 0: dropped"),
        (row(2, allocated=0, asked=0), "processors <= 0: dropped"),
        (row(2, allocated=9), "larger than the machine: dropped"),
        (row(2, asked=9), "larger than the machine: dropped"),
        (row(2, allocated=1.5), "job id or processors not whole: dropped"),
        (row(10**20), "job id or processors not whole: dropped"),
        (row(2.5), "job id or processors not whole: dropped"),
        (row(2, submit=-1), "submit time < 0: dropped"),
        (row(2, submit="nan"), "a field is not finite: dropped"),
        (row(2, run="inf"), "a field is not finite: dropped"),
        (row(2, requested="-inf"), "a field is not finite: dropped"),
        (row(2, run="1e300"), "a time beyond 1e+11 s: dropped"),
        (row(2, status=3), "partial execution of a job: dropped"),
        (row(1, submit=6), "job id seen before: dropped"),
    ],
)
def test_bad_rows_are_dropped_and_counted(tmp_path: Path, bad: str, reason: str) -> None:
    workload = read_swf(write(tmp_path, row(1, requested=60), bad))
    assert workload.ids.tolist() == ["1"]
    assert workload.skipped == {reason: 1}


@pytest.mark.parametrize(
    ("changed", "run_s", "requested_s", "reasons"),
    [
        (row(run=-1, requested=90), 10, 90, ["run time unknown: 10 s assumed"]),
        (row(run=60), 60, 60, ["requested time unknown: run time taken"]),
        (row(run=60, requested=0), 60, 60, ["requested time <= 0: run time taken"]),
        (row(run=60, requested=-7), 60, 60, ["requested time <= 0: run time taken"]),
        (
            row(run=-1),
            10,
            10,
            ["run time unknown: 10 s assumed", "requested time unknown: run time taken"],
        ),
    ],
)
def test_replaced_values_are_counted(
    tmp_path: Path, changed: str, run_s: float, requested_s: float, reasons: list[str]
) -> None:
    workload = read_swf(write(tmp_path, changed))
    assert seconds(workload)["run"] == [run_s]
    assert seconds(workload)["requested"] == [requested_s]
    assert workload.skipped == dict.fromkeys(reasons, 1)


def test_a_row_counts_under_one_reason_only(tmp_path: Path) -> None:
    workload = read_swf(write(tmp_path, row(1, requested=9), row(2, run=0, allocated=99)))
    assert workload.skipped == {"run time 0: dropped": 1}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_blanks_and_comments(tmp_path: Path, end: str) -> None:
    text = end.join(
        [
            "\ufeff; Installation: Ume\u00e5, \u00c5ke",
            "",
            " ;MaxProcs:  16 ",
            row(1),
            "; note",
            row(2),
        ]
    )
    path = tmp_path / "log.SWF"
    path.write_bytes(text.encode())
    workload = read_swf(path)
    assert workload.name == "log"
    assert workload.ids.tolist() == ["1", "2"]
    assert workload.cluster.nodes[0].capacity == {"cpu": 16}


def test_more_than_18_fields_are_ignored(tmp_path: Path) -> None:
    extra = " {12,12} q_1d 1:ppn=4:x86_64#excl"
    workload = read_swf(write(tmp_path, row(1) + extra, row(2) + extra))
    assert len(workload) == 2


def test_gzip_is_recognised_whatever_the_name(tmp_path: Path) -> None:
    plain = write(tmp_path, row())
    packed = tmp_path / "packed.swf"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert len(read_swf(packed)) == 1


class TestMachineSize:
    def test_argument_then_max_procs_then_max_nodes(self, tmp_path: Path) -> None:
        both = write(tmp_path, row(), header="; MaxNodes: 6\n; MaxProcs: 12")
        assert read_swf(both).cluster.nodes[0].capacity == {"cpu": 12}
        assert read_swf(both, processors=5).cluster.nodes[0].capacity == {"cpu": 5}
        nodes = write(tmp_path, row(), header="; MaxNodes: 6\n; MaxProcs: -1")
        assert read_swf(nodes).cluster.nodes[0].capacity == {"cpu": 6}

    def test_machines_file_beside_a_log_without_header(self, tmp_path: Path) -> None:
        path = write(tmp_path, row(), header=";")
        (tmp_path / "log.machines").write_text("\n0\ta b\t3\t16\t1\t99\r\n1\tc\t2\t4\t1\t99\n")
        assert read_swf(path).cluster.nodes[0].capacity == {"cpu": 56}

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("0 a 3 16", "expected 6 tab-separated fields"),
            ("0\ta\t3\tx\t1\t99", r"field 4 \(cpus per node\) must be a whole number"),
            ("0\ta\t0\t4\t1\t99", r"field 3 \(nodes\) must be a whole number"),
            ("0\ta\t-1\t4\t1\t99", r"field 3 \(nodes\) must be a whole number"),
        ],
    )
    def test_bad_machines_file(self, tmp_path: Path, line: str, message: str) -> None:
        path = write(tmp_path, row(), header=";")
        (tmp_path / "log.machines").write_text(f"\n{line}\n")
        with pytest.raises(WorkloadError, match=rf"log\.machines, line 2: {message}"):
            read_swf(path)

    def test_empty_machines_file(self, tmp_path: Path) -> None:
        path = write(tmp_path, row(), header=";")
        (tmp_path / "log.machines").write_text("\n")
        with pytest.raises(WorkloadError, match=r"log\.machines: .*empty file"):
            read_swf(path)

    def test_unknown_size_says_how_to_give_it(self, tmp_path: Path) -> None:
        with pytest.raises(
            WorkloadError, match=r"log\.swf: .*MaxProcs.*log\.machines.*processors=N"
        ):
            read_swf(write(tmp_path, row(), header="; MaxProcs: unknown"))

    @pytest.mark.parametrize("processors", [0, -1, True, 2.5, "8", 10**10])
    def test_bad_argument(self, tmp_path: Path, processors: object) -> None:
        with pytest.raises(ConfigError, match="processors must be a whole number"):
            read_swf(write(tmp_path, row()), processors=processors)  # type: ignore[arg-type]


class TestMalformed:
    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"job": "one"}, r"field 1 \(job id\) must be a number.*got 'one'"),
            ({"submit": "12:30"}, r"field 2 \(submit time\) .*got '12:30'"),
            ({"run": "1_000"}, r"field 4 \(run time\) .*got '1_000'"),
            ({"allocated": "-"}, r"field 5 \(allocated processors\) .*got '-'"),
            ({"asked": "\u00e9"}, r"field 8 \(requested processors\) "),
            ({"requested": "x" * 500}, r"field 9 \(requested time\) .{,160}$"),
            ({"status": "ok"}, r"field 11 \(status\) .*got 'ok'"),
            ({"think": "?"}, r"field 18 \(think time\) .*got '\?'"),
        ],
    )
    def test_field_that_is_no_number(
        self, tmp_path: Path, fields: dict[str, object], message: str
    ) -> None:
        path = write(tmp_path, row(), "", row(**fields), row(run="later"))
        with pytest.raises(WorkloadError, match=rf"log\.swf, line 4: {message}"):
            read_swf(path)

    @pytest.mark.parametrize("line", ["1 2 3", row()[:-3], "<html>", row().replace(" ", ",")])
    def test_too_few_fields(self, tmp_path: Path, line: str) -> None:
        path = write(tmp_path, row(), line)
        with pytest.raises(WorkloadError, match=r"log\.swf, line 3: expected 18 fields, got \d+:"):
            read_swf(path)

    def test_first_problem_is_named_in_a_long_file(self, tmp_path: Path) -> None:
        rows = [row(job) for job in range(20_000)]
        rows[15_000] = "1 2 3"
        with pytest.raises(WorkloadError, match="line 15002: expected 18 fields, got 3"):
            read_swf(write(tmp_path, *rows))

    @pytest.mark.parametrize("content", [b"", b"\n\n", b"; MaxProcs: 8\n", b"   "])
    def test_no_rows(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "log.swf"
        path.write_bytes(content)
        with pytest.raises(WorkloadError, match=r"log\.swf: expected rows of 18 fields, got none"):
            read_swf(path)

    def test_no_usable_row_lists_the_reasons(self, tmp_path: Path) -> None:
        path = write(tmp_path, row(1, run=0), row(2, run=0), row(3, allocated=9))
        reasons = "run time 0: dropped: 2, larger than the machine: dropped: 1"
        with pytest.raises(WorkloadError, match=f"none of its 3 rows .* 8 processors .{reasons}"):
            read_swf(path)

    @pytest.mark.parametrize("content", [b"\x89PNG\0\1", "; MaxProcs: 8\n".encode("utf-16")])
    def test_binary(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "log.swf"
        path.write_bytes(content)
        with pytest.raises(WorkloadError, match=r"log\.swf: expected text .* got binary data"):
            read_swf(path)

    def test_name_says_gzip_but_it_is_not(self, tmp_path: Path) -> None:
        path = write(tmp_path, row()).rename(tmp_path / "log.swf.gz")
        with pytest.raises(WorkloadError, match=r"log\.swf\.gz: .*not gzip; rename it to \.swf"):
            read_swf(path)

    @pytest.mark.parametrize("damage", ["cut", "flip", "header only"])
    def test_damaged_gzip(self, tmp_path: Path, damage: str) -> None:
        packed = bytearray(gzip.compress("\n".join(row(job) for job in range(500)).encode()))
        if damage == "flip":
            packed[len(packed) // 2] ^= 0xFF
        path = tmp_path / "log.swf.gz"
        path.write_bytes({"cut": packed[:-20], "flip": packed, "header only": packed[:2]}[damage])
        with pytest.raises(
            WorkloadError, match=r"log\.swf\.gz: cannot decompress .* fetch it again"
        ):
            read_swf(path)

    def test_missing_file_and_directory(self, tmp_path: Path) -> None:
        with pytest.raises(InputFileError, match=r"cannot read .*no\.swf: No such file"):
            read_swf(tmp_path / "no.swf")
        with pytest.raises(InputFileError, match=r"cannot read .*directory"):
            read_swf(tmp_path)
