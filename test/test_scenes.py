"""Drawn scenes: the same from the same seed, with truth that fits the picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.scenes import DEMO_SEEDS, drawn_scene
from memtrack_ros.scenes.imagery import OBJECT_SIDE, PHOTO_SIDE, read_imagery
from memtrack_ros.scenes.motion import wander
from memtrack_ros.scenes.scene import Scenes
from memtrack_ros.training.loop import TRAINING_SEEDS, VALIDATION_SEEDS


def test_a_seed_draws_one_scene_in_any_order() -> None:
    first = drawn_scene(7, width=160, height=120)
    second = drawn_scene(7, width=160, height=120)
    later, sooner = first.render(9), first.render(2)
    assert np.array_equal(second.render(2).image, sooner.image)
    assert np.array_equal(second.render(9).image, later.image)
    assert not np.array_equal(drawn_scene(8, width=160, height=120).render(2).image, sooner.image)


@pytest.mark.parametrize('seed', DEMO_SEEDS)
def test_a_demonstration_starts_with_its_target_in_view(seed: int) -> None:
    frame = drawn_scene(seed, width=160, height=120).render(0)
    assert frame.visibility >= 0.9
    assert frame.image.shape == (120, 160, 3)
    assert frame.box.tolist() == list(cv2.boundingRect(frame.mask))


def test_no_training_draws_a_demonstration() -> None:
    assert max(DEMO_SEEDS) < VALIDATION_SEEDS < TRAINING_SEEDS


def test_motion_is_smooth_and_bounded() -> None:
    generator = torch.Generator().manual_seed(3)
    path = wander(generator, torch.full((4, 8), 0.5), (30, 60))
    times = torch.arange(2000.0).expand(4, -1)
    poses = path.at(times)
    # Harmonics of weight 1, 1/2 and 1/3 of the amplitude.
    assert poses.abs().max() <= 0.5 * (1 + 1 / 2 + 1 / 3)
    # The fastest: 2 pi / 30 radians a frame, every harmonic alike (weight and frequency cancel).
    assert poses.diff(dim=1).abs().max() <= 3 * 0.5 * 2 * np.pi / 30


def test_the_target_is_where_its_place_says() -> None:
    scenes = Scenes(torch.Generator().manual_seed(5), 8, 0.0)
    times = torch.zeros(8, 1)
    place = scenes.target_place(times)
    windows = torch.cat([place[..., :2], place[..., 2:] * 4 / 128], -1)
    target = scenes.render(times, windows, 128, 128).target[:, 0]
    # A window of four target sizes: sqrt(w h) of what is seen is a quarter of it.
    for alpha in target.numpy() > 0.5:
        _, _, width, height = cv2.boundingRect(alpha.astype(np.uint8))
        assert np.sqrt(width * height) == pytest.approx(32, rel=0.15)


def test_imagery_is_read_and_its_absence_said(tmp_path: Path) -> None:
    for folder, channels in (('photos', 3), ('objects', 4)):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / 'one.png'), np.full((20, 30, channels), 200, np.uint8))
    imagery = read_imagery(tmp_path, torch.device('cpu'))
    assert imagery.photos.shape == (1, 3, PHOTO_SIDE, PHOTO_SIDE)
    assert imagery.objects.shape == (1, 4, OBJECT_SIDE, OBJECT_SIDE)
    # 30 x 20 pixels become 120 x 80 of the 128 x 128, alpha 200.
    assert imagery.objects[0, 3].float().mean() == pytest.approx(200 * 120 * 80 / 128**2, abs=1)
    with pytest.raises(ConfigurationError, match='0 photographs and 0 objects'):
        read_imagery(tmp_path / 'nothing', torch.device('cpu'))
