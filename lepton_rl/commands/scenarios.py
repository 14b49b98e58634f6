"""`lepton-rl evaluate --protocol scenarios`."""

from __future__ import annotations

import json

from lepton_rl.commands.progress import progress_bar
from lepton_rl.core.version import VERSION
from lepton_rl.evaluate import Bootstrap
from lepton_rl.evaluate.cells import Runner
from lepton_rl.evaluate.scenario_tables import scenario_json, scenario_text
from lepton_rl.evaluate.scenarios import SCENARIOS_VERSION, evaluate_scenario
from lepton_rl.workloads.scenarios.registry import SCENARIOS

__all__ = ["run_scenarios"]


def run_scenarios(bootstrap: Bootstrap, runner: Runner, *, as_json: bool) -> str:
    """Evaluate the heuristics in all scenarios; returns what goes to stdout."""
    found = []
    for scenario in SCENARIOS.values():
        with progress_bar(scenario.title, None) as report:
            found.append(
                evaluate_scenario(
                    scenario.name, bootstrap=bootstrap, progress=report, runner=runner
                )
            )
    if not as_json:
        return "\n".join(scenario_text(each) for each in found)
    document = {
        "protocol": {"name": "scenarios", "version": SCENARIOS_VERSION},
        "lepton_rl": VERSION,
        "scenarios": [scenario_json(each) for each in found],
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"
