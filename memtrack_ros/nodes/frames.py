"""What came from the camera: the newest image, recent ones by stamp, how many never came."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeAlias, TypeVar

from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image

from memtrack_ros.errors import PromptError
from memtrack_ros.nodes import messages
from memtrack_ros.session.clock import JITTER
from memtrack_ros.wire import images
from memtrack_ros.wire.bearing import CameraCalibration
from memtrack_ros.wire.gain import Gain

AnyImage: TypeAlias = 'Image | CompressedImage'
Item = TypeVar('Item')

MAX_BYTES = 2**28
"""What recent images may take by default: nine seconds of 640x480 at 30 Hz, ten images of 4K."""

_PAUSE = 1_000_000_000
_JITTER = round(JITTER * 1e9)
_INTERVALS = 50
_RUN = 5
_UNEVEN = 0.15
_PUBLISHERS = 8


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

    def __init__(self, size: int, max_bytes: int = MAX_BYTES) -> None:
        self._size, self._max_bytes = size, max_bytes
        self._images: deque[AnyImage] = deque()
        self._bytes = 0
        self._limit = 'frames.ring'
        self._lock = threading.Lock()

    def add(self, image: AnyImage) -> None:
        """Keeps an image; the oldest ones go when there are more than `size` or `max_bytes`.

        This one stays, however large it is.
        """
        with self._lock:
            self._images.append(image)
            self._bytes += len(image.data)
            while len(self._images) > self._size:
                self._limit = 'frames.ring'
                self._drop_oldest()
            while self._bytes > self._max_bytes and len(self._images) > 1:
                self._limit = 'frames.max_bytes'
                self._drop_oldest()

    def clear(self) -> None:
        """Forgets all images."""
        with self._lock:
            self._images.clear()
            self._bytes = 0

    def held(self) -> tuple[int, int]:
        """How many images are kept, and their bytes."""
        with self._lock:
            return len(self._images), self._bytes

    @property
    def newest(self) -> int:
        """The stamp (nanoseconds) of the newest image; 0 without one."""
        with self._lock:
            return nanoseconds(self._images[-1].header.stamp) if self._images else 0

    def find(self, stamp: Time) -> AnyImage:
        """The image with this stamp, the newest one for a stamp of zero.

        Raises PromptError: no image yet, or the stamped one is not there; names the span that is.
        """
        with self._lock:
            images, limit = tuple(self._images), self._limit
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
            f'prompt on one of these, or raise {limit}'
        )

    def after(self, stamp: int) -> AnyImage | None:
        """The first image of this stamp (nanoseconds) or a later one, unless it is the newest."""
        with self._lock:
            images = tuple(self._images)[:-1]
        return next((i for i in images if nanoseconds(i.header.stamp) >= stamp), None)

    def _drop_oldest(self) -> None:
        self._bytes -= len(self._images.popleft().data)


class Numbers:
    """Counts the images that were sent and never came, by the numbers the middleware gives them.

    Every publisher numbers its own. Who sent an image is not told: it is taken to follow the one
    that it is nearest to, and the first of a publisher to follow none.
    """

    def __init__(self) -> None:
        self.missing = 0
        """Numbers that were left out."""
        self._last: deque[int] = deque(maxlen=_PUBLISHERS)

    def see(self, number: int) -> None:
        """Counts the numbers left out before this one."""
        before = [last for last in self._last if last < number]
        if before:
            self.missing += number - max(before) - 1
            self._last.remove(max(before))
        self._last.append(number)


class Gaps:
    """Counts the images that were sent and never came, by the gaps in the stamps of those that did.

    For middlewares that do not number them. The camera's period is taken to be the first decile of
    the last fifty intervals: right while one image in ten still follows its predecessor, and not
    led astray by the shortest, which may be jitter. Where the intervals are no multiples of it, as
    in a flood, nothing can be told and nothing is counted. Five long intervals that are equal are
    not losses but a slower rate.
    """

    def __init__(self) -> None:
        self.missing = 0
        """Images that a gap had room for."""
        self._last: int | None = None
        self._intervals: deque[int] = deque(maxlen=_INTERVALS)
        self._long: list[int] = []
        """The latest intervals, as far as they have room for more than one image: not counted yet,
        as they may turn out to be a slower rate."""

    def see(self, stamp: int) -> bool:
        """Counts the gap before the image of this stamp (nanoseconds); False when time went back.

        An image that came after a later one tells nothing. A gap of a second or more is a camera
        that stopped and came back: nothing is missing.
        """
        last, self._last = self._last, stamp
        if last is None:
            return True
        interval = stamp - last
        if interval < -_JITTER:
            self._begin_anew()
            return False
        self._last = max(stamp, last)
        if 0 < interval < _PAUSE:
            self._intervals.append(interval)
            if len(self._intervals) >= 10:
                self._judge(interval)
        return True

    def _judge(self, interval: int) -> None:
        usual = sorted(self._intervals)[len(self._intervals) // 10]
        if self._uneven(usual):
            self._long.clear()
            return
        if round(interval / usual) > 1:
            self._long.append(interval)
            if len(self._long) < _RUN:
                return
            if max(self._long) < 1.5 * min(self._long):
                self._begin_anew()
                return
        self.missing += sum(round(one / usual) - 1 for one in self._long)
        self._long.clear()

    def _uneven(self, usual: int) -> bool:
        """Whether the intervals are so far from multiples of the usual one that it says nothing."""
        shares = [interval / usual for interval in self._intervals]
        return sum(abs(share - round(share)) for share in shares) / len(shares) > _UNEVEN

    def _begin_anew(self) -> None:
        self._intervals.clear()
        self._long.clear()


class Frames:
    """What a camera sent since the node was activated."""

    def __init__(
        self,
        topic: str,
        ring: int,
        calibration: CameraCalibration,
        max_bytes: int = MAX_BYTES,
        kind: type[AnyImage] = Image,
        expect: Callable[[AnyImage], None] | None = None,
    ) -> None:
        """topic, kind: where they come from, as which message.

        ring, max_bytes: what is kept for stamped prompts. expect: hears of every image.
        """
        self.topic, self.kind = topic, kind
        self.calibration = calibration
        self.newest: Mailbox[AnyImage] = Mailbox()
        self.recent = Ring(ring, max_bytes)
        self.received = 0
        self.lost = 0
        """Images the middleware reports as lost."""
        self._expect = expect
        self._gain = Gain()
        self._numbers: Numbers | None = None
        self._gaps = Gaps()

    def receive(self, image: AnyImage, info: dict[str, Any]) -> None:
        """Stores an image that came; `info` is what rclpy knows of the message."""
        self.put(image, info['publication_sequence_number'])

    def put(self, image: AnyImage, number: int | None = None) -> None:
        """Stores an image that came; `number` is its publisher's, where the middleware tells."""
        self.received += 1
        if number is not None:
            self._numbers = self._numbers or Numbers()
            self._numbers.see(number)
        if not self._gaps.see(nanoseconds(image.header.stamp)):
            self.recent.clear()
        if self._expect is not None:
            self._expect(image)
        self.recent.add(image)
        self.newest.put(image)

    def decode(self, image: AnyImage) -> images.Frame:
        """The frame of an image of this camera; raises ImageError where it has none."""
        if isinstance(image, Image):
            return messages.image_to_bgr(image, self._gain)
        return images.compressed_to_bgr(image, self._gain)

    def count_lost(self, event: Any) -> None:
        """Notes what the middleware reports as lost."""
        self.lost = event.total_count

    @property
    def missing(self) -> int:
        """Images that never came; what the middleware lost left a gap, too: the larger count."""
        return max(self.lost, (self._numbers or self._gaps).missing)


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
