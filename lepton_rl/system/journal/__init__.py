"""Journal: a durable record of a scheduler's life, from which it can be resumed.

See docs/journal.md for what is written when, and what a restarted scheduler has to do.
"""

from lepton_rl.core.nodes import NodeState
from lepton_rl.system.journal.database import Synchronous
from lepton_rl.system.journal.events import (
    Cancelled,
    CancelRequested,
    Cards,
    Ended,
    JournalEvent,
    NodeChanged,
    Outcome,
    PoolChanged,
    Preempted,
    Requeued,
    Started,
    Starting,
    Stopping,
    StopRequested,
    Submitted,
    Why,
)
from lepton_rl.system.journal.journal import Journal, JournalSettings
from lepton_rl.system.journal.ledger import Phase, Recovered, TaskLife

__all__ = [
    "CancelRequested",
    "Cancelled",
    "Cards",
    "Ended",
    "Journal",
    "JournalEvent",
    "JournalSettings",
    "NodeChanged",
    "NodeState",
    "Outcome",
    "Phase",
    "PoolChanged",
    "Preempted",
    "Recovered",
    "Requeued",
    "Started",
    "Starting",
    "StopRequested",
    "Stopping",
    "Submitted",
    "Synchronous",
    "TaskLife",
    "Why",
]
