"""Every protocol by name and version: what it measures, on what, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.naming import did_you_mean
from lepton_rl.evaluate.fgd import FGD_VERSION
from lepton_rl.evaluate.protocols import HELDOUT_VERSION, RLSCHEDULER
from lepton_rl.evaluate.scenarios import SCENARIOS_VERSION
from lepton_rl.evaluate.trace_sets import GPU_TRAINING, REQUESTS

__all__ = ["PROTOCOLS", "ProtocolInfo", "protocol_info"]


@dataclass(frozen=True, slots=True)
class ProtocolInfo:
    """One protocol.

    Attributes:
        name: for `--protocol`.
        version: counts up when figures under this name would change.
        measures: what, in one sentence.
        work: on which work.
        source: where the protocol, or the figures it is compared with, come from.
    """

    name: str
    version: int
    measures: str
    work: str
    source: str


_ALL: Final = (
    ProtocolInfo(
        "heldout",
        HELDOUT_VERSION,
        "Policies and heuristics by mean bounded slowdown, on windows nobody trained or chose on.",
        "one split by time of any workload",
        "docs/evaluation.md",
    ),
    ProtocolInfo(
        RLSCHEDULER.name,
        RLSCHEDULER.version,
        "Orders by mean bounded slowdown, under the rules of the repository and standard ones.",
        "ten published windows of 1,024 tasks, made for lublin_256",
        "Zhang et al., RLScheduler, SC'20",
    ),
    ProtocolInfo(
        "fgd",
        FGD_VERSION,
        "Placement rules by the share of all GPUs that they can give out before nothing fits.",
        "the openb pod lists, with their node list",
        "Weng et al., Beware of Fragmentation, ATC'23",
    ),
    ProtocolInfo(
        GPU_TRAINING.name,
        GPU_TRAINING.version,
        "Mean and p95 completion time and missed deadlines of training jobs.",
        ", ".join(case.title for case in GPU_TRAINING.cases),
        "traces of Philly, Chronus (SoCC'21), Muri (SIGCOMM'22) and Gavel (OSDI'20)",
    ),
    ProtocolInfo(
        REQUESTS.name,
        REQUESTS.version,
        "Mean and p95 response time of short requests, by order and by placement.",
        ", ".join(case.title for case in REQUESTS.cases),
        "Azure public data set; Alibaba cluster-trace-gpu-v2025",
    ),
    ProtocolInfo(
        "scenarios",
        SCENARIOS_VERSION,
        "Utilisation, efficiency, stability, scalability and energy in six scenarios.",
        "the generated workloads of the scenarios, each on its own cluster",
        "docs/scenarios.md",
    ),
)

PROTOCOLS: Final[Mapping[str, ProtocolInfo]] = MappingProxyType({each.name: each for each in _ALL})
"""Name -> protocol."""


def protocol_info(name: str) -> ProtocolInfo:
    """The protocol of this name.

    Raises:
        ConfigError: there is none.
    """
    if name not in PROTOCOLS:
        hint = did_you_mean(name, PROTOCOLS)
        raise ConfigError(f"--protocol {name}: unknown protocol; {hint}")
    return PROTOCOLS[name]
