"""What came from the camera: the newest image, recent ones by stamp, how many never came."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeAlias, TypeVar

from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from memtrack_ros.errors import PromptError

AnyImage: TypeAlias = 'Image | CompressedImage'
Item = TypeVar('Item')

_PAUSE = 1_000_000_000
_INTERVALS = 50


def nanoseconds(stamp: Time) -> int:
    """A stamp as one number."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


class Mailbox(Generic[Item]):
    """One slot between two threads, where the newest item replaces one not yet taken."""

    def __init__(self) -> None:
        self.dropped = 0
        """Items that were replaced."""
        self._changed = threading.Condition()
        self._item: Item | None = None
        self._closed = False

    def put(self, item: Item) -> None:
        """Stores an item, in place of an older one."""
        with self._changed:
            self.dropped += self._item is not None
            self._item = item
            self._changed.notify_all()

    def wait(self) -> bool:
        """Blocks until an item is there (True) or the mailbox is closed (False)."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._item is not None)
            return not self._closed

    def take(self) -> Item | None:
        """The newest item, if there is one; the slot is empty then."""
        with self._changed:
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        """Ends every wait, now and later."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Ring:
    """The last images by stamp, for prompts that refer to one of them."""

    def __init__(self, size: int) -> None:
        self._images: deque[AnyImage] = deque(maxlen=size)
        self._lock = threading.Lock()

    def add(self, image: AnyImage) -> None:
        """Keeps an image; the oldest one goes when there are more than `size`."""
        with self._lock:
            self._images.append(image)

    def clear(self) -> None:
        """Forgets all images."""
        with self._lock:
            self._images.clear()

    def find(self, stamp: Time) -> AnyImage:
        """The image with this stamp, the newest one for a stamp of zero.

        Raises PromptError: no image yet, or the stamped one is not there; names the span that is.
        """
        with self._lock:
            images = tuple(self._images)
        if not images:
            raise PromptError('no image has come yet: prompt once the camera delivers')
        wanted = nanoseconds(stamp)
        if wanted == 0:
            return images[-1]
        for image in reversed(images):
            if nanoseconds(image.header.stamp) == wanted:
                return image
        stamps = [nanoseconds(image.header.stamp) for image in images]
        raise PromptError(
            f'no image with stamp {wanted / 1e9:.9f} is kept, only {len(images)} from '
            f'{min(stamps) / 1e9:.9f} to {max(stamps) / 1e9:.9f}: '
            'prompt on one of these, or raise frames.ring'
        )


    def after(self, stamp: int) -> AnyImage | None:
        """The first image of this stamp (nanoseconds) or a later one, unless it is the newest."""
        with self._lock:
            images = tuple(self._images)[:-1]
        return next((i for i in images if nanoseconds(i.header.stamp) >= stamp), None)


class Gaps:
    """Counts the images that were sent and never came, by the gaps in the stamps of those that did.

    The camera's period is taken to be the first decile of the last fifty intervals: right while
    one image in ten still follows its predecessor, and not led astray by the shortest, which may
    be jitter.
    """

    def __init__(self) -> None:
        self.missing = 0
        """Images that a gap had room for."""
        self._last: int | None = None
        self._intervals: deque[int] = deque(maxlen=_INTERVALS)

    def see(self, stamp: int) -> bool:
        """Counts the gap before the image of this stamp (nanoseconds); False when time went back.

        A gap of a second or more is a camera that stopped and came back: nothing is missing.
        """
        last, self._last = self._last, stamp
        if last is None:
            return True
        interval = stamp - last
        if interval < 0:
            self._intervals.clear()
            return False
        if 0 < interval < _PAUSE:
            self._intervals.append(interval)
            if len(self._intervals) >= 10:
                usual = sorted(self._intervals)[len(self._intervals) // 10]
                self.missing += max(round(interval / usual) - 1, 0)
        return True


class Frames:
    """What a camera sent since the node was activated."""

    def __init__(self, topic: str, ring: int) -> None:
        """topic: where they come from. ring: how many are kept for stamped prompts."""
        self.topic = topic
        self.newest: Mailbox[AnyImage] = Mailbox()
        self.recent = Ring(ring)
        self.received = 0
        self.lost = 0
        """Images the middleware reports as lost."""
        self.calibration: CameraInfo | None = None
        """The camera's newest."""
        self._gaps = Gaps()

    def put(self, image: AnyImage) -> None:
        """Stores an image that came."""
        self.received += 1
        if not self._gaps.see(nanoseconds(image.header.stamp)):
            self.recent.clear()
        self.recent.add(image)
        self.newest.put(image)

    def calibrate(self, info: CameraInfo) -> None:
        """Stores the camera's calibration."""
        self.calibration = info

    def count_lost(self, event: Any) -> None:
        """Notes what the middleware reports as lost."""
        self.lost = event.total_count

    @property
    def missing(self) -> int:
        """Images that never came; what the middleware lost leaves a gap too: the larger count."""
        return max(self.lost, self._gaps.missing)


class Turn:
    """A lock that is had in turn: who waits gets it before its last holder does again.

    Python's own lock favours a thread that releases and takes it in a loop, so that a prompt could
    wait behind any number of images.
    """

    def __init__(self) -> None:
        self._door = threading.Lock()
        self._room = threading.Lock()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._door:
            self._room.acquire()
        try:
            yield
        finally:
            self._room.release()
