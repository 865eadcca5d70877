"""A tracker process for the VOT toolkit, or any other client of the TraX protocol.

    python -m memtrack_ros.evaluation.toolkits.vot --tracker stmtrack --region polygon

It speaks over its standard streams and follows one target until the client quits; each
`initialize` starts anew with the target it brings. Cehovin, "TraX: The visual Tracking eXchange
Protocol and Library", Neurocomputing 2017; https://trax.readthedocs.io.

TraX counts pixels from (0, 0), and a rectangle x, y, w, h covers [x, x + w), as here. The client
brings the target as the region this process asks for, and converts it where its truth is another.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from memtrack_ros import trackers
from memtrack_ros.errors import ImageError, MemtrackError, PromptError
from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.session import Estimate, Prompt, Session

try:
    import trax
except ModuleNotFoundError as error:
    sys.exit(f'{error.name} is missing: pip install "memtrack_ros[toolkits]"')

# Regions and images are trax's, which has no types.
Region = Any
REGIONS = trax.Region.RECTANGLE, trax.Region.POLYGON, trax.Region.MASK
IMAGES = trax.Image.PATH, trax.Image.MEMORY, trax.Image.BUFFER


def serve(session: Session, kind: str) -> None:
    """Answer a TraX client with regions of one kind of REGIONS, until it quits.

    Raises trax.TraxException when the client is gone, MemtrackError, of which the client is told,
    for a target or an image that cannot be used.
    """
    server = trax.Server([kind], IMAGES, tracker_name=session.tracker.name)
    answer: Region | None = None
    try:
        while (request := server.wait()).type != trax.TraxStatus.QUIT:
            frame = read_image(request.image[trax.ImageChannel.COLOR])
            if request.type == trax.TraxStatus.INITIALIZE:
                answer, _ = request.objects[0]
                estimate = session.prompt(frame, as_prompt(answer, frame))
            elif answer is None:
                raise PromptError('There is no target to follow yet; send initialize with one.')
            else:
                estimate = session.step(frame)
                # Where there is no answer the last one stands.
                answer = as_region(estimate, kind) or answer
            server.status([(answer, {'confidence': estimate.confidence})])
            session.remember()
    except MemtrackError as error:
        server.quit(str(error))
        raise


def read_image(image: Any) -> Pixels:
    """The frame, uint8 (H, W, 3) BGR, of a TraX image of one of IMAGES.

    ImageError when it cannot be read.
    """
    if image.type() == trax.Image.MEMORY:
        return _from_memory(image.array())
    if image.type() == trax.Image.PATH:
        name = image.path()
        read = cv2.imread(name, cv2.IMREAD_COLOR)
    else:
        name = 'The image sent in a buffer'
        read = cv2.imdecode(np.frombuffer(image.buffer(), np.uint8), cv2.IMREAD_COLOR)
    if read is None:
        raise ImageError(f'{name} cannot be read as an image; send JPEG or PNG.')
    return np.asarray(read, np.uint8)


def _from_memory(array: np.ndarray[Any, Any]) -> Pixels:
    """Of uint8 RGB (H, W, 3), uint8 (H, W, 1) or uint16 (H, W, 1)."""
    if array.dtype == np.uint16:
        array = (array >> 8).astype(np.uint8)
    code = cv2.COLOR_RGB2BGR if array.shape[2] == 3 else cv2.COLOR_GRAY2BGR
    return np.asarray(cv2.cvtColor(array, code), np.uint8)


def as_prompt(region: Region, frame: Pixels) -> Prompt:
    """What a TraX region in `frame` points at: a rectangle, a polygon, a mask.

    Of a polygon that has not four corners the bounds are taken.
    """
    if region.type == trax.Region.RECTANGLE:
        return Prompt('box', np.array(region.bounds()))
    if region.type == trax.Region.POLYGON:
        corners = np.array(list(region), float).reshape(-1)
        return Prompt('box', corners if len(corners) == 8 else boxes.bounds(corners))
    return Prompt('mask', _laid(region.array(), region.offset(), frame.shape[:2]))


def _laid(part: Pixels, offset: tuple[int, int], shape: tuple[int, ...]) -> Pixels:
    """A mask (h, w) whose first pixel lies at `offset` x, y, in a frame of `shape` H, W."""
    mask = np.zeros(shape, np.uint8)
    (left, top), (height, width) = offset, part.shape
    inside = mask[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    rows, columns = inside.shape
    top, left = max(-top, 0), max(-left, 0)
    inside[:] = part[top : top + rows, left : left + columns]
    return mask


def as_region(estimate: Estimate, kind: str) -> Region | None:
    """The TraX region of a kind of REGIONS that says what was found; None where nothing was.

    A polygon is the oriented box, its corners the edges of its extent.
    """
    if kind == trax.Region.RECTANGLE:
        return None if estimate.roi is None else trax.Rectangle.create(*estimate.roi)
    if kind == trax.Region.POLYGON:
        if estimate.box is None:
            return None
        return trax.Polygon.create([tuple(c) for c in estimate.box.polygon().reshape(4, 2)])
    if estimate.mask is None:
        return None
    return trax.Mask.create((estimate.mask > 0).astype(np.uint8))


def main(args: list[str] | None = None) -> int:
    """The exit code: 0, or 2 for an error that the user can mend, said in a sentence."""
    parser = argparse.ArgumentParser(
        prog='python -m memtrack_ros.evaluation.toolkits.vot',
        description='A tracker process for the VOT toolkit, to be started by it.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('--tracker', choices=trackers.NAMES, required=True, help='which')
    parser.add_argument('--variant', choices=trackers.VARIANTS, default='compact', help='size')
    parser.add_argument('--weights', type=Path, metavar='FILE', help='instead of the shipped ones')
    parser.add_argument(
        '--settings', default='', metavar='NAME', help='a named set of them: stmtrack vot'
    )
    parser.add_argument('--region', choices=REGIONS, default=REGIONS[0], help='to answer with')
    parser.add_argument('--device', default='auto', help='cpu or cuda; auto: a GPU if there is one')
    given = parser.parse_args(args)
    try:
        chosen = trackers.Chosen(given.settings)
        tracker = trackers.create(
            given.tracker, given.variant, given.weights, given.device, chosen=chosen
        )
        serve(Session(tracker), given.region)
    except MemtrackError as error:
        print(error, file=sys.stderr)
        return 2
    except trax.TraxException as error:
        print(
            f'The TraX client is gone ({error}); let the VOT toolkit start this process, '
            'by the command in its trackers.ini.',
            file=sys.stderr,
        )
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
