"""The layouts of benchmarks: what is read of each, in this package's coordinates, and what not."""

import json
import re
import struct
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from memtrack_ros.data.layouts import otb, uav123
from memtrack_ros.data.masks import ColumnRuns, Polygons, read_labels
from memtrack_ros.data.sequences import Sequence, read_sequence, read_sequences
from memtrack_ros.errors import SequenceError

ABSENT = [np.nan] * 4


def write_frames(folder: Path, numbers: range, digits: int = 8) -> Path:
    """Black frames of 8 x 6 pixels."""
    folder.mkdir(parents=True)
    data = cv2.imencode('.jpg', np.zeros((6, 8, 3), np.uint8))[1].tobytes()
    for number in numbers:
        (folder / f'{number:0{digits}}.jpg').write_bytes(data)
    return folder


def write_text(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(lines) + '\n')
    return path


def numbers(sequence: Sequence) -> list[int]:
    return [int(path.stem) for path in sequence.frames]


def only_fault(folder: Path) -> str:
    """The one fault in a folder that has no good sequence."""
    faults: list[SequenceError] = []
    assert read_sequences(folder, faults) == []
    (fault,) = faults
    return str(fault)


# OTB ------------------------------------------------------------------------------------------


def write_otb(root: Path, name: str, frames: int, *truth: str, file: str = '') -> Path:
    folder = root / 'OTB' / name
    if not folder.exists():
        write_frames(folder / 'img', range(1, frames + 1), 4)
    write_text(folder / f'groundtruth_rect{file}.txt', *truth)
    return folder


@pytest.mark.parametrize('between', [',', '\t', ' ', ', ', '  '])
def test_otb_is_shifted_to_zero(tmp_path: Path, between: str) -> None:
    lines = [between.join(box) for box in ('1234', '2345')]
    sequence = read_sequence(write_otb(tmp_path, 'Car', 2, *lines))
    assert sequence.name == 'OTB/Car'
    np.testing.assert_array_equal(sequence.truth, [[0, 1, 3, 4], [1, 2, 4, 5]])


def test_otb_of_two_targets_is_two_sequences(tmp_path: Path) -> None:
    for file, box in (('.1', '1,1,3,4'), ('.2', '4,1,3,4')):
        write_otb(tmp_path, 'Jogging', 2, box, box, file=file)
    sequences = read_sequences(tmp_path)
    assert [s.name for s in sequences] == ['OTB/Jogging.1', 'OTB/Jogging.2']
    assert [s.truth[0, 0] for s in sequences] == [0, 3]


def test_one_of_two_targets_may_be_malformed(tmp_path: Path) -> None:
    write_otb(tmp_path, 'Human4', 2, '', file='.1')
    write_otb(tmp_path, 'Human4', 2, '1,1,3,4', '1,1,3,4', file='.2')
    faults: list[SequenceError] = []
    assert [s.name for s in read_sequences(tmp_path, faults)] == ['OTB/Human4.2']
    assert list(map(str, faults)) == ['OTB/Human4.1: its truth has no box']


def test_otb_with_truth_of_a_range_has_the_frames_of_the_range(tmp_path: Path) -> None:
    # truth was drawn for frames 300 to 770 of David: 471 lines
    write_otb(tmp_path, 'David', 770, *['1,1,3,4'] * 471)
    # and for the first 74 of Football1
    write_otb(tmp_path, 'Football1', 80, *['1,1,3,4'] * 74)
    david, football = read_sequences(tmp_path)
    assert (numbers(david)[0], numbers(david)[-1], len(david)) == (300, 770, 471)
    assert numbers(football) == list(range(1, 75))


def test_otb_of_another_count_is_malformed(tmp_path: Path) -> None:
    write_otb(tmp_path, 'Car', 4, *['1,1,3,4'] * 3)
    write_otb(tmp_path, 'David', 770, *['1,1,3,4'] * 470)
    write_otb(tmp_path, 'Diving', 100, *['1,1,3,4'] * 215)
    faults: list[SequenceError] = []
    assert read_sequences(tmp_path, faults) == []
    assert list(map(str, faults)) == [
        'OTB/Car: 4 frames, but 3 truth lines',
        'OTB/David: 471 frames, but 470 truth lines',
        'OTB/Diving: 100 of the 215 frames 1 to 215 in img/',
    ]


def test_tiger1_begins_at_its_sixth_frame(tmp_path: Path) -> None:
    boxes = [f'{number},1,3,4' for number in range(1, 8)]
    sequence = read_sequence(write_otb(tmp_path, 'Tiger1', 7, *boxes))
    assert numbers(sequence) == [6, 7]
    np.testing.assert_array_equal(sequence.truth, [[5, 0, 3, 4], [6, 0, 3, 4]])


def test_the_ranges_of_otb_are_as_long_as_its_truth() -> None:
    # lines of the benchmark's truth files
    lengths = {'David': 471, 'Diving': 215, 'Football1': 74, 'Freeman3': 460, 'Freeman4': 283}
    assert {name: last - first + 1 for name, (first, last) in otb.RANGES.items()} == lengths


def test_attributes_of_otb_lie_in_the_folder_or_in_a_list(tmp_path: Path) -> None:
    for name in ('Basketball', 'Car4', 'Dancer2', 'Skating2-1', 'Unknown'):
        write_otb(tmp_path, name, 1, '1,1,3,4')
    # As the toolkit has them: with another case, a space that went astray, a comma too many.
    listed = 'BasketBall\tIV, OCC, DEF', 'Car4\tIV ,SV', 'Dancer2\tDEF,', 'Skating2\tFM'
    write_text(tmp_path / 'OTB/attr_list.txt', *listed)
    write_text(tmp_path / 'OTB/Dancer2/attrs.txt', 'LR, BC')
    assert {s.name: s.attributes for s in read_sequences(tmp_path)} == {
        'OTB/Basketball': {'IV', 'OCC', 'DEF'},
        'OTB/Car4': {'IV', 'SV'},
        'OTB/Dancer2': {'LR', 'BC'},
        'OTB/Skating2.1': {'FM'},
        'OTB/Unknown': frozenset(),
    }


def test_an_unknown_attribute_of_otb_is_said(tmp_path: Path) -> None:
    write_text(write_otb(tmp_path, 'Car', 1, '1,1,3,4') / 'attrs.txt', 'IV, 1, OCC')
    assert only_fault(tmp_path) == (
        'OTB/Car: attrs.txt: "1" is no attribute; these are '
        'IV, SV, OCC, DEF, MB, FM, IPR, OPR, OV, BC, LR'
    )


def test_targets_of_otb_that_have_a_folder_each_are_named_alike(tmp_path: Path) -> None:
    for name in ('Jogging-1', 'Jogging-2', 'Skating2-1', 'Skating2-2', 'Human4-2', 'Human-2'):
        write_otb(tmp_path, name, 1, '1,1,3,4')
    assert [s.name.removeprefix('OTB/') for s in read_sequences(tmp_path)] == [
        'Human-2', 'Human4.2', 'Jogging.1', 'Jogging.2', 'Skating2.1', 'Skating2.2',
    ]  # fmt: skip


# VOT ------------------------------------------------------------------------------------------


@pytest.mark.parametrize('frames', ['ball', 'ball/color'])
def test_vot_of_polygons(tmp_path: Path, frames: str) -> None:
    write_frames(tmp_path / 'VOT' / frames, range(1, 4))
    lines = ['4,0,8,3,4,6,0,3', 'nan,nan,nan,nan', '1,2,3,4']
    write_text(tmp_path / 'VOT/ball/groundtruth.txt', *lines)
    write_text(tmp_path / 'VOT/list.txt', 'ball')
    (sequence,) = read_sequences(tmp_path / 'VOT')
    assert sequence.name == 'VOT/ball'
    np.testing.assert_array_equal(sequence.truth, [[0, 0, 8, 6], ABSENT, [1, 2, 3, 4]])
    assert sequence.corners is not None
    np.testing.assert_array_equal(sequence.corners[0], [4, 0, 8, 3, 4, 6, 0, 3])
    assert sequence.masks is None


def test_vot_of_boxes_has_no_corners(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / 'VOT/ball', range(1, 3))
    write_text(folder / 'groundtruth.txt', '1,2,3,4', '2,2,3,4')
    assert read_sequence(folder).corners is None


def test_vot_of_masks(tmp_path: Path) -> None:
    folder = tmp_path / 'VOT/ball'
    write_frames(folder / 'color', range(1, 5))
    # Of the 8 x 6 image the part at 2, 1 of 3 x 2 pixels: 1 out, 2 in, 1 out, 2 in, so
    #   . # #
    #   . # #   the first column is empty: the box is 3, 1, 2, 2
    # Then the part at 6, 4 of 4 x 4, all in: 2 x 2 of it lie within the image, but the box is
    # as drawn. Then at -1, 0, of 2 x 1: one pixel in the image. Then none.
    lines = ['m2,1,3,2,1,2,1,2', 'm6,4,4,4,0,16', 'm-1,0,2,1,0,2', 'm0,0,0,0,0']
    write_text(folder / 'groundtruth.txt', *lines)
    sequence = read_sequence(folder)
    boxes = [[3, 1, 2, 2], [6, 4, 4, 4], [-1, 0, 2, 1], ABSENT]
    np.testing.assert_array_equal(sequence.truth, boxes)
    expected = np.zeros((4, 6, 8), np.uint8)
    expected[0, 1:3, 3:5] = 255
    expected[1, 4:, 6:] = 255
    expected[2, 0, 0] = 255
    for index in range(4):
        mask = sequence.mask(index)
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, expected[index])


@pytest.mark.parametrize(
    'line',
    [
        'm2,1,3,2,1,2,1',  # 4 of 6 pixels
        'm2,1,3,2,1,2,1,3',  # 7 of 6 pixels
        'm2,1,3,2,1,-2,7',
        'm0,0,-2,-3,0,6',
        'm2,1,3',
        'm2,1,3,2,x',
        '2,1,3,2',
    ],
)
def test_vot_of_unreadable_masks(tmp_path: Path, line: str) -> None:
    folder = write_frames(tmp_path / 'VOT/ball', range(1, 3))
    write_text(folder / 'groundtruth.txt', 'm2,1,3,2,0,6', line)
    with pytest.raises(SequenceError, match=f'^VOT/ball: mask 2: "{line}" is no mask$'):
        read_sequence(folder)


def test_the_tags_of_vot_are_attributes(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / 'VOT/ball', range(1, 3))
    write_text(folder / 'groundtruth.txt', '1,2,3,4', '1,2,3,4')
    write_text(folder / 'occlusion.tag', '0', '1')
    write_text(folder / 'camera_motion.label', '1', '0')
    write_text(folder / 'size_change.tag', '0', '0')
    assert read_sequence(folder).attributes == {'occlusion', 'camera_motion'}


@pytest.mark.parametrize(
    ('frames', 'fault'),
    [
        (range(0), 'no images in color/'),
        (range(1, 2), '1 frames, but 2 truth lines'),
        (range(1, 6, 2), '2 missing in ball/, the first is 2'),
    ],
)
def test_vot_without_its_frames(tmp_path: Path, frames: range, fault: str) -> None:
    folder = write_frames(tmp_path / 'VOT/ball', frames)
    write_text(folder / 'groundtruth.txt', '1,2,3,4', '1,2,3,4')
    assert only_fault(tmp_path) == f'VOT/ball: {fault}'


# UAV123 ---------------------------------------------------------------------------------------


def test_uav123(tmp_path: Path) -> None:
    root = tmp_path / 'UAV'
    write_frames(root / 'data_seq/UAV123/boat1', range(1, 4), 6)
    write_text(root / 'anno/UAV123/boat1.txt', '1,2,3,4', 'NaN,NaN,NaN,NaN', '2,2,3,4')
    # SV, ARC, LR, FM, FOC, POC, OV, BC, IV, VC, CM, SOB
    write_text(root / 'anno/UAV123/att/boat1.txt', '1,0,0,0,0,1,0,0,0,0,0,1')
    (sequence,) = read_sequences(tmp_path)
    assert sequence.name == 'UAV123/boat1'
    np.testing.assert_array_equal(sequence.truth, [[0, 1, 3, 4], ABSENT, [1, 1, 3, 4]])
    assert sequence.attributes == {'SV', 'POC', 'SOB'}


def test_parts_of_a_uav123_video_have_their_frames(tmp_path: Path) -> None:
    write_frames(tmp_path / 'data_seq/UAV123/person8', range(1, 1526), 6)
    # frames 1075 to 1525 are the second part: 451; the long video is all of it
    write_text(tmp_path / 'anno/UAV123/person8_2.txt', *['1,2,3,4'] * 451)
    write_text(tmp_path / 'anno/UAV20L/person8.txt', *['1,2,3,4'] * 1525)
    part, long = read_sequences(tmp_path)
    assert (part.name, long.name) == ('UAV123/person8_2', 'UAV20L/person8')
    assert numbers(part) == list(range(1075, 1526))
    assert numbers(long) == list(range(1, 1526))
    assert part.attributes == frozenset()


def test_malformed_uav123(tmp_path: Path) -> None:
    write_frames(tmp_path / 'data_seq/UAV123/person8', range(1, 1000), 6)
    write_text(tmp_path / 'anno/UAV123/bird1_1.txt', *['1,2,3,4'] * 253)
    write_text(tmp_path / 'anno/UAV123/boat1.txt', '1,2,3,4')
    write_text(tmp_path / 'anno/UAV123/person8.txt', *['1,2,3,4'] * 999)
    write_text(tmp_path / 'anno/UAV123/att/person8.txt', '1,0,0')
    write_text(tmp_path / 'anno/UAV123/person8_1.txt', *['1,2,3,4'] * 1075)
    faults: list[SequenceError] = []
    assert read_sequences(tmp_path, faults) == []
    assert list(map(str, faults)) == [
        'UAV123/bird1_1: no images in bird1/',
        'UAV123/boat1: no images in boat1/',
        'UAV123/person8: person8.txt:1: 3 numbers, not 12',
        'UAV123/person8_1: 999 of the 1075 frames 1 to 1075 in person8/',
    ]


def test_the_parts_of_uav123_are_in_order() -> None:
    for parts in uav123.PARTS.values():
        assert parts[0][0] == 1
        assert all(first < last for first, last in parts)
        assert all(a[1] <= b[0] for a, b in pairwise(parts))


# LaSOT ----------------------------------------------------------------------------------------


def write_lasot(root: Path, hidden: str = '0,0,1,0', outside: str = '0,0,0,1') -> Path:
    folder = root / 'LaSOT/cat/cat-3'
    write_frames(folder / 'img', range(1, 5))
    write_text(folder / 'groundtruth.txt', '1,2,3,4', '5,6,7,-8', '1,2,3,4', '0,0,0,0')
    write_text(folder / 'full_occlusion.txt', hidden)
    write_text(folder / 'out_of_view.txt', outside)
    return folder


@pytest.mark.parametrize('depth', ['', 'LaSOT', 'LaSOT/cat', 'LaSOT/cat/cat-3'])
def test_lasot(tmp_path: Path, depth: str) -> None:
    write_lasot(tmp_path)
    # IV, POC, DEF, MB, CM, ROT, BC, VC, SV, FOC, FM, OV, LR, ARC
    write_text(tmp_path / 'LaSOT/att/cat-3.txt', '0,1,0,0,0,0,0,0,0,0,0,0,0,1')
    (sequence,) = read_sequences(tmp_path / depth)
    assert sequence.name == 'cat/cat-3'
    # the second has no area, the third is hidden, the fourth out of view
    np.testing.assert_array_equal(sequence.truth, [[0, 1, 3, 4], ABSENT, ABSENT, ABSENT])
    assert sequence.attributes == {'POC', 'ARC'}


@pytest.mark.parametrize(
    ('hidden', 'outside', 'fault'),
    [
        ('0,0,1', '0,0,0,1', '4 truth lines, but 3 flags in full_occlusion.txt'),
        ('0,0,1,0', '0,0,0,x', 'out_of_view.txt is not numbers'),
        ('1,1,1,1', '0,0,0,0', 'its truth has no box'),
    ],
)
def test_malformed_lasot(tmp_path: Path, hidden: str, outside: str, fault: str) -> None:
    write_lasot(tmp_path, hidden, outside)
    assert only_fault(tmp_path) == f'cat/cat-3: {fault}'


def test_lasot_needs_both_flags(tmp_path: Path) -> None:
    (write_lasot(tmp_path) / 'out_of_view.txt').unlink()
    assert only_fault(tmp_path).startswith('cat/cat-3: out_of_view.txt cannot be read')


# GOT-10k --------------------------------------------------------------------------------------


def write_got10k(root: Path) -> Path:
    folder = write_frames(root / 'val/GOT-10k_Val_000001', range(1, 5))
    write_text(root / 'val/list.txt', folder.name)
    write_text(
        folder / 'groundtruth.txt', '1.5,2,3,4', '-1,-1,-1,-1', '2,2,3,4', '3.0000,2.0,3,4.0'
    )
    write_text(folder / 'absence.label', '0', '1', '0', '0')
    write_text(folder / 'cover.label', '8', '0', '0', '5')
    write_text(folder / 'meta_info.ini', '[METAINFO]', 'url: somewhere')
    return folder


def test_got10k(tmp_path: Path) -> None:
    write_got10k(tmp_path)
    (sequence,) = read_sequences(tmp_path)
    assert sequence.name == 'val/GOT-10k_Val_000001'
    # absent in the second, wholly covered in the third
    np.testing.assert_array_equal(sequence.truth, [[0.5, 1, 3, 4], ABSENT, ABSENT, [2, 1, 3, 4]])


def test_the_test_split_of_got10k_is_named(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / 'test/GOT-10k_Test_000001', range(1, 5))
    write_text(folder / 'groundtruth.txt', '1,2,3,4')
    assert only_fault(tmp_path) == (
        'test/GOT-10k_Test_000001: 4 frames, but only the first has a truth: '
        'a test split, which only its benchmark can score'
    )


def test_malformed_got10k(tmp_path: Path) -> None:
    folder = write_got10k(tmp_path)
    write_text(folder / 'absence.label', '0', '1')
    assert only_fault(tmp_path) == f'val/{folder.name}: 4 truth lines, but 2 flags in absence.label'
    write_text(folder / 'absence.label', '0', '1', '0', '0')
    write_text(folder / 'groundtruth.txt', *['1,2,3,inf'] * 4)
    assert only_fault(tmp_path) == f'val/{folder.name}: groundtruth.txt:1: "1,2,3,inf" is no box'


# TLD ------------------------------------------------------------------------------------------


def test_tld(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / 'TLD/06_car', range(1, 4), 5)
    write_text(folder / 'gt.txt', '1,2,3,5', 'NaN,NaN,NaN,NaN', '2,2,2,2')
    write_text(folder / 'init.txt', '1,2,3,5')
    (sequence,) = read_sequences(tmp_path)
    assert sequence.name == 'TLD/06_car'
    # pixels 1 to 3 and 2 to 5, counted from 1, are three columns from 0 and four rows from 1
    np.testing.assert_array_equal(sequence.truth, [[0, 1, 3, 4], ABSENT, [1, 1, 1, 1]])


@pytest.mark.parametrize(
    ('line', 'fault'),
    [
        ('4,2,3,5', 'gt.txt:2: "4,2,3,5" is no box'),
        ('1,2,3', 'gt.txt:2: 3 numbers, not 4'),
        ('1,2,3,4\n1,2,3,4', '2 frames, but 3 truth lines'),
    ],
)
def test_malformed_tld(tmp_path: Path, line: str, fault: str) -> None:
    folder = write_frames(tmp_path / 'TLD/06_car', range(1, 3), 5)
    write_text(folder / 'gt.txt', '1,2,3,5', line)
    assert only_fault(tmp_path) == f'TLD/06_car: {fault}'


# NFS ------------------------------------------------------------------------------------------


def write_nfs(root: Path, rate: str, frames: int, *lines: str, name: str = 'ball') -> Path:
    folder = root / 'Nfs' / name
    write_frames(folder / rate / name, range(1, frames + 1), 5)
    write_text(folder / rate / f'{name}.txt', *lines)
    return folder


def nfs_line(number: int, *, left: float = 1) -> str:
    return f'0 {left + number} 2 {left + number + 4} 5 {number} 0 0 1 "a ball"'


def test_nfs_has_corners_and_a_label(tmp_path: Path) -> None:
    write_nfs(tmp_path, '240', 3, *(nfs_line(n) for n in range(3)))
    (sequence,) = read_sequences(tmp_path)
    assert sequence.name == 'Nfs/ball.240'
    np.testing.assert_array_equal(sequence.truth, [[1, 2, 4, 3], [2, 2, 4, 3], [3, 2, 4, 3]])


def test_nfs_at_the_lower_rate_takes_every_eighth_line(tmp_path: Path) -> None:
    write_nfs(tmp_path, '30', 3, *(nfs_line(n) for n in range(22)))
    write_nfs(tmp_path, '30', 3, *(nfs_line(n) for n in range(3)), name='cup')
    ball, cup = read_sequences(tmp_path)
    assert (ball.name, cup.name) == ('Nfs/ball.30', 'Nfs/cup.30')
    np.testing.assert_array_equal(ball.truth[:, 0], [1, 9, 17])
    np.testing.assert_array_equal(cup.truth[:, 0], [1, 2, 3])


@pytest.mark.parametrize(('frames', 'lines'), [(4, 3), (3, 4)])
def test_nfs_may_have_one_frame_or_line_too_many(tmp_path: Path, frames: int, lines: int) -> None:
    write_nfs(tmp_path, '240', frames, *(nfs_line(n) for n in range(lines)))
    (sequence,) = read_sequences(tmp_path)
    assert len(sequence) == 3
    assert len(sequence.truth) == 3


def test_nfs_is_read_as_its_toolkit_reads_it(tmp_path: Path) -> None:
    datasets = pytest.importorskip('got10k.datasets')
    lines = [nfs_line(n, left=n % 5).replace('"a ball"', '"ball"') for n in range(33)]
    write_nfs(tmp_path, '30', 4, *lines)
    frames, truth = datasets.NfS(str(tmp_path / 'Nfs'), fps=30)[0]
    (sequence,) = read_sequences(tmp_path)
    assert [str(frame) for frame in sequence.frames] == frames
    np.testing.assert_array_equal(sequence.truth, truth)


@pytest.mark.parametrize('line', ['', '0 1 2 3', '0 a 2 3 4 5', '0 1 2 inf 4 5'])
def test_a_line_of_nfs_that_is_no_box_is_named(tmp_path: Path, line: str) -> None:
    write_nfs(tmp_path, '240', 3, nfs_line(0), line, nfs_line(2))
    assert only_fault(tmp_path).startswith(f'Nfs/ball.240: ball.txt:2: "{line}" is no box')


# DAVIS ----------------------------------------------------------------------------------------


# The palette of Pascal VOC, BGR, as its development kit lists it.
PALETTE = {
    0: (0, 0, 0),
    1: (0, 0, 128),
    2: (0, 128, 0),
    3: (0, 128, 128),
    4: (128, 0, 0),
    8: (0, 0, 64),
    15: (128, 128, 192),
    20: (128, 64, 0),
    255: (192, 224, 224),
}


Write = Callable[[Path, NDArray[np.uint8]], object]


def write_grey(path: Path, labels: NDArray[np.uint8]) -> None:
    cv2.imwrite(str(path), labels)


def write_indexed(
    path: Path,
    labels: NDArray[np.uint8],
    colours: dict[int, tuple[int, int, int]] = PALETTE,
    bits: int = 8,
) -> None:
    """A PNG of indices and a palette, as DAVIS has them; OpenCV cannot write one.

    Each number of `labels` holds 8 / `bits` indices.
    """
    palette = np.zeros((1 << bits, 3), np.uint8)
    for label, colour in colours.items():
        if label < len(palette):
            palette[label] = colour[::-1]
    height, width = labels.shape
    rows = b''.join(b'\0' + row.tobytes() for row in labels)
    chunks = (
        (b'IHDR', struct.pack('>IIBBBBB', width * 8 // bits, height, bits, 3, 0, 0, 0)),
        (b'PLTE', palette.tobytes()),
        (b'IDAT', zlib.compress(rows)),
        (b'IEND', b''),
    )
    path.write_bytes(
        b'\x89PNG\r\n\x1a\n'
        + b''.join(
            struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
            for kind, data in chunks
        )
    )


def write_davis(
    root: Path, name: str, *masks: NDArray[np.uint8], frames: int = 0, write: Write = write_grey
) -> None:
    write_frames(root / 'JPEGImages/480p' / name, range(frames or len(masks)), 5)
    folder = root / 'Annotations/480p' / name
    folder.mkdir(parents=True)
    for number, mask in enumerate(masks):
        write(folder / f'{number:05}.png', mask)


def write_colours(path: Path, labels: NDArray[np.uint8]) -> None:
    """The colours of the palette, and no palette."""
    image = np.zeros((*labels.shape, 3), np.uint8)
    for label, colour in PALETTE.items():
        image[labels == label] = colour
    cv2.imwrite(str(path), image)


@pytest.mark.parametrize('write', [write_indexed, write_grey, write_colours])
def test_labels_are_read(tmp_path: Path, write: Write) -> None:
    labels = np.array([list(PALETTE)], np.uint8)
    write(tmp_path / 'a.png', labels)
    np.testing.assert_array_equal(read_labels(tmp_path / 'a.png'), labels)


@pytest.mark.parametrize('bits', [1, 2, 4])
def test_labels_of_few_bits_are_read(tmp_path: Path, bits: int) -> None:
    row = np.arange(16, dtype=np.uint8) % (1 << bits)
    each = np.unpackbits(row[:, None], axis=1)[:, 8 - bits :]
    write_indexed(tmp_path / 'a.png', np.packbits(each)[None], bits=bits)
    np.testing.assert_array_equal(read_labels(tmp_path / 'a.png'), [row])


@pytest.mark.parametrize('end', [26, 40, 0.5, 0.8])
def test_indices_that_are_cut_off_are_refused_quietly(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], end: float
) -> None:
    path = tmp_path / 'a.png'
    write_indexed(path, np.arange(256, dtype=np.uint8).reshape(16, 16))
    data = path.read_bytes()
    path.write_bytes(data[: round(end * len(data)) if isinstance(end, float) else end])
    with pytest.raises(SequenceError, match='a.png cannot be read as an image'):
        read_labels(path)
    assert capfd.readouterr().err == ''


def test_white_is_one_label_however_it_is_written(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((1, 1, 4), 255, np.uint8))
    assert read_labels(tmp_path / 'a.png') == [[255]]


def test_davis_of_one_object(tmp_path: Path) -> None:
    mask = np.zeros((6, 8), np.uint8)
    mask[1:4, 2:7] = 255
    write_davis(tmp_path / 'DAVIS', 'swan', mask, np.zeros_like(mask), mask)
    (sequence,) = read_sequences(tmp_path)
    assert sequence.name == 'DAVIS/swan'
    np.testing.assert_array_equal(sequence.truth, [[2, 1, 5, 3], ABSENT, [2, 1, 5, 3]])
    np.testing.assert_array_equal(sequence.mask(0), mask)
    assert not sequence.mask(1).any()


@pytest.mark.parametrize('write', [write_indexed, write_grey])
def test_davis_of_several_objects(tmp_path: Path, write: Write) -> None:
    labels = np.zeros((6, 8), np.uint8)
    labels[1:4, 2:4] = 1
    labels[0, 5:7] = 3
    labels[5] = 255  # void
    later = np.where(labels == 1, labels, 0).astype(np.uint8)
    write_davis(tmp_path / 'DAVIS', 'pigs', labels, later, write=write)
    first, third = read_sequences(tmp_path)
    assert (first.name, third.name) == ('DAVIS/pigs.1', 'DAVIS/pigs.3')
    np.testing.assert_array_equal(first.truth, [[2, 1, 2, 3], [2, 1, 2, 3]])
    np.testing.assert_array_equal(third.truth, [[5, 0, 2, 1], ABSENT])
    np.testing.assert_array_equal(first.mask(0), (labels == 1) * 255)
    np.testing.assert_array_equal(third.mask(0), (labels == 3) * 255)
    assert first.mask(0).dtype == np.uint8


def test_malformed_davis(tmp_path: Path) -> None:
    root = tmp_path / 'DAVIS'
    mask = np.full((6, 8), 255, np.uint8)
    write_davis(root, 'damaged', mask)
    (root / 'Annotations/480p/damaged/00000.png').write_bytes(b'none')
    write_davis(root, 'empty', 0 * mask, 0 * mask)
    write_davis(root, 'test-dev', mask, frames=3)
    write_frames(root / 'JPEGImages/480p/unmarked', range(2), 5)
    faults: list[SequenceError] = []
    assert read_sequences(tmp_path, faults) == []
    assert list(map(str, faults)) == [
        'DAVIS/damaged: 00000.png cannot be read as an image',
        'DAVIS/empty: its masks are empty',
        'DAVIS/test-dev: 3 frames, but 1 masks',
        'DAVIS/unmarked: no images in unmarked/',
    ]


# YouTube-VOS ----------------------------------------------------------------------------------

# The first colours of its palette, BGR.
OTHER_PALETTE = {1: (103, 95, 236), 2: (87, 145, 249), 3: (99, 200, 250)}


def write_other(path: Path, labels: NDArray[np.uint8]) -> None:
    write_indexed(path, labels, OTHER_PALETTE)


def write_youtube_vos(
    root: Path,
    name: str,
    *masks: NDArray[np.uint8],
    numbers: range,
    split: str = 'train',
    write: Write = write_other,
) -> None:
    """A video of these frames; the masks are of frames 0, 5, 10 ..."""
    write_frames(root / split / 'JPEGImages' / name, numbers, 5)
    folder = root / split / 'Annotations' / name
    folder.mkdir(parents=True)
    for number, mask in enumerate(masks):
        write(folder / f'{5 * number:05}.png', mask)


@pytest.mark.parametrize('every', [1, 5])
def test_youtube_vos_has_the_annotated_frames(tmp_path: Path, every: int) -> None:
    first = np.zeros((6, 8), np.uint8)
    first[1:4, 2:4] = 1
    both = first.copy()
    both[4:6, 5:8] = 3
    write_youtube_vos(tmp_path, '0a1b', first, both, numbers=range(0, 10, every))
    one, other = read_sequences(tmp_path)
    assert (one.name, other.name) == ('train/0a1b.1', 'train/0a1b.3')
    assert numbers(one) == numbers(other) == [0, 5]
    np.testing.assert_array_equal(one.truth, [[2, 1, 2, 3], [2, 1, 2, 3]])
    np.testing.assert_array_equal(other.truth, [ABSENT, [5, 4, 3, 2]])
    np.testing.assert_array_equal(other.mask(1), (both == 3) * 255)


def test_malformed_youtube_vos(tmp_path: Path) -> None:
    mask = np.ones((6, 8), np.uint8)
    write_youtube_vos(tmp_path, 'hidden', mask, numbers=range(0, 30, 5), split='valid')
    write_youtube_vos(tmp_path, 'lost', mask, mask, numbers=range(0, 5, 5))
    write_youtube_vos(tmp_path, 'unmarked', numbers=range(0, 5, 5))
    faults: list[SequenceError] = []
    assert read_sequences(tmp_path, faults) == []
    assert list(map(str, faults)) == [
        'train/lost: frame 5 is annotated, but not there',
        'train/unmarked: no images in unmarked/',
        'valid/hidden: 6 frames, but 1 annotated: a test split, which only its benchmark can score',
    ]


# TrackingNet ----------------------------------------------------------------------------------


@pytest.mark.parametrize('depth', ['', 'TrackingNet', 'TrackingNet/TRAIN_0'])
def test_trackingnet(tmp_path: Path, depth: str) -> None:
    chunk = tmp_path / 'TrackingNet/TRAIN_0'
    write_frames(chunk / 'frames/-a_0', range(11), 0)
    write_text(chunk / 'anno/-a_0.txt', '0.5,0,3,4', '0,0,0,0', *['2,1,3,4'] * 9)
    (sequence,) = read_sequences(tmp_path / depth)
    assert sequence.name == 'TRAIN_0/-a_0'
    assert numbers(sequence) == list(range(11))
    np.testing.assert_array_equal(sequence.truth[:3], [[0.5, 0, 3, 4], ABSENT, [2, 1, 3, 4]])
    assert sequence.masks is None


def test_malformed_trackingnet(tmp_path: Path) -> None:
    write_frames(tmp_path / 'TEST/frames/b', range(3), 0)
    write_text(tmp_path / 'TEST/anno/b.txt', '1,1,3,4')
    write_text(tmp_path / 'TEST/anno/zipped.txt', '1,1,3,4')
    faults: list[SequenceError] = []
    assert read_sequences(tmp_path, faults) == []
    assert list(map(str, faults)) == [
        'TEST/b: 3 frames, but only the first has a truth: '
        'a test split, which only its benchmark can score',
        'TEST/zipped: no images in zipped/',
    ]


# COCO -----------------------------------------------------------------------------------------

# Columns 2 to 5 and rows 1 to 3.
SQUARE = [2, 1, 6, 1, 6, 4, 2, 4]
THINGS = [
    {'id': 1, 'image_id': 9, 'iscrowd': 0, 'bbox': [2, 1, 4, 3], 'segmentation': [SQUARE]},
    # three columns of 6 pixels and 2 more outside, 2 inside
    {'id': 2, 'image_id': 9, 'iscrowd': 0, 'bbox': [3, 2, 1, 2],
     'segmentation': {'counts': [20, 2, 26], 'size': [6, 8]}},
    {'id': 3, 'image_id': 9, 'iscrowd': 1, 'bbox': [0, 0, 8, 6],
     'segmentation': {'counts': [0, 48], 'size': [6, 8]}},
    {'id': 4, 'image_id': 9, 'iscrowd': 0, 'bbox': [0, 0, 8, 0.5], 'segmentation': [[0, 0, 8, 0]]},
    {'id': 5, 'image_id': 9, 'iscrowd': 0, 'bbox': [1.5, 0, 3, 2], 'segmentation': []},
    {'id': 6, 'image_id': 9, 'iscrowd': 0, 'bbox': [0, 0, 8, 6],
     'segmentation': [SQUARE, [7, 0, 8, 0, 8, 2, 7, 2], [2, 1, 4, 1, 4, 4, 2, 4]]},
]  # fmt: skip


def write_coco(root: Path, things: object = THINGS, images: str = 'val2017') -> None:
    """One picture with objects and one without."""
    write_frames(root / images, range(9, 11), 12)
    pictures = [
        {'id': number, 'file_name': f'{number:012}.jpg', 'height': 6, 'width': 8}
        for number in (9, 10)
    ]
    content = {'info': {'year': 2017}, 'images': pictures, 'annotations': things}
    write_text(root / 'annotations/instances_val2017.json', json.dumps(content))


@pytest.mark.parametrize('images', ['val2017', 'images/val2017'])
def test_coco(tmp_path: Path, images: str) -> None:
    write_coco(tmp_path / 'COCO', images=images)
    polygon, runs, box, several = read_sequences(tmp_path)
    assert polygon.name == 'val2017/000000000009.1'
    assert [s.name[-2:] for s in (runs, box, several)] == ['.2', '.5', '.6']
    assert polygon.frame(0).shape == (6, 8, 3)
    np.testing.assert_array_equal(polygon.truth, [[2, 1, 4, 3]])
    square = np.zeros((6, 8), np.uint8)
    square[1:4, 2:6] = 255
    np.testing.assert_array_equal(polygon.mask(0), square)
    column = np.zeros((6, 8), np.uint8)
    column[2:4, 3] = 255
    np.testing.assert_array_equal(runs.mask(0), column)
    np.testing.assert_array_equal(box.truth, [[1.5, 0, 3, 2]])
    assert box.masks is None
    square[0:2, 7] = 255
    np.testing.assert_array_equal(several.mask(0), square)


def test_a_polygon_has_the_pixels_whose_centres_it_covers() -> None:
    outline = np.array([[1.3, 0.7], [4.7, 0.7], [4.7, 3.3], [1.3, 3.3]], np.float32)
    mask = Polygons((outline,), (5, 6))[0]
    np.testing.assert_array_equal(np.argwhere(mask), [[r, c] for r in (1, 2) for c in (1, 2, 3, 4)])


@pytest.mark.parametrize(
    ('things', 'fault'),
    [
        ([{'id': 1, 'bbox': [0, 0, 2, 2]}], r"\(KeyError: 'image_id'\)"),
        (
            [{'id': 1, 'image_id': 9, 'bbox': [0, 0, 2, 2], 'segmentation': {'counts': 'aB3'}}],
            r'\(ValueError: .*aB3.*\)',
        ),
        (7, r'\(TypeError: .*\)'),
    ],
)
def test_malformed_coco(tmp_path: Path, things: object, fault: str) -> None:
    write_coco(tmp_path, things)
    said = rf'annotations/instances_val2017.json: it holds no instances of COCO {fault}'
    assert re.fullmatch(said, only_fault(tmp_path))


def test_runs_must_fill_the_picture(tmp_path: Path) -> None:
    for counts in ([20, 2, 27], [20, -2, 30]):
        mask = ColumnRuns(np.array(counts, np.int32), (6, 8))
        with pytest.raises(SequenceError, match='the runs of its mask do not fill 8 x 6 pixels'):
            mask[0]


# All ------------------------------------------------------------------------------------------


def test_a_folder_may_hold_several_benchmarks(tmp_path: Path) -> None:
    write_otb(tmp_path, 'Car', 1, '1,1,3,4')
    write_lasot(tmp_path)
    write_got10k(tmp_path / 'GOT-10k')
    write_davis(tmp_path / 'DAVIS', 'swan', np.full((6, 8), 255, np.uint8))
    write_frames(tmp_path / 'UAV/data_seq/UAV123/boat1', range(1, 2), 6)
    write_text(tmp_path / 'UAV/anno/UAV123/boat1.txt', '1,2,3,4')
    write_youtube_vos(
        tmp_path / 'YouTube-VOS', 'c', np.ones((6, 8), np.uint8), numbers=range(0, 5, 5)
    )
    write_coco(tmp_path / 'COCO', THINGS[:1])
    write_frames(tmp_path / 'TrackingNet/TRAIN_3/frames/d', range(1), 0)
    write_text(tmp_path / 'TrackingNet/TRAIN_3/anno/d.txt', '1,2,3,4')
    assert [s.name for s in read_sequences(tmp_path)] == [
        'DAVIS/swan',
        'OTB/Car',
        'TRAIN_3/d',
        'UAV123/boat1',
        'cat/cat-3',
        'train/c',
        'val/GOT-10k_Val_000001',
        'val2017/000000000009.1',
    ]


def test_ilsvrc_vid_has_an_object_a_track(tmp_path: Path) -> None:
    name = Path('train') / 'ILSVRC2015_VID_train_0000' / 'ILSVRC2015_train_00000001'
    images = tmp_path / 'Data' / 'VID' / name
    truth = tmp_path / 'Annotations' / 'VID' / name
    images.mkdir(parents=True)
    truth.mkdir(parents=True)
    thing = (
        '<object><trackid>{}</trackid><bndbox><xmax>{}</xmax><xmin>{}</xmin><ymax>{}</ymax>'
        '<ymin>{}</ymin></bndbox></object>'
    )
    shown = [[(0, 50, 10, 40, 20)], [(0, 52, 12, 41, 21), (3, 99, 90, 9, 1)], []]
    for number, things in enumerate(shown):
        cv2.imwrite(str(images / f'{number:06}.JPEG'), np.zeros((60, 100, 3), np.uint8))
        text = ''.join(thing.format(*one) for one in things)
        (truth / f'{number:06}.xml').write_text(f'<annotation>{text}</annotation>')
    one, other = read_sequences(tmp_path)
    assert one.name.endswith('/ILSVRC2015_train_00000001.1')
    np.testing.assert_array_equal(one.truth[:2], [[10, 20, 40, 20], [12, 21, 40, 20]])
    assert np.isnan(one.truth[2]).all()
    np.testing.assert_array_equal(other.truth[1], [90, 1, 9, 8])
    (truth / '000001.xml').write_text('<annotation')
    with pytest.raises(SequenceError, match='000001.xml is no annotation'):
        read_sequences(tmp_path)
