"""What was found of a target in a frame, and how far it is that."""

from __future__ import annotations

from dataclasses import dataclass

from memtrack_ros.session.course import UNLIKE
from memtrack_ros.trackers import Observation
from memtrack_ros.trackers.identity import Rival


@dataclass(frozen=True)
class Judgement:
    """What was found, and how far it is the target.

    `evidence` is what the confidence is made of beside the score: the identity's, and how far off
    place and size are. `rival` is what else is most like the target now. It is `mistaken` where it
    is rather the rival that was seen beside the target; `distinct` where it is not, and more like
    the target than all others, or goes on as that went; and `contested` where something near is as
    good or has merged with it, it is strange, or a target that is not surely seen is not told
    apart. It is `convincing` where it is like the target, whatever else may be, and `meets` the
    rival where that is, too, so near, and so little told from it, that nobody can say later which
    of the two it was: the likeness of the liker, else UNLIKE. It is `outdone` where the rival is
    more like the target than the answer is, and `jumps` where it is not where motion has the
    target.
    """

    observation: Observation
    confidence: float
    evidence: tuple[float, ...] = ()
    contested: bool = False
    distinct: bool = True
    mistaken: bool = False
    convincing: bool = False
    meets: float = UNLIKE
    outdone: bool = False
    jumps: bool = False
    rival: Rival | None = None
