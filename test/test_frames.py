"""The mailbox, the ring of recent images, the count of missing ones, and the lock in turn."""

from __future__ import annotations

import threading
from array import array
from random import Random
from typing import Any

import cv2
import malformed
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from hypothesis import given, settings
from hypothesis import strategies as some
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from memtrack_ros.errors import PromptError
from memtrack_ros.nodes.frames import Frames, Gaps, Mailbox, Ring, Turn, nanoseconds
from memtrack_ros.session.clock import COUNTED, Clock
from memtrack_ros.wire.bearing import CameraCalibration
from memtrack_ros.wire.stamps import seconds

DEADLINE = 60
PERIOD = 33_333_333


def image(stamp: int) -> Image:
    seconds, rest = divmod(stamp, 10**9)
    return Image(header=Header(stamp=Time(sec=seconds, nanosec=rest)))


def frames_of_a_camera() -> Frames:
    return Frames('/image', 30, CameraCalibration(rectified=False, warn=print))


def stamp(time: int) -> Time:
    return image(time).header.stamp


def test_the_newest_item_wins_and_the_others_are_counted() -> None:
    box: Mailbox[int] = Mailbox()
    assert box.take() is None
    for item in range(4):
        box.put(item)
    assert box.wait()
    assert (box.take(), box.take(), box.dropped) == (3, None, 3)


def test_a_waiting_thread_gets_an_item_and_the_end() -> None:
    box: Mailbox[int] = Mailbox()
    got: list[int | None] = []
    taken = threading.Event()

    def work() -> None:
        while box.wait():
            got.append(box.take())
            taken.set()

    thread = threading.Thread(target=work)
    thread.start()
    for item in (1, 2):
        box.put(item)
        assert taken.wait(DEADLINE)
        taken.clear()
    box.close()
    thread.join(DEADLINE)
    assert (got, box.wait()) == ([1, 2], False)


def test_the_ring_knows_what_came_after_but_before_the_newest() -> None:
    ring = Ring(4)
    assert ring.after(0) is None
    for number in range(1, 7):
        ring.add(image(10 * number))
    assert [nanoseconds(ring.after(time).header.stamp) for time in (0, 31, 40, 50)] == [
        30,
        40,
        40,
        50,
    ]
    assert ring.after(51) is None


def test_the_ring_finds_images_by_stamp() -> None:
    ring = Ring(3)
    with pytest.raises(PromptError, match='no image has come yet'):
        ring.find(Time())
    images = [image(time) for time in (10, 20, 30, 40)]
    for one in images:
        ring.add(one)
    assert ring.find(Time()) is images[-1]
    assert ring.find(stamp(20)) is images[1]
    for missing in (10, 25, 50):
        with pytest.raises(PromptError) as refusal:
            ring.find(stamp(missing))
        assert f'{missing / 1e9:.9f} is kept' in str(refusal.value)
        assert 'only 3 from 0.000000020 to 0.000000040' in str(refusal.value)


def missing(*stamps: int) -> int:
    gaps = Gaps()
    assert all(gaps.see(stamp) for stamp in stamps)
    return gaps.missing


def test_gaps_count_what_never_came() -> None:
    steady = [k * PERIOD for k in range(100)]
    assert missing(*steady) == 0
    assert missing(*steady[:50], *steady[51:60], *steady[63:]) == 4
    # three in four lost, as without the shared-memory profile
    kept = [k * PERIOD for k in range(400) if k % 16 in (0, 1, 7, 12)]
    assert missing(*kept) == pytest.approx(300, abs=45)


def test_jitter_is_no_gap() -> None:
    assert missing(*(k * PERIOD + (k * 7919 % 9 - 4) * 1_000_000 for k in range(200))) == 0


def test_a_camera_that_stops_and_comes_back_misses_nothing() -> None:
    first = [k * PERIOD for k in range(50)]
    assert missing(*first, *(stamp + 60 * 10**9 for stamp in first)) == 0


def test_a_slow_camera_misses_nothing() -> None:
    assert missing(*(k * 2 * 10**9 for k in range(50))) == 0


def test_equal_stamps_are_borne() -> None:
    assert missing(*[0] * 50) == 0


def test_time_that_jumps_back_starts_anew() -> None:
    frames = frames_of_a_camera()
    for time in range(50):
        frames.put(image(10**12 + time * PERIOD))
    for time in range(5):
        frames.put(image(10**9 + time * PERIOD))
    assert frames.missing == 0
    assert frames.received == 55
    with pytest.raises(PromptError, match='only 5 from 1.000000000 to'):
        frames.recent.find(stamp(10**12))
    assert nanoseconds(frames.recent.find(Time()).header.stamp) == 10**9 + 4 * PERIOD


def test_images_in_a_wrong_order_are_no_jump_back() -> None:
    frames = frames_of_a_camera()
    order = [*range(20), 22, 20, 21, 23, 25, 24, *range(26, 40)]
    for number in order:
        frames.put(image(number * PERIOD))
    assert frames.missing == 3  # when the next one came these had not
    assert frames.recent.held()[0] == 30
    for number in order[-30:]:
        found = frames.recent.find(stamp(number * PERIOD))
        assert nanoseconds(found.header.stamp) == number * PERIOD


@settings(max_examples=500, deadline=None, database=None)
@given(some.lists(malformed.stamps, min_size=1, max_size=20))
def test_whatever_stamps_say_the_newest_image_is_kept_and_time_passes(stamps: list[Time]) -> None:
    frames, clock = frames_of_a_camera(), Clock()
    for number, one in enumerate(stamps, 1):
        frames.put(Image(header=Header(stamp=one)))
        assert frames.received == number
        assert 1 <= frames.recent.held()[0] <= number
        assert nanoseconds(frames.recent.find(one).header.stamp) == nanoseconds(one)
        assert frames.missing >= 0
        clock = clock.at(seconds(one), 1.5)
        assert 0 < clock.seconds <= COUNTED


def test_what_the_middleware_lost_and_what_left_a_gap_is_counted_once() -> None:
    class Event:
        total_count = 7

    frames = frames_of_a_camera()
    for time in (*range(50), *range(55, 60)):
        frames.put(image(time * PERIOD))
    assert frames.missing == 5
    frames.count_lost(Event())
    assert frames.missing == 7


def test_the_images_of_a_camera_have_one_gain() -> None:
    frames = frames_of_a_camera()
    ramp = np.linspace(7000, 8000, 64 * 48).astype(np.uint16).reshape(48, 64)

    def raw(pixels: Any) -> Image:
        made = Image(width=64, height=48, encoding='mono16', step=128)
        made.data = array('B', pixels.tobytes())
        return made

    assert np.ptp(frames.decode(raw(ramp))) == 255
    half = (ramp + 7500) // 2
    assert np.ptp(frames.decode(raw(half))) < 150
    ok, png = cv2.imencode('.png', half)
    assert ok
    packed = CompressedImage(format='mono16; png', data=array('B', png.tobytes()))
    assert np.ptp(frames.decode(packed)) == 255  # another camera's


def test_who_waits_gets_the_turn_before_its_last_holder() -> None:
    turn = Turn()
    rounds = 0
    inside, served = threading.Event(), threading.Event()

    def greedy() -> None:
        nonlocal rounds
        while not served.is_set():
            with turn():
                rounds += 1
                inside.set()

    thread = threading.Thread(target=greedy)
    thread.start()
    assert inside.wait(DEADLINE)
    for _ in range(100):
        with turn():
            pass
    served.set()
    thread.join(DEADLINE)
    assert rounds > 0


def sized(stamp: int, size: int) -> Image:
    made = image(stamp)
    made.data = bytes(size)
    return made


def test_the_ring_is_bounded_by_bytes() -> None:
    ring = Ring(30, max_bytes=1000)
    for time in range(1, 21):
        ring.add(sized(time, 300))
        count, size = ring.held()
        assert (count, size) == (min(time, 3), min(time, 3) * 300)
    with pytest.raises(PromptError, match='only 3 from .*raise frames.max_bytes'):
        ring.find(stamp(1))
    ring.add(sized(30, 5000))
    assert ring.held() == (1, 5000)
    assert nanoseconds(ring.find(Time()).header.stamp) == 30
    ring.add(sized(31, 10))
    assert ring.held() == (1, 10)
    ring.clear()
    assert ring.held() == (0, 0)


def test_the_ring_says_which_bound_has_to_be_raised() -> None:
    ring = Ring(2, max_bytes=1000)
    for time in (1, 2, 3):
        ring.add(sized(time, 100))
    assert ring.held() == (2, 200)
    with pytest.raises(PromptError, match='raise frames.ring'):
        ring.find(stamp(1))


def test_a_slower_or_faster_rate_misses_nothing() -> None:
    for before, after in ((30, 5), (30, 15), (5, 30), (60, 2), (30, 1.5)):
        stamps = [round(k * 1e9 / before) for k in range(60)]
        stamps += [stamps[-1] + round((k + 1) * 1e9 / after) for k in range(60)]
        assert missing(*stamps) == 0, (before, after)
        rest = [stamps[-1] + round((k + 1) * 1e9 / after) for k in range(60) if k % 20 != 10]
        if after > 2:  # a gap of a second is a camera that stopped
            assert missing(*stamps, *rest) == 3, (before, after)


@pytest.mark.parametrize('received', [1.0, 0.5])
def test_a_flood_with_uneven_stamps_misses_no_more_than_was_sent(received: float) -> None:
    random = Random(3)
    stamps, time = [], 0  # 500 Hz, as a busy machine stamps them
    for _ in range(3000):
        time += round(random.expovariate(500) * 1e9)
        stamps.append(time)
    kept = [stamp for stamp in stamps if random.random() < received]
    assert missing(*kept) <= len(stamps) - len(kept)


def numbered(*numbers: int) -> Frames:
    frames = frames_of_a_camera()
    for time, number in enumerate(numbers):
        info = {'publication_sequence_number': number}
        frames.receive(image(time * time * 1_000_000), info)
    return frames


def test_the_publishers_numbers_tell_exactly_what_never_came() -> None:
    assert numbered(*range(1, 200)).missing == 0
    assert numbered(7, 8, 9, 12, 13, 20).missing == 8
    assert numbered(*range(1, 50), *range(1, 50)).missing == 0  # the camera was started again
    two = [number for pair in zip(range(500, 600), range(3, 103), strict=True) for number in pair]
    assert numbered(*two).missing == 0


def test_without_numbers_the_stamps_have_to_tell() -> None:
    frames = frames_of_a_camera()
    for time in (*range(50), *range(55, 60)):
        frames.receive(image(time * PERIOD), {'publication_sequence_number': None})
    assert frames.missing == 5
