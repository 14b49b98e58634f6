"""Steering a Slurm cluster from outside: which pending job comes first, and on which nodes."""

from lepton_rl.integrations.slurm.attach import Attachment
from lepton_rl.integrations.slurm.commands import SlurmCommands
from lepton_rl.integrations.slurm.settings import SlurmSettings

__all__ = ["Attachment", "SlurmCommands", "SlurmSettings"]
