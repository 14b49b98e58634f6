"""Steps on a GPU beside steps of one CPU core, taken in turn in one run.

    python -m benchmarks.cuda_simulator [--batch 65536] [--seconds 5] [--device cuda]

Both take the oldest task, first-fit; a reset is part of the time of the step that needs it. Without
a GPU it says so and measures nothing (`--device cpu` tries it out with a small batch, in turn).
"""

from __future__ import annotations

import argparse

import torch

from benchmarks.simulator.sizes import NUM_TASKS, SIZES, Size
from benchmarks.simulator.stepping import Stepped
from benchmarks.simulator.timing import in_turn
from lepton_rl.agents.tensor_simulator import TensorSimulator

CPU_BATCH, CPU_CALLS = 1024, 4


class TensorStepped:
    """A batch in tensors that takes steps first come, first served."""

    def __init__(self, size: Size, batch: int, device: str) -> None:
        self.simulator = TensorSimulator(size.simulator, batch, device)
        self._last = NUM_TASKS - size.episode_tasks
        self._oldest = torch.zeros(batch, dtype=torch.int64, device=device)
        self.ends = torch.zeros((), dtype=torch.int64, device=device)
        self.simulator.reset(self._draw())

    def _draw(self) -> torch.Tensor:
        return torch.randint_like(self.simulator.starts, self._last + 1)

    def __call__(self) -> None:
        """One step of all environments, done when it returns."""
        self.simulator.starts.copy_(self._draw())
        self.simulator.step(self._oldest)
        self.ends += self.simulator.terminated.sum()
        self.ends.item()


def measure(size: Size, batch: int, device: str, patience_s: float) -> None:
    """Print one row."""
    ours, core = TensorStepped(size, batch, device), Stepped(size, CPU_BATCH, 1)
    for _ in range(2 * size.episode_tasks):  # episodes are out of step with each other
        ours()
        core()

    def some_of_core() -> None:
        for _ in range(CPU_CALLS):
            core()

    times = in_turn({"ours": ours, "core": some_of_core}, patience_s)
    core.require_progress()
    assert int(ours.ends) > 0, "no episode has ended"
    assert not ours.simulator.refused.any(), "an action was refused"
    ours_per_s = batch / times["ours"].median
    core_per_s = CPU_CALLS * CPU_BATCH / times["core"].median
    print(
        f"{size.name:<12}{batch:>8}{ours_per_s:>14.0f}{core_per_s:>14.0f}"
        f"{ours_per_s / core_per_s:>8.1f}",
        flush=True,
    )


def main() -> None:
    """Measure the sizes that are asked for."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--batch", type=int, default=65_536)
    options.add_argument("--seconds", type=float, default=5.0, help="of each comparison")
    options.add_argument("--sizes", type=int, default=2, help="how many of the three sizes")
    options.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    chosen = options.parse_args()
    if chosen.device == "cuda" and not torch.cuda.is_available():
        print("nothing measured: torch finds no CUDA device")
        return
    name = torch.cuda.get_device_name() if chosen.device == "cuda" else "the CPU, in turn"
    print(f"{name}\nslots x nodes  batch   its steps/s  a core's steps/s  ratio")
    for size in SIZES[: chosen.sizes]:
        measure(size, chosen.batch, chosen.device, chosen.seconds)


if __name__ == "__main__":
    main()
