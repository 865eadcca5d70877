"""UAV123: Mueller, Smith, Ghanem, A Benchmark and Simulator for UAV Tracking, ECCV 2016.

data_seq/UAV123/NAME/000001.jpg ...
anno/UAV123/NAME.txt            a line a frame: x,y,w,h; NaN where absent
anno/UAV123/att/NAME.txt        twelve numbers 0 or 1, optional
anno/UAV20L/NAME.txt            the long videos, on the same frames

Pixels are numbered from 1: its toolkit is that of OTB. Videos that it cuts into parts have one
folder of frames; the ranges are those of its list of sequences.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from memtrack_ros.data.files import (
    from_one,
    images_of_range,
    numbered_images,
    read_attributes,
    read_boxes,
)
from memtrack_ros.data.layouts.video import Video
from memtrack_ros.data.sequence import Sequence

ATTRIBUTES = ('SV', 'ARC', 'LR', 'FM', 'FOC', 'POC', 'OV', 'BC', 'IV', 'VC', 'CM', 'SOB')

# The first and last frames of NAME_1, NAME_2 ... in the folder NAME.
PARTS = {
    'bird1': ((1, 253), (775, 1477), (1573, 2437)),
    'car1': ((1, 751), (751, 1627), (1627, 2629)),
    'car6': ((1, 487), (487, 1807), (1807, 2953), (2953, 3925), (3925, 4861)),
    'car8': ((1, 1357), (1357, 2575)),
    'car16': ((1, 415), (415, 1993)),
    'group1': ((1, 1333), (1333, 2515), (2515, 3925), (3925, 4873)),
    'group2': ((1, 907), (907, 1771), (1771, 2683)),
    'group3': ((1, 1567), (1567, 2827), (2827, 4369), (4369, 5527)),
    'person2': ((1, 1189), (1189, 2623)),
    'person4': ((1, 1501), (1501, 2743)),
    'person5': ((1, 877), (877, 2101)),
    'person7': ((1, 1249), (1249, 2065)),
    'person8': ((1, 1075), (1075, 1525)),
    'person12': ((1, 601), (601, 1621)),
    'person14': ((1, 847), (847, 1813), (1813, 2923)),
    'person17': ((1, 1501), (1501, 2347)),
    'person19': ((1, 1243), (1243, 2791), (2791, 4357)),
    'truck4': ((1, 577), (577, 1261)),
    'uav1': ((1, 1555), (1555, 2377), (2473, 3469)),
}
_RANGES = {
    f'{video}_{number}': (video, *part)
    for video, parts in PARTS.items()
    for number, part in enumerate(parts, 1)
}


def find_uav123(folder: Path) -> list[Video]:
    """The sequences of the benchmark's folder, which has anno and data_seq."""
    if not (folder / 'data_seq').is_dir():
        return []
    return [
        Video(f'{path.parent.name}/{path.stem}', partial(_read, folder, path))
        for path in sorted(folder.glob('anno/*/*.txt'))
    ]


def _read(folder: Path, path: Path) -> list[Sequence]:
    benchmark, name = path.parent.name, path.stem
    videos = folder / 'data_seq' / ('UAV123' if benchmark == 'UAV20L' else benchmark)
    if benchmark == 'UAV123' and name in _RANGES:
        video, first, last = _RANGES[name]
        frames = images_of_range(videos / video, first, last)
    else:
        frames = numbered_images(videos / name)
    truth = from_one(read_boxes(path))
    attributes = read_attributes(path.parent / 'att' / path.name, ATTRIBUTES)
    return [Sequence(f'{benchmark}/{name}', frames, truth, attributes=attributes)]
