"""Results as plain text tables: ASCII frames, no wrapped cells, at most 80 columns wide."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import StringIO

from rich.box import Box
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from lepton_rl.evaluate.comparison import Comparison
from lepton_rl.evaluate.evaluation import Evaluation
from lepton_rl.evaluate.figures import change_text, figure_text, interval_text
from lepton_rl.evaluate.metrics import METRICS
from lepton_rl.evaluate.protocols import COLUMNS, Quoted
from lepton_rl.evaluate.results import Result

__all__ = ["comparison_table", "differences_table", "summary_table", "to_text"]

_RULED_HEAD = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
"""A line of dashes below the head and no other frame."""

_NAME_WIDTH = 24
"""Longer names are cut; the JSON has them whole."""

_LEGEND = "> learned policy; all others are heuristics"


_LIMITS = (
    "= no policies: the best schedules found with run times known in advance, and figures that no"
    " schedule can beat"
)


def to_text(evaluation: Evaluation) -> str:
    """All tables and verdicts of an evaluation, for a terminal, a file or a pull request.

    Sentences are one line each, however long; tables fit 80 columns.
    """
    protocol = evaluation.protocol
    count = len(protocol.starts)
    windows = f"{count} window{'s' * (count > 1)} of {protocol.length} tasks"
    head = f"{evaluation.workload}, protocol {protocol.name} v{protocol.version}, {windows}"
    blocks = [head]
    if len(evaluation.comparisons) > 1:
        blocks.append(_printed(summary_table(evaluation)))
    for setting, comparison in evaluation.comparisons:
        quoted = evaluation.quoted(setting.name)
        blocks.append(
            f"{setting.title}\n{_printed(comparison_table(comparison, quoted, protocol.columns))}"
        )
        blocks += (_printed(differences_table(comparison, r.name)) for r in comparison.learned)
        blocks.append(comparison.verdict())
    blocks.append("\n".join(_footnotes(evaluation)))
    return "\n\n".join(block for block in blocks if block) + "\n"


def comparison_table(
    comparison: Comparison, quoted: Sequence[Quoted] = (), columns: Sequence[str] = COLUMNS
) -> Table:
    """Ranked by the headline metric; limits and quoted figures stand below, without a rank."""
    headline = comparison.headline
    metrics = [headline, *(name for name in columns if name != headline)]
    table = _table(["#", "policy", *(_head(name) for name in metrics)], left=(1,))
    for rank, result in enumerate(comparison.results, start=1):
        figures = (figure_text(name, result.figure(name)) for name in metrics)
        _add_row(table, str(rank), _policy(result), *figures)
    for limit in comparison.limits:
        figures = (figure_text(name, limit.figure(name)) for name in metrics)
        _add_row(table, "=", limit.name, *figures)
    for each in quoted:
        rest = ["-"] * len(metrics[1:])
        _add_row(table, "*", _short(each.name), figure_text(headline, each.value), *rest)
    return table


def differences_table(comparison: Comparison, name: str) -> Table:
    """The learned policy `name` against each heuristic: change of the mean headline metric."""
    level = f"{100 * comparison.bootstrap.level:g} % interval"
    table = _table([f"{_short(name)} against", "change", level, "verdict"], left=(0, 3))
    for pair in (pair for pair in comparison.pairs if pair.ours == name):
        difference = pair.difference
        change = change_text(comparison.headline, difference)
        interval = interval_text(comparison.headline, difference) or "-"
        _add_row(table, _short(pair.theirs), change, interval, difference.verdict.value)
    return table


def summary_table(evaluation: Evaluation) -> Table:
    """The headline metric of everybody under every setting, best of the last setting first."""
    settings = [setting for setting, _ in evaluation.comparisons]
    last = evaluation.comparisons[-1][1]
    heads = [setting.name.replace("-", "\n", 1) for setting in settings]
    table = _table([METRICS[last.headline].title, *heads], left=(0,))
    for result in last.results:
        cells = (_summary_cell(c, result.name) for _, c in evaluation.comparisons)
        _add_row(table, _policy(result), *cells)
    quoted = {(q.name, q.setting): q for s in settings for q in evaluation.quoted(s.name)}
    for name in dict.fromkeys(name for name, _ in quoted):
        row = (quoted.get((name, setting.name)) for setting in settings)
        _add_row(
            table,
            f"* {_short(name)}",
            *("-" if each is None else figure_text(each.metric, each.value) for each in row),
        )
    return table


def _summary_cell(comparison: Comparison, name: str) -> str:
    """The headline figure of `name`, "-" if it took no part."""
    if name not in (result.name for result in comparison.results):
        return "-"
    return figure_text(comparison.headline, comparison.result(name).figure(comparison.headline))


def _footnotes(evaluation: Evaluation) -> Iterable[str]:
    if any(comparison.learned for _, comparison in evaluation.comparisons):
        yield _LEGEND
    if any(comparison.limits for _, comparison in evaluation.comparisons):
        yield _LIMITS
    for setting, _ in evaluation.comparisons:
        for each in evaluation.quoted(setting.name):
            yield f"* {each.name}, {setting.title}: {each.note}"
    yield from (f"Note: {note}." for note in evaluation.protocol.notes)


def _policy(result: Result) -> str:
    return _short(result.name) if result.is_heuristic else f"> {_short(result.name)}"


def _short(name: str) -> str:
    most = _NAME_WIDTH - 2  # room for the mark of a learned policy
    return name if len(name) <= most else f"{name[: most - 2]}.."


def _head(metric: str) -> str:
    """Title and unit in two lines."""
    info = METRICS[metric]
    unit = {"s": "[s]", "share": "[%]"}.get(info.unit)
    return f"{info.title}\n{unit}" if unit else "\n".join(info.title.rsplit(" ", 1))


def _table(heads: Sequence[str], left: tuple[int, ...]) -> Table:
    table = Table(
        box=_RULED_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style=""
    )
    for column, head in enumerate(heads):
        justify: JustifyMethod = "left" if column in left else "right"
        table.add_column(Text(head), justify=justify, no_wrap=True)
    return table


def _add_row(table: Table, *cells: str) -> None:
    """`Text`, because a plain string would be read as rich markup."""
    table.add_row(*(Text(cell) for cell in cells))


def _printed(table: Table) -> str:
    """The table as text; the console is wide enough never to shrink a column."""
    stream = StringIO()
    Console(file=stream, width=1000, color_system=None, force_terminal=False).print(table)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())
