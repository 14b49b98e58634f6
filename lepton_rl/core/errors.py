"""Everything lepton-rl raises on purpose.

Each message says what was expected, what came and how to fix it.

    LeptonError
    ├── ConfigError              a setting, option or description is wrong (exit status 2)
    │   └── InputFileError       a file named by the user cannot be opened (exit status 2)
    ├── WorkloadError            a trace or workload cannot be used (exit status 1)
    ├── InfeasibleTaskError      a task asks for more than the cluster can ever give
    ├── InfeasibleDecisionError  a policy decided something the rules forbid
    │   └── NotFiniteError       a network gave no finite preference
    ├── StateError               a call that the current state does not allow
    │   └── NotFoundError        there is no task or node of this name
    ├── ExecutorError            an executor cannot do what it was asked to
    ├── JournalError             the journal cannot be written, or not be trusted
    └── ArtifactError            a policy file is corrupt, foreign or of another schema
"""

from __future__ import annotations

__all__ = [
    "ArtifactError",
    "ConfigError",
    "ExecutorError",
    "InfeasibleDecisionError",
    "InfeasibleTaskError",
    "InputFileError",
    "JournalError",
    "LeptonError",
    "NotFiniteError",
    "NotFoundError",
    "StateError",
    "WorkloadError",
]


class LeptonError(Exception):
    """Base of all errors that lepton-rl raises on purpose."""

    exit_status = 1


class ConfigError(LeptonError, ValueError):
    """A setting, an option or a description of a task or node is wrong."""

    exit_status = 2


class InputFileError(ConfigError):
    """A file that the user named cannot be opened or decoded."""


class WorkloadError(LeptonError, ValueError):
    """A trace or workload cannot be used; the message names file and line where known."""


class InfeasibleTaskError(LeptonError, ValueError):
    """A task asks for more than the cluster can ever give."""


class InfeasibleDecisionError(LeptonError, RuntimeError):
    """A policy decided something that the rules forbid (raised in strict mode).

    Attributes:
        cause: short name of the rule, for counting; "" where nothing counts it.
    """

    def __init__(self, message: str, cause: str = "") -> None:
        super().__init__(message)
        self.cause = cause


class NotFiniteError(InfeasibleDecisionError):
    """A network gave no finite preference, so nothing can be decided by it."""


class StateError(LeptonError, RuntimeError):
    """A call that the object's current state does not allow."""


class NotFoundError(StateError):
    """There is no task or node of this name."""


class ExecutorError(LeptonError, RuntimeError):
    """An executor cannot do what it was asked to; nothing of it was done."""


class JournalError(LeptonError, RuntimeError):
    """The journal cannot be read or written, or what it holds cannot be trusted."""


class ArtifactError(LeptonError, ValueError):
    """A policy file is corrupt, foreign, or written for another schema."""
