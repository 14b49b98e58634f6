"""Evaluation: metrics, protocols, paired comparison, tables.

    metrics      figures of one schedule
    statistics   paired bootstrap intervals
    protocols    which windows, under which rules
    contenders   what can be evaluated
    comparison   contenders side by side on the same windows
    evaluation   a protocol run on a workload
    table        text for people
    document     JSON for programs

Nothing here imports torch or ONNX Runtime: a learned policy comes in as a `Contender`.
"""

from lepton_rl.evaluate.comparison import Comparison, Progress, compare
from lepton_rl.evaluate.contenders import Contender, HeuristicContender
from lepton_rl.evaluate.document import to_json
from lepton_rl.evaluate.evaluation import Evaluation, evaluate
from lepton_rl.evaluate.metrics import METRICS, MetricInfo, Metrics, measure
from lepton_rl.evaluate.protocols import RLSCHEDULER, EvaluationProtocol, Quoted, Setting, heldout
from lepton_rl.evaluate.results import Pair, Result
from lepton_rl.evaluate.statistics import (
    Bootstrap,
    Interval,
    PairedDifference,
    Verdict,
    paired_difference,
)
from lepton_rl.evaluate.table import comparison_table, differences_table, summary_table, to_text

__all__ = [
    "METRICS",
    "RLSCHEDULER",
    "Bootstrap",
    "Comparison",
    "Contender",
    "Evaluation",
    "EvaluationProtocol",
    "HeuristicContender",
    "Interval",
    "MetricInfo",
    "Metrics",
    "Pair",
    "PairedDifference",
    "Progress",
    "Quoted",
    "Result",
    "Setting",
    "Verdict",
    "compare",
    "comparison_table",
    "differences_table",
    "evaluate",
    "heldout",
    "measure",
    "paired_difference",
    "summary_table",
    "to_json",
    "to_text",
]
