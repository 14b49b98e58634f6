"""The same jobs on a real Slurm: under its own order, and steered by policies.

    python benchmarks/slurm_mix.py --jobs 200 --policy runs/first/policy.onnx

Jobs sleep as long as they say; a few long and wide ones come among many short ones, all at once.
Each way gets a fresh Slurm of four nodes on the loopback interface (tests/slurm/cluster.py; root,
Slurm installed), and an attachment that is there before the jobs are. Waits are from the moment at
which all may start to the start that Slurm tells (whole seconds). The last column counts decisions
of the policy per second of its own time, encoding of the queue included.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.slurm.cluster import SlurmCluster, why_not  # noqa: E402

BUILTIN, BACKFILL = "sched/builtin", "sched/backfill"
MAIN = "batch_sched_delay=0,sched_interval=1"
_COMPILES_S = 180.0
"""The first attachment of an installation compiles the rules."""
QUICK_BACKFILL = f"{MAIN},bf_interval=1"


@dataclass(frozen=True, slots=True)
class Job:
    """One job of the mix.

    Attributes:
        cpus: CPUs on one node.
        seconds: that it sleeps.
        minutes: its time limit: a multiple of what it sleeps.
    """

    cpus: int
    seconds: int
    minutes: int


@dataclass(frozen=True, slots=True)
class Way:
    """A way of scheduling the mix; without a mode Slurm is left alone."""

    name: str
    scheduler: str
    parameters: str
    mode: str = ""
    policy: str = ""


def mix(count: int, seed: int) -> list[Job]:
    """Three quarters are short and narrow; estimates are one to three times the truth."""
    random = np.random.default_rng(seed)
    jobs = []
    for _ in range(count):
        is_long = random.random() < 0.25
        seconds = int(random.integers(4, 6) if is_long else random.integers(1, 3))
        cpus = int(random.choice([4, 8] if is_long else [1, 2, 4]))
        jobs.append(Job(cpus, seconds, int(seconds * random.integers(1, 4))))
    return jobs


def ways(policies: list[str]) -> list[Way]:
    """Slurm's two schedulers, then every policy in both modes."""
    found = [
        Way("Slurm, submit order", BUILTIN, MAIN),
        Way("Slurm, backfill", BACKFILL, QUICK_BACKFILL),
    ]
    for policy in policies:
        label = Path(policy).stem if policy.endswith(".onnx") else policy
        found += [
            Way(f"{label}, priorities", BACKFILL, QUICK_BACKFILL, "priority", policy),
            Way(f"{label}, placement", BUILTIN, MAIN, "placement", policy),
        ]
    return found


def run(way: Way, jobs: list[Job], interval_s: float) -> dict[str, object]:
    """Let one Slurm run the mix; waits in s and order of the starts, by position in the mix."""
    with tempfile.TemporaryDirectory(prefix="lepton-slurm-") as folder:
        cluster = SlurmCluster(
            Path(folder, "slurm"), scheduler=way.scheduler, parameters=way.parameters
        )
        try:
            cluster.start()
            return _measured(way, jobs, cluster, Path(folder), interval_s)
        finally:
            cluster.stop()


def _measured(
    way: Way, jobs: list[Job], cluster: SlurmCluster, folder: Path, interval_s: float
) -> dict[str, object]:
    ids = [
        cluster.submit("-H", "-c", str(j.cpus), "-t", str(j.minutes), command=f"sleep {j.seconds}")
        for j in jobs
    ]
    attached = _attach(way, cluster, folder, interval_s) if way.mode else None
    go = "update JobId={} AdminComment=lepton-rl" if way.mode == "placement" else "release {}"
    begin = time.time()
    cluster.run("scontrol", stdin="".join(go.format(each) + "\n" for each in ids))
    cluster.wait_until(ids, "COMPLETED", timeout_s=600)
    figures = _figures(attached) if attached else {}
    told = cluster.jobs()
    waits = np.array([max(0.0, told[each]["start_time"] - begin) for each in ids])
    slowdowns = np.array([(w + j.seconds) / j.seconds for w, j in zip(waits, jobs, strict=True)])
    return {
        "way": way.name,
        "mean wait s": float(waits.mean()),
        "median wait s": float(np.median(waits)),
        "longest wait s": float(waits.max()),
        "mean slowdown": float(slowdowns.mean()),
        "all done s": max(told[each]["end_time"] for each in ids) - begin,
        "first starts": np.argsort(waits, kind="stable")[:8].tolist(),
        "completed": sum(told[each]["job_state"] == "COMPLETED" for each in ids),
        "restarts": sum(told[each]["restart_cnt"] for each in ids),
        "decisions/s": figures.get("decisions", 0) / max(1e-9, figures.get("decision_s", 0)),
        "figures": figures,
    }


def _attach(
    way: Way, cluster: SlurmCluster, folder: Path, interval_s: float
) -> subprocess.Popen[str]:
    command = [
        sys.executable, "-m", "lepton_rl.cli", "attach", "slurm", "--json", "--policy", way.policy,
        "--mode", way.mode, "--state", str(folder / "state"), "--set", f"interval_s={interval_s}",
    ]  # fmt: skip
    attached = subprocess.Popen(command, env=cluster.environment, stdout=subprocess.PIPE, text=True)
    try:
        there = (folder / "state" / "heartbeat").exists
        cluster.wait_for(there, "the attachment is there", _COMPILES_S)
    except TimeoutError:
        attached.kill()
        attached.wait()
        raise
    return attached


def _figures(attached: subprocess.Popen[str]) -> dict[str, float]:
    attached.terminate()
    output, _ = attached.communicate(timeout=60)
    return dict(json.loads(output))


def main() -> None:
    """Run every way on every mix, and print one row for each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=1, help="so many mixes, one after the other")
    parser.add_argument("--interval", type=float, default=0.1, help="of the attachment, s")
    parser.add_argument("--policy", action="append", help="repeatable; default f4")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if reason := why_not():
        sys.exit(reason)
    for seed in range(options.seeds):
        jobs = mix(options.jobs, seed)
        for way in ways(options.policy or ["f4"]):
            row = {"seed": seed, **run(way, jobs, options.interval)}
            print(json.dumps(row) if options.json else _row(row), flush=True)


def _row(row: dict[str, object]) -> str:
    names = ("mean wait s", "median wait s", "longest wait s", "mean slowdown", "all done s")
    numbers = "".join(f"{row[name]:>16.1f}" for name in names)
    rate = f"{row['decisions/s']:.0f} decisions/s"
    return f"{row['seed']} {row['way']:<26}{numbers}   {rate:<20} {row['first starts']}"


if __name__ == "__main__":
    main()
