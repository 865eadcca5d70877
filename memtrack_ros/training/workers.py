"""Several processes that train one network, as `torchrun` starts them; or one alone."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class Workers:
    """This process among `count`; that of rank 0 measures time, validates and writes."""

    rank: int = 0
    count: int = 1

    @classmethod
    def join(cls, device: torch.device) -> Workers:
        """Meet the others that torchrun has started; alone where it has not."""
        if 'WORLD_SIZE' not in os.environ:
            return cls()
        dist.init_process_group('nccl' if device.type == 'cuda' else 'gloo')
        return cls(dist.get_rank(), dist.get_world_size())

    def leave(self) -> None:
        """Part from the others."""
        if self.count > 1:
            dist.destroy_process_group()

    def average_gradients(self, net: nn.Module) -> None:
        """Give every process the mean of all gradients."""
        if self.count == 1:
            return
        gradients = [p.grad for p in net.parameters() if p.grad is not None]
        together = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(together)
        for gradient, mean in zip(
            gradients, together.split([g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(mean.view_as(gradient) / self.count)

    def agree(self, value: float, device: torch.device) -> float:
        """What rank 0 says."""
        if self.count == 1:
            return value
        said: Tensor = torch.tensor(value, dtype=torch.float64, device=device)
        dist.broadcast(said, 0)
        return float(said)


def own_device(device: torch.device) -> torch.device:
    """The GPU of this process where torchrun has started several; else `device`."""
    rank = os.environ.get('LOCAL_RANK')
    return torch.device('cuda', int(rank)) if rank and device.type == 'cuda' else device
