"""Which stage of a step takes how long, measured from outside.

While `timed`, the functions that make up a stage are replaced, wherever the package holds them, by
ones that note their time. What a stage calls of another is that one's.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from types import ModuleType
from typing import Any

from memtrack_ros.geometry.oriented import OrientedBox
from memtrack_ros.geometry.windows import cut
from memtrack_ros.masks.guided import shares_along_edges
from memtrack_ros.memory import AppearanceMemory, Cells, PartRing, SampledFrames, TemplateSlots
from memtrack_ros.nets import (
    alexnet,
    anchors,
    cmedfl,
    compact,
    efficientnet,
    heads,
    inception,
    mask_decoder,
    resnet,
    samn,
)
from memtrack_ros.nets.memtrack import Controller
from memtrack_ros.nets.readers import best_read, soft_read
from memtrack_ros.nets.voting import VotedRead
from memtrack_ros.trackers.search import shares_in_frame, to_device
from memtrack_ros.trackers.target_filter import TargetFilter

STAGES: dict[str, tuple[Any, ...]] = {
    'crop': (cut, to_device),
    'backbone': (
        compact.CompactTrunk.forward,
        compact.CompactTrunk.merge,
        efficientnet.EfficientNetLite0.forward,
        alexnet.AlexNetTrunk.forward,
        inception.InceptionTrunk.forward,
        resnet.ResNet.forward,
    ),
    'memory read': (
        soft_read,
        best_read,
        VotedRead.forward,
        Controller.forward,
        cmedfl.Deformation.forward,
        AppearanceMemory.read,
        Cells.read,
        PartRing.read,
        SampledFrames.read,
        TemplateSlots.read,
    ),
    'filter': (TargetFilter.locate,),
    'head': (heads.BoxHead.forward, anchors.AnchorHead.forward),
    'mask': (
        mask_decoder.MaskDecoder.forward,
        cmedfl.Upscaling.forward,
        samn.Decoder.forward,
        shares_in_frame,
    ),
    'refinement': (shares_along_edges,),
    'oriented box': (vars(OrientedBox)['from_mask'].__func__,),
}
Clock = Callable[[], float]
"""Seconds since whenever."""
REST = 'rest'
"""What is none of these: joining features, choosing a cell, presence, motion."""


class Stopwatch:
    """Seconds by stage since `clear`; of nested ones only the innermost runs."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.seconds: dict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._since = 0.0

    def clear(self) -> None:
        """Begin anew."""
        self.seconds.clear()

    def timing(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, whose time is counted for the stage."""

        def run(*arguments: Any, **named: Any) -> Any:
            self._turn()
            self._running.append(stage)
            try:
                return function(*arguments, **named)
            finally:
                self._turn()
                self._running.pop()

        return run

    def _turn(self) -> None:
        now = self._clock()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now


@contextmanager
def timed(clock: Clock = perf_counter) -> Iterator[Stopwatch]:
    """The stopwatch of all stages, on the CPU."""
    watch = Stopwatch(clock)
    replaced: list[tuple[Any, str, Any]] = []
    try:
        for stage, functions in STAGES.items():
            for function in functions:
                for holder, name in list(_holders(function)):
                    held = holder.__dict__[name]
                    timing: Any = watch.timing(stage, function)
                    replaced.append((holder, name, held))
                    setattr(holder, name, classmethod(timing) if held is not function else timing)
        yield watch
    finally:
        for holder, name, held in replaced:
            setattr(holder, name, held)


def _holders(function: Any) -> Iterator[tuple[Any, str]]:
    """The modules and classes of the package that hold a function, and by which name."""
    for module in _modules():
        for name, value in vars(module).items():
            if value is function:
                yield module, name
            if isinstance(value, type) and value.__module__ == module.__name__:
                for inner, method in vars(value).items():
                    if function is method or function is getattr(method, '__func__', None):
                        yield value, inner


def _modules() -> list[ModuleType]:
    own = __name__.partition('.')[0] + '.'
    return [m for name, m in sys.modules.items() if name.startswith(own) and name != __name__]
