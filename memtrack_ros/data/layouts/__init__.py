"""The layouts that benchmarks lie in: a function each, of a folder, that finds their sequences.

It gives nothing for a folder of another layout. Coordinates are converted when they are read:
those of OTB, UAV123, LaSOT, GOT-10k and TLD number pixels from 1, those of TrackingNet and COCO
count from the image's edge, which is where a box of this package begins.
"""

from memtrack_ros.data.layouts.coco import find_coco
from memtrack_ros.data.layouts.davis import find_davis
from memtrack_ros.data.layouts.got10k import find_got10k
from memtrack_ros.data.layouts.ilsvrc_vid import find_ilsvrc_vid
from memtrack_ros.data.layouts.lasot import find_lasot
from memtrack_ros.data.layouts.nfs import find_nfs
from memtrack_ros.data.layouts.otb import find_otb
from memtrack_ros.data.layouts.plain import find_plain
from memtrack_ros.data.layouts.tld import find_tld
from memtrack_ros.data.layouts.trackingnet import find_trackingnet
from memtrack_ros.data.layouts.uav123 import find_uav123
from memtrack_ros.data.layouts.video import Video
from memtrack_ros.data.layouts.vot import find_vot
from memtrack_ros.data.layouts.youtube_vos import find_youtube_vos

__all__ = ['LAYOUTS', 'NAMES', 'Video']

# Those that others' files would fit, too, come first.
LAYOUTS = (
    find_davis, find_youtube_vos, find_ilsvrc_vid, find_coco, find_trackingnet, find_uav123,
    find_otb, find_lasot, find_nfs, find_plain, find_got10k, find_tld, find_vot,
)  # fmt: skip
NAMES = (
    'SET/NAME/img with groundtruth.txt, OTB, VOT, UAV123 (data_seq and anno), LaSOT, GOT-10k, '
    'NFS (NAME/30/NAME), TLD, DAVIS (JPEGImages/480p and Annotations/480p), '
    'YouTube-VOS (JPEGImages and Annotations), TrackingNet (frames and anno), '
    'COCO (annotations/instances_*.json), ILSVRC VID (Data/VID and Annotations/VID)'
)
