"""Drawn scenes: the same from the same seed, with truth that fits the picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.scenes import DEMO_SEEDS, drawn_scene
from memtrack_ros.scenes.compression import compressed
from memtrack_ros.scenes.degrade import Camera
from memtrack_ros.scenes.figures import Figures
from memtrack_ros.scenes.imagery import (
    OBJECT_SIDE,
    PHOTO_SIDE,
    REEL,
    VIEWS,
    Imagery,
    read_imagery,
)
from memtrack_ros.scenes.light import Daylight, Light
from memtrack_ros.scenes.motion import PARAMETERS, Absences, wander
from memtrack_ros.scenes.motion import Path as Motion
from memtrack_ros.scenes.objects import Objects, another_side
from memtrack_ros.scenes.parts import on_canvas
from memtrack_ros.scenes.scene import MIRRORED, Scenes
from memtrack_ros.scenes.turntables import Turntables
from memtrack_ros.scenes.warp import Warp, pixels
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


@pytest.mark.parametrize('partial', [0.0, 1.0])
def test_the_target_is_where_its_place_says(partial: float) -> None:
    scenes = Scenes(torch.Generator().manual_seed(5), 8, 0.0, partial=partial)
    times = torch.zeros(8, 1)
    place = scenes.target_place(times)
    windows = torch.cat([place[..., :2], place[..., 2:] * 4 / 128], -1)
    target = scenes.render(times, windows, 128, 128).target[:, 0]
    # A window of four target sizes: sqrt(w h) of what is seen is a quarter of it.
    for alpha in target.numpy() > 0.5:
        left, top, width, height = cv2.boundingRect(alpha.astype(np.uint8))
        assert np.sqrt(width * height) == pytest.approx(32, rel=0.15)
        centre = left + width / 2, top + height / 2
        assert np.abs(np.subtract(centre, 64)).max() < 16


def test_a_part_of_a_thing_is_its_target_and_goes_where_that_goes() -> None:
    scenes = (
        Scenes(torch.Generator().manual_seed(5), 8, 0.0, partial=partial) for partial in (0.0, 1.0)
    )
    times = torch.linspace(0, 60, 3).expand(8, 3)
    windows = torch.tensor([0.0, 0.0, 4 / 128]).expand(8, 3, 3)
    whole, part = (each.render(times, windows, 128, 128) for each in scenes)
    assert torch.equal(whole.pictures, part.pictures)  # a part looks like what it is a part of
    assert (part.target <= whole.target).all()
    share = part.target.sum((2, 3)) / whole.target.sum((2, 3))
    partial = share[:, 0] < 0.99
    # One in .3 * .3 is all of both sides; what is hardly anything of a thing is left whole.
    assert partial.sum() >= 5
    assert 0.1 < share.min() <= share[partial].max() < 0.9
    assert share.diff(dim=1).abs().max() < 0.02


def test_parts_are_shares_of_a_thing_on_its_canvas() -> None:
    alpha = torch.zeros(3, 16, 16)
    alpha[:, 4:12, 2:14] = 1  # 12 wide and 8 high
    corner = torch.tensor([[0.0, 0.5, 0.25, 1.0], [0, 0, 1, 1], [0, 0, 0.25, 0.25]])
    inside, middle = on_canvas(corner, alpha)
    meant = (inside * alpha).bool()
    assert meant[0].nonzero().amin(0).tolist() == [8, 2]
    assert meant[0].nonzero().amax(0).tolist() == [11, 4]
    # x from 2 to 5 and y from 8 to 12 of 16 pixels, which span -1..1.
    assert middle[0].tolist() == [3.5 / 8 - 1, 10 / 8 - 1]
    # The whole, and a sixteenth, which is too little to be followed.
    assert torch.equal(meant[1:], alpha[1:].bool())
    assert not middle[1:].any()


def test_imagery_is_read_and_its_absence_said(tmp_path: Path) -> None:
    for folder, channels in (('photos', 3), ('objects', 4)):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / 'one.png'), np.full((20, 30, channels), 200, np.uint8))
    (tmp_path / 'clips').mkdir()
    film = cv2.VideoWriter(
        str(tmp_path / 'clips' / 'one.avi'), cv2.VideoWriter.fourcc(*'MJPG'), 25, (64, 48)
    )
    for level in range(40):
        film.write(np.full((48, 64, 3), 6 * level, np.uint8))
    film.release()
    imagery = read_imagery(tmp_path, torch.device('cpu'))
    # Of 40 frames: from 0, 8, 16 and 24 on, each a step of six brighter than the one before.
    assert imagery.reels.shape == (4, REEL, 3, PHOTO_SIDE, PHOTO_SIDE)
    levels = imagery.reels.float().mean((2, 3, 4))
    expected = 6.0 * (torch.tensor([[0], [8], [16], [24]]) + torch.arange(REEL))
    assert (levels - expected).abs().max() < 3
    assert imagery.photos.shape == (1, 3, PHOTO_SIDE, PHOTO_SIDE)
    assert imagery.objects.shape == (1, 4, OBJECT_SIDE, OBJECT_SIDE)
    # 30 x 20 pixels become 120 x 80 of the 128 x 128, alpha 200.
    assert imagery.objects[0, 3].float().mean() == pytest.approx(200 * 120 * 80 / 128**2, abs=1)
    with pytest.raises(ConfigurationError, match='0 photographs and 0 objects'):
        read_imagery(tmp_path / 'nothing', torch.device('cpu'))


def grey(level: int, alpha: int = 255) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.dstack([np.full((9, 9, 3), level, np.uint8), np.full((9, 9), alpha, np.uint8)])


def test_cut_outs_of_all_folders_are_objects_and_views_of_one_thing_turn(tmp_path: Path) -> None:
    pictures = {
        'photos/ground': np.zeros((9, 9, 3), np.uint8),
        'objects/coco_1': grey(20),
        'objects/emoji_1': grey(10),
        'cutouts/pizza_0003': grey(30, alpha=102),
        'cutouts/opaque': np.zeros((9, 9, 3), np.uint8),
        'masked/trashnet_metal102': grey(40),
        # Too few views to turn, and more than are needed.
        **{f'masked/lemon_{number:02}': grey(50 + number) for number in range(3)},
        **{f'masked/apple-1_{number:02}': grey(2 * number) for number in range(2 * VIEWS - 1)},
    }
    for name, picture in pictures.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / f'{name}.png'), picture)
    imagery = read_imagery(tmp_path, torch.device('cpu'))
    middle = OBJECT_SIDE // 2
    # The drawing first; of the pizza's colour 30 its alpha 0.4 leaves 12.
    assert imagery.objects[:, 0, middle, middle].tolist() == [10, 20, 12, 50, 51, 52, 40]
    assert imagery.drawings == 1
    assert imagery.objects[2, 3, middle, middle] == 102
    # Every second of the 47 views, in order.
    assert imagery.turning.shape == (1, VIEWS, 4, OBJECT_SIDE, OBJECT_SIDE)
    assert imagery.turning[0, :, 0, middle, middle].tolist() == [4 * n for n in range(VIEWS)]


def test_an_edge_keeps_its_own_colour_when_scaled(tmp_path: Path) -> None:
    # A white disc cut out of black, much larger than it is drawn: no grey at its edge.
    cutout = np.zeros((400, 400, 4), np.uint8)
    cv2.circle(cutout, (200, 200), 190, (255, 255, 255, 255), -1)
    for folder in ('photos', 'objects'):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / 'disc.png'), cutout)
    disc = read_imagery(tmp_path, torch.device('cpu')).objects[0].int()
    assert ((disc[3] > 0) & (disc[3] < 255)).sum() > 100
    assert (disc[:3] - disc[3]).abs().max() <= 1


def imagery_of(objects: torch.Tensor, drawings: int, turning: int) -> Imagery:
    """Objects, grey things that turn (view n has level 10 n), and a grey photograph."""
    photo = torch.full((1, 3, PHOTO_SIDE, PHOTO_SIDE), 128, dtype=torch.uint8)
    levels = (10 * torch.arange(VIEWS, dtype=torch.uint8))[None, :, None, None, None]
    views = levels.repeat(turning, 1, 4, OBJECT_SIDE, OBJECT_SIDE)
    views[:, :, 3] = 255
    reels = torch.empty(0, REEL, 3, PHOTO_SIDE, PHOTO_SIDE, dtype=torch.uint8)
    return Imagery(photo, objects, reels, views, drawings)


def test_real_objects_are_drawn_most() -> None:
    # 90 red drawings, 10 green photographs of things.
    objects = torch.zeros(100, 4, OBJECT_SIDE, OBJECT_SIDE, dtype=torch.uint8)
    objects[:, 3] = objects[:90, 0] = objects[90:, 1] = 255
    drawn = Objects(torch.Generator().manual_seed(0), 400, 1.0, imagery_of(objects, 90, 3))
    level = drawn.still.mean((2, 3))
    drawings = (level == torch.tensor([1.0, 0, 0, 1])).all(1).sum()
    real = (level == torch.tensor([0, 1.0, 0, 1])).all(1).sum()
    # Shares .14 of figures; of the rest .12 turn, .6 are cut-outs, a fifth of them drawings.
    # Within four standard deviations.
    for count, share in (
        (len(drawn.figures_at), 0.14),
        (len(drawn.turntables_at), 0.103),
        (drawings, 0.103),
        (real, 0.413),
    ):
        assert abs(count - 400 * share) < 4 * (400 * share * (1 - share)) ** 0.5
    painted = Objects(torch.Generator().manual_seed(0), 400, 1.0, None)
    assert len(painted.turntables_at) == 0
    assert abs(len(painted.figures_at) - 140) < 4 * (400 * 0.35 * 0.65) ** 0.5


@pytest.mark.parametrize('drawings', [0, 2])
def test_a_folder_of_one_kind_of_objects_draws_that(drawings: int) -> None:
    objects = torch.full((2, 4, OBJECT_SIDE, OBJECT_SIDE), 255, dtype=torch.uint8)
    imagery = imagery_of(objects, drawings, 0)
    drawn = Objects(torch.Generator().manual_seed(1), 40, 1.0, imagery)
    assert len(drawn.turntables_at) == 0
    assert 12 < (drawn.still == 1).all((1, 2, 3)).sum() < 30


def test_a_turntable_shows_its_views_in_order_and_turns_back() -> None:
    objects = imagery_of(torch.empty(0, 4, 1, 1, dtype=torch.uint8), 0, 2).turning[..., :4, :4]
    turntables = Turntables(torch.Generator().manual_seed(0), 1, 1.0, objects)
    # A view a frame: sin(x) is x where x is small.
    slope = torch.full((1, 1, 1), 1e4)
    turntables.path = Motion(
        torch.zeros(1, 1), slope, 1 / (2 * np.pi * slope), torch.zeros_like(slope)
    )
    times = torch.tensor([[0.0, 1, 2.5, 7.1, 22.9, 23, 25, 44]])
    seen = 255 * turntables.at(times)[0]
    # Halfway both of two views, else all but one: they give way within a third of a view.
    expected = torch.tensor([0.0, 10, 25, 70, 230, 230, 210, 20])
    assert torch.allclose(seen[:, 0, 0, 0], expected, atol=0.5)
    assert torch.allclose(seen[:, 3], torch.tensor(255.0))
    # All of it comes to be seen, but without strength nothing turns.
    turning = Turntables(torch.Generator().manual_seed(2), 20, 1.0, objects)
    times = torch.arange(0, 800, 4.0).expand(20, -1)
    ever = (255 * turning.at(times)[:, :, 0, 0, 0] / 10).round()
    assert torch.tensor([len(views.unique()) for views in ever]).float().mean() > 0.6 * VIEWS
    still = Turntables(torch.Generator().manual_seed(2), 20, 0.0, objects).at(times)
    assert torch.equal(still, still[:, :1].expand_as(still))


def test_scenes_with_imagery_are_the_same_from_the_same_seed() -> None:
    objects = torch.randint(255, (4, 4, OBJECT_SIDE, OBJECT_SIDE), dtype=torch.uint8)
    objects[:, 3] = 255

    def clip() -> torch.Tensor:
        imagery = imagery_of(objects, 2, 2)
        scenes = Scenes(torch.Generator().manual_seed(1), 12, 1.0, imagery)
        times = torch.tensor([[0.0, 5.0]]).expand(12, -1)
        return scenes.render(times, following(scenes, times, 48), 48, 48, flow=True).pictures

    assert torch.equal(clip(), clip())


def test_another_side_has_no_holes() -> None:
    # A thing of which the left half is solid and red, and its mirror image lies on the right.
    front = torch.zeros(1, 4, 2, 4)
    front[:, 3, :, :2] = front[:, 0, :, :2] = 1
    surface = torch.full((1, 3, 2, 4), 0.5)
    back = another_side(front, surface, torch.tensor(0.25).view(1, 1, 1, 1))
    assert (back[..., :2] == 0.5).all() and (back[..., 2:] == 0).all()
    whole = torch.ones(1, 4, 2, 4) * torch.tensor([1.0, 0, 0, 1])[:, None, None]
    back = another_side(whole, surface, torch.tensor(0.25).view(1, 1, 1, 1))
    # A quarter of the surface shines through three quarters of the red.
    assert torch.allclose(back[0, :, 0, 0], torch.tensor([0.875, 0.125, 0.125]))


def test_daylight_changes_brightness_and_warmth() -> None:
    times = torch.tensor([[0.0, 90.0, 200.0]]).expand(200, -1)
    light = Daylight(torch.Generator().manual_seed(0), 200, 1.0).at(times)
    assert light.shape == (200, 3, 3, 1, 1)
    red, green, blue = light.unbind(2)
    assert torch.allclose(red * blue, green.square(), rtol=1e-4)
    changes = ((green - 1).abs() > 1e-3).any(1).float().mean()
    assert abs(changes - 0.4) < 4 * (0.4 * 0.6 / 200) ** 0.5
    # Amplitudes .5 (1 + 1/2 + 1/3) at most.
    assert green.log().abs().max() <= 0.5 * 11 / 6
    steady = Daylight(torch.Generator().manual_seed(0), 200, 0.0).at(times)
    assert torch.equal(steady, torch.ones_like(steady))


DEVICES = ['cpu', *(['cuda'] if torch.cuda.is_available() else [])]


def following(scenes: Scenes, times: torch.Tensor, side: int) -> torch.Tensor:
    """Windows of `side` pixels that go with the target's place, four sizes wide."""
    place = scenes.target_place(times)
    return torch.cat([place[..., :2], place[..., 2:] * 4 / side], -1)


def still_camera(scenes: Scenes) -> Scenes:
    """The scenes in even light, before a camera without faults."""
    generator = torch.Generator().manual_seed(0)
    scenes.light = Light(generator, scenes.count, 0.0)
    scenes.camera = Camera(generator, scenes.count, 0.0)
    return scenes


@pytest.mark.parametrize('device', DEVICES)
def test_a_seed_gives_the_same_pixels_on_a_device(device: str) -> None:
    def clip() -> list[torch.Tensor]:
        scenes = Scenes(torch.Generator(device).manual_seed(11), 3, 1.0)
        times = torch.tensor([[0.0, 5.0]], device=device).expand(3, -1)
        seen = scenes.render(times, following(scenes, times, 48), 48, 48, flow=True)
        assert seen.flow is not None
        return [seen.pictures, seen.target, seen.visibility, seen.flow]

    first = clip()
    assert [tensor.device.type for tensor in first] == [device] * 4
    assert all(torch.equal(*pair) for pair in zip(first, clip(), strict=True))


def test_without_strength_nothing_happens() -> None:
    scenes = Scenes(torch.Generator().manual_seed(12), 6, 0.0)
    times = torch.tensor([[0.0, 40.0, 170.0]]).expand(6, -1)
    clip = scenes.render(times, following(scenes, times, 64), 64, 64, flow=True)
    # No figure swings, nothing crosses, nobody leaves, no shadow passes, no picture is coarse.
    assert torch.allclose(clip.pictures, clip.pictures[:, :1].expand_as(clip.pictures), atol=1e-5)
    assert torch.allclose(clip.visibility, torch.ones(6, 3), atol=0.05)
    assert clip.flow is not None and clip.flow.abs().max() < 1e-3
    strong = Scenes(torch.Generator().manual_seed(12), 6, 1.0)
    moved = strong.render(times, following(strong, times, 64), 64, 64).pictures
    assert (moved - moved[:, :1]).abs().mean((2, 3, 4))[:, 1:].min() > 0.01


def test_limbs_swing_about_a_trunk_that_stays() -> None:
    figures = Figures(torch.Generator().manual_seed(2), 12, 64, 1.0, None)
    times = torch.tensor([[0.0, 3.0, 7.0, 12.0]]).expand(12, -1)
    alpha = figures.at(times, moves=False)[:, :, 3] > 0.5
    for figure in alpha:
        always, ever = figure.all(0), figure.any(0)
        # The trunk is there in every frame, the limbs cover other pixels in each.
        assert always.sum() > 0.35 * figure[0].sum()
        assert ever.sum() > 1.03 * figure[0].sum()
        for frame in figure:
            assert cv2.connectedComponents(frame.numpy().astype(np.uint8))[0] == 2
    still = Figures(torch.Generator().manual_seed(2), 12, 64, 0.0, None)
    assert torch.equal(still.at(times, moves=False)[:, 0], still.at(times, moves=False)[:, 3])


def test_a_limb_moves_as_its_flow_says() -> None:
    figures = Figures(torch.Generator().manual_seed(3), 6, 64, 1.0, None)
    look = figures.at(torch.tensor([[0.0, 1.5]]).expand(6, -1), moves=True)
    axis = (torch.arange(64) + 0.5) / 32 - 1
    here = torch.stack(torch.meshgrid(axis, axis, indexing='xy'), -1)
    there = here + look[:, 0, 4:].permute(0, 2, 3, 1)
    now, then = look[:, 0, :4], F.grid_sample(look[:, 1, :4], there, align_corners=False)
    inside = now[:, 3] > 0.99
    wrong = (now - then).abs().amax(1)[inside]
    assert (look[:, 0, 4:].abs().amax((1, 2, 3)) > 0.02).all()
    # Where a limb goes behind another it is not to be found; elsewhere it is.
    assert wrong.median() < 0.01 and (wrong < 0.1).float().mean() > 0.85


def test_who_leaves_returns() -> None:
    scenes = still_camera(Scenes(torch.Generator().manual_seed(4), 16, 1.0))
    scenes.absences = Absences(torch.Generator().manual_seed(5), 16, 1.0)
    # sin is 0 before, 1 at the quarter of the period, 0 again at its half.
    start = -scenes.absences.phase / (2 * np.pi) * scenes.absences.period
    times = start + scenes.absences.period * torch.tensor([0.0, 0.25, 0.5])
    clip = scenes.render(times, following(scenes, times, 48), 48, 48)
    before, between, after = clip.visibility.unbind(1)
    seen = (before > 0.5) & (after > 0.5)
    assert seen.sum() > 4
    assert between.max() == 0 and clip.target[:, 1].max() == 0


def test_a_distractor_of_the_targets_looks_crosses_it() -> None:
    scenes = Scenes(torch.Generator().manual_seed(6), 80, 1.0)
    alike = scenes.behind
    times = torch.arange(0, 200, 2.0).expand(80, -1)
    target = scenes.target.path.at(times)[alike.layer.scenes, :, :2]
    distance = (alike.layer.path.at(times[alike.layer.scenes])[..., :2] - target).norm(dim=-1)
    mirrored = distance[alike.look == MIRRORED]
    # Of those that look like the target, many cross its place within 200 frames and move off again.
    crossing = (mirrored.amin(1) < 0.3) & (mirrored.amax(1) > 0.8)
    assert crossing.float().mean() > 0.3
    canvas = torch.rand(80, 1, 4, 8, 8)
    look = alike.canvas(canvas, torch.zeros_like(canvas))
    scene = alike.layer.scenes[alike.look == MIRRORED]
    assert torch.equal(look[alike.look == MIRRORED], canvas[scene].flip(-1))


def test_pixels_come_back_from_a_canvas_that_is_tilted_and_bent() -> None:
    generator = torch.Generator().manual_seed(7)
    poses = 0.3 * (2 * torch.rand(4, 2, len(PARAMETERS), generator=generator) - 1)
    windows = torch.tensor([0.1, -0.2, 0.02]).expand(4, 2, 3)
    waves = 1 + 3 * torch.rand(4, 4, generator=generator)
    warp = Warp(poses, torch.full((4,), 0.5), waves, windows)
    y, x = pixels(40, 30, 40, 30, poses.device)
    u, v = warp.to_canvas(x, y)
    on = (u.abs() < 1) & (v.abs() < 1)
    back_x, back_y = warp.to_window(u, v)
    assert (back_x - x)[on].abs().max() < 1e-3 and (back_y - y)[on].abs().max() < 1e-3
    # What is drawn takes every third pixel's place and a straight line between.
    grid = warp.grid(40, 30).view(4, 2, 40, 30, 2)
    assert (grid - torch.stack([u, v], -1))[on].abs().max() * 0.5 / 0.02 < 0.3


def test_the_area_of_a_tilted_canvas_is_what_is_drawn() -> None:
    poses = torch.zeros(1, 1, len(PARAMETERS))
    poses[..., PARAMETERS.index('tilt_x')] = 0.4
    windows = torch.tensor([[[0.0, 0.0, 0.01]]])
    warp = Warp(poses, torch.tensor([0.5]), torch.ones(1, 4), windows)
    drawn = F.grid_sample(torch.ones(1, 1, 64, 64), warp.grid(200, 400), align_corners=False).sum()
    # The integral of (1 - 0.4 u)^-3 over -1..1 is (0.6^-2 - 1.4^-2) / 0.8, half of it the mean.
    expected = 100**2 * (0.6**-2 - 1.4**-2) / 1.6
    assert warp.area(torch.ones(1, 1, 64, 64)).item() == pytest.approx(expected, rel=0.01)
    assert drawn.item() == pytest.approx(expected, rel=0.02)


def test_flow_brings_the_next_frame_back() -> None:
    scenes = still_camera(Scenes(torch.Generator().manual_seed(8), 12, 1.0))
    times = torch.tensor([[20.0, 20.6]]).expand(12, -1)
    windows = following(scenes, times, 96)
    clip = scenes.render(times, windows, 96, 96, flow=True)
    assert clip.flow is not None and clip.flow.shape == (12, 1, 2, 96, 96)
    y, x = pixels(96, 96, 96, 96, times.device)
    there = torch.stack([x + clip.flow[:, 0, 0], y + clip.flow[:, 0, 1]], -1) / 48
    back = F.grid_sample(clip.pictures[:, 1], there, align_corners=False)
    wrong = (back - clip.pictures[:, 0]).abs().amax(1)
    still = (clip.pictures[:, 1] - clip.pictures[:, 0]).abs().amax(1)
    inside = (there.abs() < 0.98).all(-1)
    # Hidden pixels, edges and turning sides cannot be found again; most can.
    assert wrong[inside].median() < 0.01
    assert (wrong[inside] < 0.1).float().mean() > 0.9
    assert wrong[inside].mean() < 0.4 * still[inside].mean()


def test_the_flow_of_a_target_is_its_translation() -> None:
    scenes = Scenes(torch.Generator().manual_seed(9), 8, 0.0)
    times = torch.zeros(8, 2)
    windows = following(scenes, times, 64)
    # The windows go 5 pixels to the right and 2 up: everything moves 5 to the left and 2 down.
    windows[:, 1] += windows[:, 1, 2:] * torch.tensor([5.0, -2.0, 0.0])
    flow = scenes.render(times, windows, 64, 64, flow=True).flow
    assert flow is not None
    assert (flow[:, 0] - torch.tensor([-5.0, 2.0])[:, None, None]).abs().max() < 1e-3
    scene = drawn_scene(9, 160, 120)
    assert scene.flow(3).shape == (120, 160, 2)


def test_a_real_video_is_ground_without_flow() -> None:
    def one(*shape: int) -> torch.Tensor:
        return torch.full(shape, 128, dtype=torch.uint8)

    reels = (10 * torch.arange(REEL, dtype=torch.uint8))[None, :, None, None, None]
    imagery = Imagery(
        one(1, 3, PHOTO_SIDE, PHOTO_SIDE),
        one(1, 4, OBJECT_SIDE, OBJECT_SIDE),
        reels.expand(1, -1, 3, PHOTO_SIDE, PHOTO_SIDE),
    )
    scenes = Scenes(torch.Generator().manual_seed(10), 32, 0.0, imagery)
    filmed = scenes.ground.filmed
    assert 1 <= len(filmed) <= 12
    times = torch.tensor([[0.0, 3.0, 15.0, 20.0]]).expand(32, -1)
    windows = torch.tensor([0.0, 0.0, 0.1]).expand(32, 4, 3)
    seen = scenes.ground.see(times, windows, 16, 16)[filmed].mean((2, 3, 4)) * 255
    # Forward to frame 15, then back: at 20 it is frame 10 again.
    assert torch.allclose(seen, torch.tensor([0.0, 30, 150, 100]).expand_as(seen), atol=0.01)
    flow = scenes.ground.flow(times, windows, 16, 16)
    assert flow[filmed].isnan().all() and flow.isnan().any(1).sum() == len(filmed) * 512


def test_a_codec_keeps_what_is_flat_and_rounds_what_is_fine() -> None:
    generator = torch.Generator().manual_seed(0)
    flat = torch.full((1, 3, 20, 20), 0.5)
    step = torch.tensor([0.125])
    # The mean of a block is 8 x 0.5 = 4 = 32 steps, and is kept.
    assert torch.allclose(compressed(flat, step), flat, atol=1e-5)
    noise = torch.rand(1, 3, 20, 20, generator=generator)
    fine, coarse = compressed(noise, torch.tensor([1e-5])), compressed(noise, step)
    assert (fine - noise).abs().max() < 1e-3
    assert (coarse - noise).abs().mean() > 0.02
    # A faint checkerboard is below half a step of its frequency: it is gone.
    checks = flat + 0.01 * (-1.0) ** (torch.arange(20) + torch.arange(20)[:, None])
    assert compressed(checks, step)[..., :16, :16].std() < 1e-5


def test_few_pixels_make_blurred_pictures() -> None:
    camera = Camera(torch.Generator().manual_seed(1), 3, 0.0)
    camera.pixel = torch.tensor([1, 2, 3])
    checks = ((-1.0) ** (torch.arange(48) + torch.arange(48)[:, None])).expand(3, 1, 3, 48, 48)
    seen = camera.photograph(
        torch.Generator().manual_seed(0), 0.5 + 0.5 * checks, torch.zeros(3, 1), torch.zeros(3, 1)
    )
    contrast = seen.std((1, 2, 3, 4))
    assert contrast[0] > 0.3 and contrast[1] < 1e-3 and contrast[2] < 0.1


def test_a_shadow_passes() -> None:
    light = Light(torch.Generator().manual_seed(3), 40, 1.0)
    windows = torch.tensor([0.0, 0.0, 0.02]).expand(40, 2, 3)
    passing = light.at(torch.tensor([[0.0, 60.0]]).expand(40, -1), windows, 64, 64)
    moved = (passing[:, 1] - passing[:, 0]).abs().amax((1, 2, 3))
    assert (moved[light.depth.flatten() == 0] == 0).all()
    assert (moved[light.depth.flatten() > 0] > 0.1).float().mean() > 0.5
    plain = Light(torch.Generator().manual_seed(3), 40, 0.0)
    assert (plain.at(torch.zeros(40, 2), windows, 64, 64) - 1).abs().max() < 1e-6
