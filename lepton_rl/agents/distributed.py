"""Several processes that train one network, started by torchrun.

    torchrun --nproc-per-node 2 -m lepton_rl.cli train --out runs/two

Each process has its own environments; gradients are averaged, so all hold the same weights. The
first process alone validates, writes and exports.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn

__all__ = ["Workers", "is_first", "joined"]


def is_first() -> bool:
    """Whether this is the only process of a run, or the first that torchrun started."""
    return int(os.environ.get("RANK", "0")) == 0


class Workers:
    """The processes of a run, of which this is one.

    Attributes:
        rank: of this process, 0 for the first.
        count: how many there are.
    """

    def __init__(self) -> None:
        present = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if present else 0
        self.count = dist.get_world_size() if present else 1

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their means over the processes, in one message."""
        if self.count == 1:
            return
        gradients = [each.grad for each in parameters if each.grad is not None]
        flat = self.mean(torch.cat([each.flatten() for each in gradients]))
        parts = flat.split([each.numel() for each in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def mean(self, values: Tensor) -> Tensor:
        """Mean over the processes, which all get; changes `values`, of any one shape `(*,)`."""
        if self.count > 1:
            dist.all_reduce(values)
            values /= self.count
        return values

    def share(self, module: nn.Module) -> None:
        """Give all processes the weights of the first."""
        if self.count > 1:
            for values in module.state_dict().values():
                dist.broadcast(values, 0)

    def agree(self, going: bool) -> bool:
        """What the first process says."""
        if self.count == 1:
            return going
        said = torch.tensor([float(going)])
        dist.broadcast(said, 0)
        return bool(said.item())


@contextmanager
def joined(device: torch.device) -> Iterator[Workers]:
    """Join the processes that torchrun started, if it did."""
    started = int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized()
    if started:
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield Workers()
    finally:
        if started:
            dist.destroy_process_group()
