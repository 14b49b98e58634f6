"""Monitor: what happened, for reports, predictions and operators (docs/monitoring.md).

records     what happened to each task; those that ended may be forgotten
histogram   distributions with fixed buckets and exact sums
usage       resources and energy over time
monitor     all of these, told by the scheduler as it goes
event_log   the same, one line of JSON an event
"""

from lepton_rl.system.monitor.event_log import EventLog
from lepton_rl.system.monitor.histogram import Histogram
from lepton_rl.system.monitor.monitor import Monitor
from lepton_rl.system.monitor.records import Interruption, TaskRecord

__all__ = ["EventLog", "Histogram", "Interruption", "Monitor", "TaskRecord"]
