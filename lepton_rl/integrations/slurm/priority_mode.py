"""Priority mode: the policy orders pending jobs, Slurm starts them.

If we die, Slurm goes on by itself with the priorities that jobs have by then.
"""

from __future__ import annotations

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.policy import Policy, RanksTasks
from lepton_rl.integrations.slurm.decision_log import DecisionLog
from lepton_rl.integrations.slurm.decisions import Answers, ranking
from lepton_rl.integrations.slurm.eligible import orderable
from lepton_rl.integrations.slurm.picture import Picture
from lepton_rl.integrations.slurm.plan import Plan
from lepton_rl.integrations.slurm.priorities import changed_priorities
from lepton_rl.integrations.slurm.records import Snapshot
from lepton_rl.integrations.slurm.settings import SlurmSettings

__all__ = ["PriorityMode"]


class PriorityMode:
    """Plans the priorities of one round.

    Args:
        policy: ranks.
        settings: of the attachment.
        answers: counts what it is asked.

    Raises:
        ConfigError: the policy cannot say who comes first.
    """

    def __init__(self, policy: Policy, settings: SlurmSettings, answers: Answers) -> None:
        if not isinstance(policy, RanksTasks):
            raise ConfigError(
                f"policy {policy.name!r} cannot say which task comes first; use a heuristic or a"
                " trained policy, or placement mode"
            )
        self._policy, self._settings, self._answers = policy, settings, answers

    def plan(self, snapshot: Snapshot, log: DecisionLog, origin_s: float) -> Plan:
        """The priorities that must change."""
        candidates = {each.name: each for each in orderable(snapshot, self._settings)}
        picture = Picture(snapshot, [*candidates.values()], [], self._settings, origin_s)
        names = ranking(self._policy, picture, self._settings.ranked, self._answers)
        order = [(name, candidates[name].job.priority) for name in names]
        changed = changed_priorities(order, self._settings.base_priority)
        lines = [f"update JobId={name} Priority={value}" for name, value in changed.items()]
        event = ("priorities", {"at_s": snapshot.now_s, "jobs": changed})
        return Plan(lines, [event] if changed else [], len(order), len(changed), picture.left_out)
