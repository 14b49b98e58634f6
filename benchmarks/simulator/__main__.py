"""Measures the tables of docs/performance.md: steps, Gymnasium, plain Python, replays.

    python -m benchmarks.simulator [--seconds 2] [--json FILE] [--plot FILE] [--replay-tasks N]

Everything that is compared is measured in turn in this one run. Tables go to stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium

import lepton_rl.envs  # noqa: F401 - registers the ids
from benchmarks.simulator.plain import PlainEnvironment
from benchmarks.simulator.replays import measure_replay
from benchmarks.simulator.sizes import SIZES, Size
from benchmarks.simulator.stepping import Stepped, measure_steps
from benchmarks.simulator.timing import in_turn

BATCHES = (1, 64, 1024, 8192)
REPLAYS = ((100, 0.01), (1000, 0.1), (10_000, 0.1), (10_000, 1.0))
"""Nodes, and share of the tasks that were asked for."""
CALLS = 20
"""Of the compiled environments for one of the plain one, so that both take milliseconds."""
MOST_MIB = 2048
"""Larger batches are left out."""


def say(text: str) -> None:
    """Progress, beside the results."""
    print(text, file=sys.stderr, flush=True)


def fits(size: Size, batch: int) -> bool:
    """Whether a batch's pools, the largest of its arrays, are no more than `MOST_MIB`."""
    return batch * size.nodes * 200 < MOST_MIB * 2**20


def steps(patience_s: float) -> list[dict[str, Any]]:
    """One row for each size and batch."""
    rows = []
    header = "size          batch  in use   steps/s     best  2 threads  memcpy/s  of memcpy  2/1"
    print(header)
    for size in SIZES:
        for batch in BATCHES:
            if not fits(size, batch):
                say(f"{size.name}, {batch}: left out, more than {MOST_MIB} MiB")
                continue
            row = measure_steps(size, batch, patience_s)
            rows.append(row)
            print(
                f"{size.name:<12}{batch:>7}{row['slots_in_use']:>8.0%}"
                f"{row['steps_per_s']:>10.0f}{row['best_steps_per_s']:>9.0f}"
                f"{row['two_threads_steps_per_s']:>11.0f}{row['memcpy_per_s']:>10.0f}"
                f"{row['share_of_memcpy']:>11.1%}{row['two_threads_over_one']:>5.2f}",
                flush=True,
            )
    return rows


def gymnasium_step(patience_s: float) -> dict[str, float]:
    """Microseconds of one step of `gymnasium.make`, and of the compiled step within it."""
    env = gymnasium.make("lepton_rl/HPC-v0", slots=64, episode_tasks=256)
    env.reset(seed=0)
    simulator, ends = env.unwrapped.simulator, 0  # type: ignore[attr-defined]

    def hundred() -> None:
        nonlocal ends
        for _ in range(100):
            if env.step(0)[2]:
                ends += 1
                env.reset()

    inner = Stepped(SIZES[0], 1, 1)
    things = {"gymnasium": hundred, "inner": lambda: [inner() for _ in range(100)]}
    times = in_turn(things, patience_s)
    assert ends > 0, "no episode has ended"
    assert simulator.sim.progress["next_arrival"][0] > 0
    return {
        "gymnasium_us": times["gymnasium"].median * 1e4,
        "gymnasium_best_us": times["gymnasium"].best * 1e4,
        "simulator_us": times["inner"].median * 1e4,
        "simulator_best_us": times["inner"].best * 1e4,
    }


def plain_python(patience_s: float) -> dict[str, float]:
    """How many times as fast the compiled environment is as one in plain Python."""
    size = SIZES[0]
    tasks, run_us, _ = size.work()
    plain = PlainEnvironment(tasks, run_us, size.nodes, size.cores, size.slots)
    compiled, ends = Stepped(size, 64, 1), 0
    plain.reset(0, size.episode_tasks)

    def one_step() -> None:
        nonlocal ends
        if plain.step(0)[2]:
            ends += 1
            plain.reset((ends * 100) % 4000, size.episode_tasks)

    def plain_steps() -> None:
        for _ in range(64):
            one_step()

    def compiled_steps() -> None:
        for _ in range(CALLS):
            compiled()

    times = in_turn({"plain": plain_steps, "compiled": compiled_steps}, patience_s)
    compiled.require_progress()
    assert ends > 0, "no episode has ended"
    return {
        "plain_steps_per_s": 64 / times["plain"].median,
        "compiled_steps_per_s": 64 * CALLS / times["compiled"].median,
        "times_as_fast": times["plain"].over(times["compiled"]) * CALLS,
    }


def replays(tasks: int, limit_s: float) -> list[dict[str, Any]]:
    """One row for each length of trace."""
    rows = []
    print("\nreplay: nodes      tasks   events/s  seconds  peak MiB")
    for nodes, share in REPLAYS:
        row = measure_replay(nodes, int(tasks * share), limit_s)
        rows.append(row)
        if "seconds" not in row:
            print(f"{nodes:>13}{row['tasks']:>11}  unfinished after {limit_s:.0f} s", flush=True)
            continue
        print(
            f"{nodes:>13}{row['tasks']:>11}{row['events_per_s']:>11.0f}{row['seconds']:>9.1f}"
            f"{row['peak_mib']:>10.0f}",
            flush=True,
        )
    return rows


def draw(results: dict[str, Any], file: Path) -> None:
    """Growth curves: steps by batch, replays by tasks."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.fonttype"] = "none"  # text stays text
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for size in SIZES:
        rows = [row for row in results["steps"] if row["size"] == size.name]
        axes[0].loglog(
            [row["batch"] for row in rows],
            [row["best_steps_per_s"] for row in rows],
            "o-",
            label=size.name,
        )
    axes[0].set(xlabel="environments", ylabel="steps/s, one thread")
    axes[0].legend(title="slots x nodes")
    rows = [row for row in results["replays"] if "seconds" in row]
    axes[1].loglog([row["tasks"] for row in rows], [row["events_per_s"] for row in rows], "o")
    for row in rows:
        axes[1].annotate(f"{row['nodes']} nodes", (row["tasks"], row["events_per_s"]))
    axes[1].set(xlabel="tasks of the trace", ylabel="events/s of a replay")
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def main() -> None:
    """Measure everything, print tables, write what was asked for."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=2.0, help="of each comparison")
    options.add_argument("--json", type=Path, help="write all figures to this file")
    options.add_argument("--plot", type=Path, help="draw growth curves (needs matplotlib)")
    options.add_argument("--replay-tasks", type=int, default=1_000_000)
    options.add_argument("--replay-limit", type=float, default=900.0, help="seconds a replay")
    chosen = options.parse_args()
    load, cpus = os.getloadavg()[0], len(os.sched_getaffinity(0))
    print(f"{cpus} CPUs ({platform.machine()}), load {load:.1f} before")
    say("compiling, if this is the first use: about half a minute")
    began = time.perf_counter()
    Stepped(SIZES[0], 1, 1)()
    first_s = time.perf_counter() - began
    print(f"first step of this process: {first_s:.1f} s\n")
    results: dict[str, Any] = {"load": load, "cpus": cpus, "first_step_s": first_s}
    results["steps"] = steps(chosen.seconds)
    results |= {"gymnasium": gymnasium_step(chosen.seconds)}
    results |= {"plain": plain_python(chosen.seconds)}
    for name in ("gymnasium", "plain"):
        print("\n" + "  ".join(f"{key} {value:.1f}" for key, value in results[name].items()))
    results["replays"] = replays(chosen.replay_tasks, chosen.replay_limit)
    results["load_after"] = os.getloadavg()[0]
    print(f"\nload {results['load_after']:.1f} after")
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    if chosen.plot:
        draw(results, chosen.plot)


if __name__ == "__main__":
    main()
