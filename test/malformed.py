"""Images, calibrations, prompts and stamps of which anything may be wrong, for hypothesis."""

from __future__ import annotations

from array import array
from math import inf, nan

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point
from hypothesis import strategies as st
from memtrack_ros.srv import InitTarget
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from memtrack_ros import msg

ENCODINGS = [
    'bgr8', 'rgb8', 'bgra8', 'rgba8', 'mono8', 'mono16', '8UC1', '8UC3', '16UC1', '32FC1',
    'yuv422', 'yuv422_yuy2', 'nv12', 'nv21', 'bayer_rggb8', 'bayer_gbrg16', '64FC4', 'jpeg', '',
]  # fmt: skip
anything = st.floats(width=64) | st.sampled_from([0.0, -1.0, 1e-300, 1e300, nan, inf, -inf, 160.0])
numbers = st.floats(-400, 400) | anything
stamps = st.builds(
    Time,
    sec=st.integers(-(2**31), 2**31 - 1) | st.integers(-2, 3),
    nanosec=st.integers(0, 2**32 - 1),
)
points = st.builds(Point, x=numbers, y=numbers)
seldom = st.sampled_from([False, False, False, True])
lengths = st.integers(0, 40) | st.sampled_from([1, 2, 16, 64, 2**16, 2**31, 2**32 - 1])


@st.composite
def images(draw: st.DrawFn) -> Image:
    """An image, of which about half the fields fit together."""
    width, height = draw(lengths), draw(lengths)
    encoding = draw(st.sampled_from(ENCODINGS) | st.text(max_size=12))
    step = draw(st.sampled_from([width, 3 * width, 2 * width, 4 * width]) | lengths)
    whole = step * height
    size = draw(st.sampled_from([whole, whole, whole - 1, whole + 1, 0, 7]))
    size = min(max(size, 0), 20_000)
    data = array('B', (draw(st.binary(min_size=1, max_size=16)) * (size // 1 + 1))[:size])
    return Image(
        header=Header(stamp=draw(stamps), frame_id='camera'),
        width=width,
        height=height,
        encoding=encoding.replace('\0', ''),
        is_bigendian=draw(st.integers(0, 255)),
        step=step % 2**32,
        data=data,
    )


@st.composite
def calibrations(draw: st.DrawFn) -> CameraInfo:
    many = [draw(anything) for _ in range(33)]
    models = ['', 'plumb_bob', 'rational_polynomial', 'equidistant', 'fisheye', 'thin_prism', '?']
    return CameraInfo(
        header=Header(stamp=draw(stamps)),
        width=draw(lengths),
        height=draw(lengths),
        distortion_model=draw(st.sampled_from(models)),
        d=many[:9] + many[: draw(st.integers(0, 9))],
        k=many[9:18],
        r=many[:9],
        p=many[18:30],
    )


@st.composite
def prompts(draw: st.DrawFn) -> InitTarget.Request:
    box = dict(zip(('center_x', 'center_y', 'size_x', 'size_y', 'theta'), range(5), strict=True))
    return InitTarget.Request(
        stamp=draw(st.just(Time()) | stamps),
        kind=draw(st.integers(0, 3) | st.integers(0, 255)),
        box=msg.OrientedBox(**{name: draw(numbers) for name in box}),
        mask=draw(images()),
        point=draw(points),
        positive=draw(st.lists(points, max_size=3)),
        negative=draw(st.lists(points, max_size=3)),
        normalized=draw(st.booleans()),
        tracker=draw(st.sampled_from(['', '', '', 'kcf', 'STMTRACK', '../stmtrack'])),
        add=draw(seldom),
        refine=draw(seldom),
        target_width=draw(st.just(0.0) | st.floats(width=32)),
    )
