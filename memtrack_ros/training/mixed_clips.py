"""Training clips of several sources, in even shares."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from memtrack_ros.training.clips import Clips, ClipSource


class MixedClips:
    """As many clips of each source as of any other; what is left over goes to some in turn."""

    def __init__(self, sources: Sequence[ClipSource]) -> None:
        self.sources = sources

    def draw(
        self,
        generator: torch.Generator,
        count: int,
        side: int,
        length: int,
        strength: float,
    ) -> Clips:
        """As ClipSource."""
        among = len(self.sources)
        first = int(torch.randint(among, (1,), generator=generator, device=generator.device))
        parts = []
        for number in range(min(among, count)):
            share = count // among + (number < count % among)
            source = self.sources[(first + number) % among]
            parts.append(source.draw(generator, share, side, length, strength))
        return Clips(*(torch.cat(part) for part in zip(*parts, strict=True)))
