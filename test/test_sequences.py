"""The reader of sequences: what it reads, and what it says about malformed ones."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from memtrack_ros.data.sequences import read_sequence, read_sequences
from memtrack_ros.errors import SequenceError

LINES = ['1,2,3,4', 'nan,nan,nan,nan', '2,2,3,4']


def write(root: Path, name: str = 'SET/one', lines: list[str] = LINES, masks: int = 0) -> Path:
    """A sequence of black frames, 8 x 6 pixels; frame n has the grey value 10 n."""
    folder = root / name
    (folder / 'img').mkdir(parents=True)
    for number in range(1, len(lines) + 1):
        image = np.full((6, 8, 3), 10 * number, np.uint8)
        cv2.imwrite(str(folder / 'img' / f'{number:06}.jpg'), image)
    if masks:
        (folder / 'mask').mkdir()
    for number in range(1, masks + 1):
        mask = np.zeros((6, 8), np.uint8)
        mask[2:4, 1:number] = 255
        cv2.imwrite(str(folder / 'mask' / f'{number:06}.png'), mask)
    (folder / 'groundtruth.txt').write_text('\n'.join(lines) + '\n')
    return folder


def test_a_sequence_is_read(tmp_path: Path) -> None:
    sequence = read_sequence(write(tmp_path))
    assert sequence.name == 'SET/one'
    assert len(sequence) == 3
    assert [path.name for path in sequence.frames] == ['000001.jpg', '000002.jpg', '000003.jpg']
    np.testing.assert_array_equal(sequence.truth, [[1, 2, 3, 4], [np.nan] * 4, [2, 2, 3, 4]])
    assert sequence.masks is sequence.corners is None
    assert sequence.attributes == frozenset()
    frame = sequence.frame(1)
    assert frame.shape == (6, 8, 3)
    assert frame.dtype == np.uint8
    assert abs(frame.mean() - 20) < 2


def test_rotated_truth_becomes_its_bounds(tmp_path: Path) -> None:
    lines = ['4,0,8,3,4,6,0,3', 'nan,nan,nan,nan,nan,nan,nan,nan', '2,2,3,4']
    sequence = read_sequence(write(tmp_path, lines=lines))
    np.testing.assert_array_equal(sequence.truth, [[0, 0, 8, 6], [np.nan] * 4, [2, 2, 3, 4]])
    # the corners of the box 2,2,3,4 are the edges of its extent, clockwise from the top left
    assert sequence.corners is not None
    np.testing.assert_array_equal(
        sequence.corners, [[4, 0, 8, 3, 4, 6, 0, 3], [np.nan] * 8, [2, 2, 5, 2, 5, 6, 2, 6]]
    )


def test_masks_are_read(tmp_path: Path) -> None:
    sequence = read_sequence(write(tmp_path, masks=3))
    assert sequence.masks is not None
    mask = sequence.mask(2)
    assert mask.shape == (6, 8)
    assert mask.sum() == 255 * 4


def test_frames_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = write(tmp_path)
    for number in (1, 2, 3):
        path = folder / 'img' / f'{number:06}.jpg'
        path.rename(folder / 'img' / f'{number + 8}.jpg')
    names = [path.name for path in read_sequence(folder).frames]
    assert names == ['9.jpg', '10.jpg', '11.jpg']


@pytest.mark.parametrize('depth', ['', 'SET', 'SET/one'])
def test_a_folder_may_be_all_sets_one_set_or_one_sequence(tmp_path: Path, depth: str) -> None:
    write(tmp_path, 'SET/one')
    assert [s.name for s in read_sequences(tmp_path / depth)] == ['SET/one']


def test_a_relative_folder_has_its_name_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write(tmp_path))
    assert [s.name for s in read_sequences(Path())] == ['SET/one']


def without_frame_two(folder: Path) -> None:
    (folder / 'img' / '000002.jpg').unlink()


def without_last_frame(folder: Path) -> None:
    (folder / 'img' / '000003.jpg').unlink()


def without_frames(folder: Path) -> None:
    for path in (folder / 'img').iterdir():
        path.unlink()


def without_truth(folder: Path) -> None:
    (folder / 'groundtruth.txt').unlink()


def with_a_strange_name(folder: Path) -> None:
    (folder / 'img' / '000003.jpg').rename(folder / 'img' / 'cover.jpg')


def with_a_number_twice(folder: Path) -> None:
    (folder / 'img' / '000003.jpg').rename(folder / 'img' / '2.jpg')


def with_truth(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / 'groundtruth.txt').write_bytes(text.encode('latin-1'))


FAULTS = [
    (without_frame_two, r'1 missing in img/, the first is 2'),
    (without_last_frame, r'2 frames, but 3 truth lines'),
    (without_frames, r'no images in img/'),
    (without_truth, r'groundtruth.txt cannot be read \(FileNotFoundError\)'),
    (with_a_strange_name, r'img/cover.jpg is not named by its number'),
    (with_a_number_twice, r'3 images in img/, but some share a number'),
    (with_truth(''), r'its truth has no box'),
    (with_truth('nan,nan,nan,nan\n' * 3), r'its truth has no box'),
    (with_truth('1,2,3,4\n'), r'3 frames, but only the first has a truth: a test split, .*'),
    (with_truth('1,2,3,4\n\n1,2,3,4\n'), r'groundtruth.txt:2: 0 numbers, not 4 or 8'),
    (with_truth('1,2,3,4\n1,2,x,4\n1,2,3,4'), r'groundtruth.txt:2: "1,2,x,4" is not numbers'),
    (with_truth('1,2,3,4\n1,2,3\n1,2,3,4'), r'groundtruth.txt:2: 3 numbers, not 4 or 8'),
    (with_truth('1,2,3,4\n1,2,0,4\n1,2,3,4'), r'groundtruth.txt:2: "1,2,0,4" is no box'),
    (with_truth('1,2,3,4\n1,2,-3,4\n1,2,3,4'), r'groundtruth.txt:2: "1,2,-3,4" is no box'),
    (with_truth('1,2,3,4\n1,2,3,inf\n1,2,3,4'), r'groundtruth.txt:2: "1,2,3,inf" is no box'),
    (with_truth('\xe9'), r'groundtruth.txt cannot be read \(UnicodeDecodeError\)'),
]


@pytest.mark.parametrize(('spoil', 'message'), FAULTS)
def test_a_malformed_sequence_is_named_with_its_fault(
    tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    folder = write(tmp_path)
    spoil(folder)
    with pytest.raises(SequenceError, match=f'^SET/one: {message}$'):
        read_sequence(folder)


def test_masks_must_be_as_many_as_frames(tmp_path: Path) -> None:
    with pytest.raises(SequenceError, match=r'^SET/one: 3 frames, but 2 masks$'):
        read_sequence(write(tmp_path, masks=2))


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    sequence = read_sequence(write(tmp_path))
    whole = sequence.frames[1].read_bytes()
    for damaged in (b'not a picture', b'', whole[:-20]):
        sequence.frames[1].write_bytes(damaged)
        with pytest.raises(SequenceError, match=r'^SET/one: 000002.jpg cannot be read as an image'):
            sequence.frame(1)


def test_a_lost_image_is_named(tmp_path: Path) -> None:
    sequence = read_sequence(write(tmp_path))
    sequence.frames[1].unlink()
    with pytest.raises(SequenceError, match=r'^SET/one: 000002.jpg cannot be read \(FileNotF'):
        sequence.frame(1)


def test_masks_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SequenceError, match=r'^SET/one: it has no masks$'):
        read_sequence(write(tmp_path)).mask(0)


def test_the_reader_of_a_folder_names_malformed_sequences_and_goes_on(tmp_path: Path) -> None:
    write(tmp_path, 'A/good')
    without_frames(write(tmp_path, 'A/empty'))
    without_truth(write(tmp_path, 'B/bare'))
    write(tmp_path, 'B/good')
    with pytest.raises(SequenceError, match='A/empty'):
        read_sequences(tmp_path)
    faults: list[SequenceError] = []
    sequences = read_sequences(tmp_path, faults)
    assert [sequence.name for sequence in sequences] == ['A/good', 'B/good']
    assert [str(fault).split(':')[0] for fault in faults] == ['A/empty', 'B/bare']


def test_two_of_one_name_are_not_mixed_up(tmp_path: Path) -> None:
    write(tmp_path / 'copy', lines=LINES[:1])
    write(tmp_path / 'original')
    faults: list[SequenceError] = []
    assert [len(s) for s in read_sequences(tmp_path, faults)] == [1]
    assert list(map(str, faults)) == ['SET/one: two sequences have this name']


def test_one_sequence_must_be_one(tmp_path: Path) -> None:
    write(tmp_path, 'SET/one')
    write(tmp_path, 'SET/two')
    with pytest.raises(SequenceError, match='2 sequences in it, not one$'):
        read_sequence(tmp_path)


@pytest.mark.parametrize('name', ['nowhere', ''])
def test_a_folder_without_sequences_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SequenceError, match='no sequence in it; the layouts known are SET/NAME/'):
        read_sequences(tmp_path / name, [])


def test_the_development_data_is_read(sequences: Path) -> None:
    found = {s.name: s for s in read_sequences(sequences)}
    assert len(found) == 16
    assert len(found['VOT15/bag']) == 196
    # 291.83,203.60,396.38,264.29,442.17,185.40,337.62,124.71
    np.testing.assert_allclose(
        found['VOT15/bag'].truth[0], [291.83, 124.71, 442.17 - 291.83, 264.29 - 124.71]
    )
    swan = found['DAVIS16/blackswan']
    # the truth boxes of DAVIS are those of the masks, in this package's pixel convention
    np.testing.assert_array_equal(swan.truth[0], cv2.boundingRect(swan.mask(0)))
    hidden = read_sequences(sequences.parent / 'absences')[0]
    assert np.isnan(hidden.truth).all(1).sum() == 56
