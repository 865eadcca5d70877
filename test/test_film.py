"""The film and the contact sheet."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from memtrack_ros.errors import MemtrackError
from memtrack_ros.evaluation.film import EvenThumbnails, Film, Strip, Tile, contact_sheet


def grey(level: int, width: int = 160, height: int = 120) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def test_film_shows_each_picture_as_long_as_told(tmp_path: Path) -> None:
    film = Film(tmp_path / 'film.mp4', 25.0)
    film.add(grey(50))
    film.add(grey(150), 3)
    film.add(grey(250, 320, 240))
    film.close()
    capture = cv2.VideoCapture(str(tmp_path / 'film.mp4'))
    levels = []
    while (picture := capture.read()[1]) is not None:
        assert picture.shape == (120, 160, 3)
        levels.append(picture.mean())
    assert capture.get(cv2.CAP_PROP_FPS) == 25
    assert np.allclose(levels, [50, 150, 150, 150, 250], atol=4)


def test_film_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    film = Film(tmp_path / 'nowhere' / 'film.mp4', 25.0)
    film.add(grey(50))
    with pytest.raises(MemtrackError, match='cannot be written'):
        film.close()


@pytest.mark.parametrize('count', [1, 5, 12, 300, 10_000])
def test_thumbnails_are_few_and_evenly_spread(count: int) -> None:
    thumbnails = EvenThumbnails(most=20)
    for stamp in range(count):
        thumbnails.add(stamp, grey(0, 16, 12))
    stamps = [stamp for stamp, _ in thumbnails.spread(6, since=0)]
    assert len(stamps) == min(count, 6)
    assert stamps[0] == 0
    assert count - stamps[-1] <= max(1, count / 8)
    gaps = np.diff(stamps)
    assert len(gaps) == 0 or gaps.max() <= max(2, 1.6 * gaps.min())
    assert all(stamp >= count / 2 for stamp, _ in thumbnails.spread(3, since=-(-count // 2)))


def test_sheet_holds_all_moments() -> None:
    picture = grey(200, 320, 240)
    strips = [Strip('one', [Tile(picture, 'a'), Tile(picture, 'b')]), Strip('two', [])]
    sheet = contact_sheet('title', strips)
    assert sheet.shape[1] > 2 * 320
    assert np.count_nonzero((sheet == 200).all(2)) >= 2 * 320 * 240
