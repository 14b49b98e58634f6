from __future__ import annotations

import json
import re
from io import StringIO

import pytest
from rich.console import Console
from rich.table import Table

from lepton_rl.evaluate import (
    METRICS,
    RLSCHEDULER,
    Evaluation,
    EvaluationProtocol,
    Quoted,
    comparison_table,
    differences_table,
    evaluate,
    summary_table,
    to_json,
    to_text,
)
from lepton_rl.evaluate.figures import known, seconds_text
from lepton_rl.workloads.lublin import LublinConfig, generate_lublin
from tests.evaluate.small import HEURISTICS, Learned

LONG_NAME = "ppo-with-a-name-that-no-column-can-hold [bold]"
NAMES = ("fcfs", "sjf", "f4")


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    """Seven windows, three heuristics, two learned policies, all four settings."""
    workload = generate_lublin(LublinConfig(processors=32, num_tasks=700, load=0.9), 5)
    quoted = Quoted("Others", workload.name, "standard-easy", "mean_bounded_slowdown", 12.5, "said")
    protocol = EvaluationProtocol(
        name="short",
        version=2,
        starts=tuple(range(0, 700, 100)),
        length=100,
        settings=RLSCHEDULER.settings,
        quoted=(quoted,),
        remarks=("a remark",),
    )
    learned = [Learned(LONG_NAME, HEURISTICS["saf"]), Learned("ljf-net", HEURISTICS["ljf"])]
    return evaluate(protocol, workload, {name: HEURISTICS[name] for name in NAMES}, learned)


def printed(table: Table, width: int) -> list[str]:
    stream = StringIO()
    Console(file=stream, width=width).print(table)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 100, 120])
def test_tables_are_neither_wrapped_nor_cut(evaluation: Evaluation, width: int) -> None:
    comparison = evaluation.comparison("standard-easy")
    quoted = evaluation.quoted("standard-easy")
    rows = {
        "comparison": (comparison_table(comparison, quoted), 3 + 5 + 1),
        "differences": (differences_table(comparison, LONG_NAME), 2 + 3),
        "summary": (summary_table(evaluation), 3 + 5 + 1),
    }
    for name, (table, expected) in rows.items():
        lines = printed(table, width)
        assert len(lines) == expected, name
        assert "…" not in "".join(lines), name
        assert [line.rstrip() for line in lines] == [e.rstrip() for e in printed(table, 200)], name
        assert max(len(line.rstrip()) for line in lines) <= 80, name


def test_the_comparison_shows_every_contender_by_rank(evaluation: Evaluation) -> None:
    comparison = evaluation.comparison("standard-easy")
    lines = printed(comparison_table(comparison, evaluation.quoted("standard-easy")), 80)
    assert lines[0].split() == ["mean", "bounded", "p95", "wait", "max", "wait", "utilisation"]
    assert lines[1].split() == ["#", "policy", "slowdown", "[s]", "[s]", "[%]"]
    for rank, result in enumerate(comparison.results, start=1):
        cells = lines[2 + rank].split()
        figures = [
            f"{result.figure('mean_bounded_slowdown'):.2f}",
            seconds_text(result.figure("p95_wait_s")),
            seconds_text(result.figure("max_wait_s")),
            f"{100 * result.figure('utilisation'):.1f}",
        ]
        assert cells[0] == str(rank)
        assert cells[-4:] == figures
        assert (">" in cells) == (not result.is_heuristic)
    assert lines[-1].split() == ["*", "Others", "12.50", "-", "-", "-"]


def test_the_headline_is_not_shown_twice(evaluation: Evaluation) -> None:
    comparison = evaluation.comparison("standard-easy")
    by_p95 = evaluate(
        EvaluationProtocol("one", 1, (0,), 100, (RLSCHEDULER.settings[3],)),
        generate_lublin(LublinConfig(processors=32, num_tasks=100), 5),
        {"fcfs": HEURISTICS["fcfs"]},
        headline="p95_wait_s",
    ).comparisons[0][1]
    heads = printed(comparison_table(by_p95), 80)[0].split()
    assert heads == ["p95", "wait", "max", "wait", "utilisation"]
    assert comparison.headline == "mean_bounded_slowdown"


def test_the_summary_has_a_column_a_setting(evaluation: Evaluation) -> None:
    lines = printed(summary_table(evaluation), 80)
    assert lines[0].split() == ["repo", "repo", "standard", "standard"]
    assert lines[1].split() == ["mean", "bounded", "slowdown", "none", "backfill", "none", "easy"]
    by_name = {line.split()[0]: line.split() for line in lines[3:]}
    expected = [
        f"{comparison.result('f4').figure('mean_bounded_slowdown'):.2f}"
        for _, comparison in evaluation.comparisons
    ]
    assert by_name["f4"] == ["f4", *expected]
    assert by_name["*"] == ["*", "Others", "-", "-", "-", "12.50"]
    assert by_name[">"][-4:-2] == ["-", "-"]  # learned policies play by standard rules only


def test_differences_have_interval_and_verdict(evaluation: Evaluation) -> None:
    comparison = evaluation.comparison("standard-none")
    lines = printed(differences_table(comparison, "ljf-net"), 80)
    assert lines[0].split() == ["ljf-net", "against", "change", "95", "%", "interval", "verdict"]
    pattern = (
        r"(fcfs|sjf|f4) +[+-]\d+\.\d % +[+-]\d+\.\d to [+-]\d+\.\d %"
        r"  (better|worse|no difference shown)$"
    )
    assert all(re.match(pattern, line.rstrip()) for line in lines[2:])


def test_the_text_is_plain_and_complete(evaluation: Evaluation) -> None:
    text = to_text(evaluation)
    assert text.isascii()
    assert "\x1b" not in text
    assert not re.search(r" \n", text)
    assert text.startswith("lublin-32, protocol short v2, 7 windows of 100 tasks\n\n")
    for setting, comparison in evaluation.comparisons:
        assert f"\n\n{setting.title}\n" in text
        assert comparison.verdict() in text
    assert "> learned policy; all others are heuristics\n" in text
    assert "* Others, standard rules, EASY backfill: said\n" in text
    assert text.endswith("Note: a remark.\n")
    tables = [line for line in text.splitlines() if "  " in line]
    assert max(map(len, tables)) <= 80


def test_the_text_is_the_same_whatever_the_terminal(
    evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = to_text(evaluation)
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert to_text(evaluation) == text


def test_one_setting_needs_no_summary() -> None:
    workload = generate_lublin(LublinConfig(processors=32, num_tasks=100), 5)
    protocol = EvaluationProtocol("one", 1, (0,), 100, (RLSCHEDULER.settings[2],))
    text = to_text(evaluate(protocol, workload, {"fcfs": HEURISTICS["fcfs"]}))
    assert "1 window of 100 tasks" in text
    assert text.count("fcfs") == 2  # a row and the verdict
    assert "learned policy;" not in text


def test_json_round_trips_and_has_what_its_docstring_says(evaluation: Evaluation) -> None:
    document = to_json(evaluation)
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert list(document) == [
        "schema_version",
        "protocol",
        "workload",
        "headline",
        "metrics",
        "windows",
        "bootstrap",
        "settings",
    ]
    assert document["schema_version"] == 2
    assert document["protocol"] == {"name": "short", "version": 2, "notes": ["a remark"]}
    assert document["windows"][1] == {"first_task": 100, "num_tasks": 100}
    assert document["bootstrap"] == {"level": 0.95, "resamples": 10_000, "seed": 0}
    assert list(document["metrics"]) == list(METRICS)
    assert [setting["backfill"] for setting in document["settings"]] == [
        "none",
        "fixed_shadow",
        "none",
        "easy",
    ]


def test_json_has_the_figures(evaluation: Evaluation) -> None:
    setting = to_json(evaluation)["settings"][3]
    comparison = evaluation.comparison("standard-easy")
    assert setting["name"] == "standard-easy"
    assert setting["blocking"] is False
    assert setting["verdict"] == comparison.verdict()
    assert setting["quoted"] == [
        {"name": "Others", "metric": "mean_bounded_slowdown", "value": 12.5, "note": "said"}
    ]
    assert [c["rank"] for c in setting["contenders"]] == [1, 2, 3, 4, 5]
    assert {c["name"] for c in setting["contenders"]} == {*NAMES, LONG_NAME, "ljf-net"}
    for contender, result in zip(setting["contenders"], comparison.results, strict=True):
        assert contender["name"] == result.name
        assert contender["is_heuristic"] == (result.name in NAMES)
        for metric in METRICS:
            assert contender["figures"][metric] == known(result.figure(metric))
            expected = [known(value) for value in result.values(metric).tolist()]
            assert contender["per_window"][metric] == expected
    for entry, pair in zip(setting["differences"], comparison.pairs, strict=True):
        interval = pair.difference.difference_interval
        assert interval is not None
        assert (entry["ours"], entry["theirs"]) == (pair.ours, pair.theirs)
        assert entry["difference_interval"] == [interval.low, interval.high]
        assert entry["verdict"] == pair.difference.verdict.value


def test_json_of_few_windows_has_nulls_and_says_why() -> None:
    workload = generate_lublin(LublinConfig(processors=32, num_tasks=100), 5)
    protocol = EvaluationProtocol("one", 1, (0,), 100, (RLSCHEDULER.settings[3],))
    learned = [Learned("net", HEURISTICS["saf"])]
    document = to_json(evaluate(protocol, workload, {"fcfs": HEURISTICS["fcfs"]}, learned))
    difference = document["settings"][0]["differences"][0]
    assert difference["difference_interval"] is None
    assert difference["relative_interval"] is None
    assert difference["note"] == "no interval: it needs at least 6 windows, got 1"
    json.dumps(document, allow_nan=False)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.00"), (0.254, "0.25"), (12.54, "12.5"), (100.4, "100"), (1238762.0, "1238762")],
)
def test_seconds(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text
