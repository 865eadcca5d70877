"""The tracker node's parameters: one table. The keys of config/tracker.yaml are the names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from rclpy.node import Node
from rclpy.parameter import Parameter as Value

from memtrack_ros import trackers
from memtrack_ros.errors import ConfigurationError
from memtrack_ros.nodes import table
from memtrack_ros.nodes.frames import MAX_BYTES
from memtrack_ros.nodes.paths import expanded
from memtrack_ros.nodes.table import Parameter, word
from memtrack_ros.session import Presence

TRANSPORTS = ('raw', 'compressed')
MOST_TARGETS = 32
RECTIFIED: dict[str, bool | None] = {'auto': None, 'true': True, 'false': False}
_PRESENCE = 'presence.'


TABLE = (
    Parameter(
        'tracker',
        trackers.DEFAULT,
        'Tracker that follows the target.',
        choices=trackers.NAMES,
        at_configure=True,
    ),
    Parameter(
        'variant',
        'compact',
        'compact is small and real time on a CPU, paper is the published architecture.',
        choices=trackers.VARIANTS,
        at_configure=True,
    ),
    Parameter(
        'weights',
        '',
        'Weight file (safetensors); empty takes the one that comes with the package.',
        at_configure=True,
    ),
    Parameter(
        'settings',
        '',
        'Named settings of the paper variant (stmtrack: got10k, lasot, otb, uav123, vot).',
        at_configure=True,
    ),
    Parameter(
        'device',
        'auto',
        'cpu, cuda or cuda:N; auto takes a GPU where there is one.',
        at_configure=True,
    ),
    Parameter(
        'precision',
        'auto',
        'Of compact variants; auto: bfloat16 on a CPU made for it, else float32.',
        choices=tuple(trackers.PRECISIONS),
        at_configure=True,
    ),
    Parameter(
        'threads',
        0,
        'Threads that a CPU computes with; 0: as many as measure fastest at configure, 1 on a GPU.',
        range=(0, 64),
        at_configure=True,
    ),
    Parameter(
        'image_transport',
        'raw',
        'raw subscribes to image, compressed to image/compressed.',
        choices=TRANSPORTS,
        at_configure=True,
    ),
    Parameter(
        'rectified',
        'auto',
        'Whether images are without lens distortion, so that the bearing is by P of camera_info, '
        'not by K and D; auto takes those of a topic image_rect* for it.',
        choices=tuple(RECTIFIED),
        at_configure=True,
    ),
    Parameter(
        'max_targets',
        1,
        'Targets that can be followed at a time; each has a memory bank of its own.',
        range=(1, MOST_TARGETS),
        at_configure=True,
    ),
    Parameter(
        'depth',
        False,
        'Whether depth/image tells where the target is in space; needs message_filters.',
        at_configure=True,
    ),
    Parameter(
        'position.slop',
        0.02,
        'By so much the stamps of an image and of its depth may differ.',
        unit='seconds',
        range=(0.0, 1.0),
        at_configure=True,
    ),
    Parameter(
        'position.share',
        0.5,
        'Of the pixels within the mask so many need a known depth, or there is no position.',
        range=(0.0, 1.0),
        at_configure=True,
    ),
    Parameter(
        'publish_tf',
        False,
        'Whether the frame target_<id> is broadcast while a position is known; needs tf2_ros.',
        at_configure=True,
    ),
    Parameter(
        'frames.ring',
        150,
        'Recent images kept for prompts that carry a stamp.',
        unit='images',
        range=(1, 1000),
        at_configure=True,
    ),
    Parameter(
        'frames.max_bytes',
        MAX_BYTES,
        'Most that these images may take together; the newest one is kept however large it is.',
        unit='bytes',
        range=(2**20, 2**40),
        at_configure=True,
    ),
    Parameter(
        'memory.max_bytes',
        2**30,
        'Most that the memory bank may allocate; the node does not configure with a larger one.',
        unit='bytes',
        range=(2**20, 2**40),
        at_configure=True,
    ),
    Parameter(
        'memory.folder',
        '~/.ros/memtrack',
        'Folder of what ~/save_memory writes and ~/load_memory reads; made when first needed.',
        read_only=True,
    ),
    Parameter(
        'presence.remembered',
        Presence.remembered,
        'From this confidence on what is seen is written into the memory; '
        "-1: from the tracker's own, .85 for stmtrack and samn and cmedfl, .7 for dmv, .75 for "
        'memtrack.',
        range=(-1.0, 1.0),
    ),
    Parameter(
        'presence.seen',
        Presence.seen,
        'From this confidence on the target counts as seen again.',
        range=(0.0, 1.0),
    ),
    Parameter(
        'presence.unseen',
        Presence.unseen,
        'Below this confidence the target counts as not seen; not above presence.seen.',
        range=(0.0, 1.0),
    ),
    Parameter(
        'presence.seen_frames',
        Presence.seen_frames,
        'Images in a row that show a target not seen for longer before it is TRACKING again.',
        unit='images',
        range=(1, 1000),
    ),
    Parameter(
        'presence.unseen_seconds',
        Presence.unseen_seconds,
        'For so long the target may be not seen, or doubted, and be TRACKING as soon as it is '
        'surely seen again.',
        unit='seconds',
        range=(0.0, 60.0),
    ),
    Parameter(
        'presence.lost_seconds',
        Presence.lost_seconds,
        'For so long the target is not seen before it is LOST.',
        unit='seconds',
        range=(0.0, 3600.0),
    ),
)


@dataclass(frozen=True)
class TrackerNodeSettings:
    """What the node reads when it is configured."""

    tracker: str
    variant: str
    weights: Path | None
    settings: str
    device: str
    precision: str
    threads: int
    image_transport: str
    rectified: bool | None
    """None: as the name of the topic says."""
    max_targets: int
    depth: bool
    slop: float
    """Seconds."""
    share: float
    publish_tf: bool
    ring: int
    ring_bytes: int
    max_bytes: int


def declare(node: Node) -> None:
    """Declares the table; raises as table.declare does."""
    table.declare(node, TABLE)


def settings(node: Node) -> TrackerNodeSettings:
    """The values to configure with; raises ConfigurationError for one outside its choices."""
    value = table.values(node, TABLE)
    return TrackerNodeSettings(
        tracker=value['tracker'],
        variant=value['variant'],
        weights=expanded('weights', value['weights']) if value['weights'] else None,
        settings=value['settings'],
        device=value['device'],
        precision=value['precision'],
        threads=value['threads'],
        image_transport=value['image_transport'],
        rectified=RECTIFIED[word(value['rectified'])],
        max_targets=value['max_targets'],
        depth=value['depth'],
        slop=value['position.slop'],
        share=value['position.share'],
        publish_tf=value['publish_tf'],
        ring=value['frames.ring'],
        ring_bytes=value['frames.max_bytes'],
        max_bytes=value['memory.max_bytes'],
    )


def presence(node: Node, changes: Iterable[Value] = ()) -> Presence:
    """The values of presence.*, with changes; raises ConfigurationError where they contradict."""
    changed = {change.name: change.value for change in changes}
    values = {}
    for field in fields(Presence):
        name = _PRESENCE + field.name
        values[field.name] = changed[name] if name in changed else node.get_parameter(name).value
    made = Presence(**values)
    if made.unseen > made.seen:
        raise ConfigurationError(
            f'presence.unseen {made.unseen:g} is above presence.seen {made.seen:g}: '
            'between the two the state stays as it is, so set unseen to seen or less'
        )
    return made


def refusal(node: Node, changes: list[Value], configured: bool) -> str:
    """Why these changes cannot be made; empty when they can."""
    if fault := table.refusal(node, TABLE, changes, configured):
        return fault
    try:
        presence(node, changes)
    except ConfigurationError as error:
        return str(error)
    return ''
