"""Follow what is in a box of a video's first frame, without ROS.

python docs/follow.py VIDEO X Y W H [TRACKER]
"""

import sys

import cv2
import numpy as np

from memtrack_ros import trackers
from memtrack_ros.session import Prompt, Session

video, *box = sys.argv[1:6]
name = sys.argv[6] if len(sys.argv) > 6 else 'dmv'

frames = cv2.VideoCapture(video)
session = Session(trackers.create(name))
there, frame = frames.read()
estimate = session.prompt(frame, Prompt('box', np.array(box, float)))
while there:
    # estimate.mask is what is seen of the target, estimate.box its oriented box.
    print(estimate.state.name, f'{estimate.confidence:.2f}', *estimate.roi.round().astype(int))
    session.remember()  # after the answer, whose latency it so does not add to
    there, frame = frames.read()
    if there:
        estimate = session.step(frame)
