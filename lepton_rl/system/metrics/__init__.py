"""What operators watch of a scheduler: every figure with its name, unit and labels.

metric      what a figure is, and its value
figures     reading a scheduler
catalogue   the list of all figures; docs/monitoring.md has it as a table

`lepton_rl.integrations.prometheus` exports them.
"""

from lepton_rl.system.metrics.catalogue import METRICS, NODE_LOAD, read_metrics
from lepton_rl.system.metrics.metric import Distribution, Metric, MetricKind, Reading

__all__ = [
    "METRICS",
    "NODE_LOAD",
    "Distribution",
    "Metric",
    "MetricKind",
    "Reading",
    "read_metrics",
]
