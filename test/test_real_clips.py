"""Training clips of real sequences: crops, boxes and masks agree, whatever layout they lie in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from test_layouts import write_indexed, write_text

from memtrack_ros.errors import SequenceError
from memtrack_ros.scenes.bounds import boxes_of
from memtrack_ros.training import __main__ as command
from memtrack_ros.training.clips import Clips
from memtrack_ros.training.loop import PEAK_RATE, trunk_of
from memtrack_ros.training.mixed_clips import MixedClips
from memtrack_ros.training.real_clips import RealClips
from memtrack_ros.training.recipe import Seen

WIDTH, HEIGHT, FRAMES = 240, 180, 11
SIZE = 48, 40
GROUND = 20
ABSENT = (4, 5)
SIDE, LENGTH = 96, 5

Box = tuple[int, int, int, int]
Pixels = NDArray[np.uint8]


def box_at(number: int) -> Box:
    """Where the target is: it moves to the right and a little down."""
    return 10 + 12 * number, 20 + 8 * number, *SIZE


def picture(number: int, box: Box | None) -> Pixels:
    """A target on dark ground, the redder the later, and its right half without blue."""
    image = np.full((HEIGHT, WIDTH, 3), GROUND, np.uint8)
    if box is not None:
        x, y, w, h = box
        image[y : y + h, x : x + w] = 200, 120, 130 + 10 * number
        image[y : y + h, x + w // 2 : x + w, 0] = 0
    return image


def write_pictures(folder: Path, name: str, boxes: list[Box | None]) -> None:
    """Frames that are named by `name`, a format of their number."""
    folder.mkdir(parents=True)
    for number, box in enumerate(boxes):
        cv2.imwrite(str(folder / name.format(number)), picture(number, box), (1, 100))


def lines(boxes: list[Box | None], first: int) -> list[str]:
    """Truth lines that number pixels from `first`; without area where there is no box."""
    shifted = [box and (box[0] + first, box[1] + first, *box[2:]) for box in boxes]
    return [','.join(map(str, box or (0, 0, 0, 0))) for box in shifted]


def labels(box: Box | None) -> Pixels:
    """The target's label in an image of labels."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    if box is not None:
        x, y, w, h = box
        mask[y : y + h, x : x + w] = 1
    return mask


def trackingnet(root: Path, name: str, boxes: list[Box | None]) -> None:
    write_pictures(root / 'TRAIN_0/frames' / name, '{}.jpg', boxes)
    write_text(root / f'TRAIN_0/anno/{name}.txt', *lines(boxes, 0))


def got10k(root: Path, name: str, boxes: list[Box | None]) -> None:
    write_pictures(root / 'train' / name, '{:08}.jpg', boxes)
    write_text(root / 'train' / name / 'groundtruth.txt', *lines(boxes, 1))
    write_text(root / 'train' / name / 'meta_info.ini', '[METAINFO]')


def lasot(root: Path, name: str, boxes: list[Box | None]) -> None:
    write_pictures(root / 'cat' / name / 'img', '{:08}.jpg', boxes)
    write_text(root / 'cat' / name / 'groundtruth.txt', *lines(boxes, 1))
    for file in ('full_occlusion', 'out_of_view'):
        write_text(root / 'cat' / name / f'{file}.txt', ','.join('0' * len(boxes)))


def youtube_vos(root: Path, name: str, boxes: list[Box | None]) -> None:
    write_pictures(root / 'train/JPEGImages' / name, '{:05}.jpg', boxes)
    folder = root / 'train/Annotations' / name
    folder.mkdir(parents=True)
    for number, box in enumerate(boxes):
        write_indexed(folder / f'{number:05}.png', labels(box))


def davis(root: Path, name: str, boxes: list[Box | None]) -> None:
    youtube_vos(root, name, boxes)
    for kind in ('JPEGImages', 'Annotations'):
        (root / kind / '480p').mkdir(parents=True, exist_ok=True)
        (root / 'train' / kind / name).rename(root / kind / '480p' / name)


def coco(root: Path, name: str, boxes: list[Box | None]) -> None:
    """Each picture that has a target, with its outline as a polygon."""
    write_pictures(root / name, '{}.jpg', boxes)
    images, things = [], []
    for number, box in enumerate(boxes):
        images.append(
            {'id': number, 'file_name': f'{number}.jpg', 'width': WIDTH, 'height': HEIGHT}
        )
        if box is not None:
            x, y, w, h = box
            outline = [x, y, x + w, y, x + w, y + h, x, y + h]
            things.append(
                {'id': number, 'image_id': number, 'bbox': box, 'segmentation': [outline]}
            )
    content = {'images': images, 'annotations': things}
    write_text(root / f'annotations/instances_{name}.json', json.dumps(content))


Write = Callable[[Path, str, list[Box | None]], None]
BOXES: list[Write] = [trackingnet, got10k, lasot]
MASKS: list[Write] = [youtube_vos, davis, coco]
MOVING: list[Box | None] = [None if n in ABSENT else box_at(n) for n in range(FRAMES)]


def draw(folder: Path, seed: int = 0, count: int = 12, partial: float = 0.0) -> Clips:
    """Clips without faults of a camera."""
    generator = torch.Generator().manual_seed(seed)
    return RealClips(folder, partial).draw(generator, count, SIDE, LENGTH, 0.0)


def seen(clips: Clips) -> torch.Tensor:
    """Pixels (B, T, S, S) of crops that are the target's: its green is 120."""
    return clips.crops[:, :, 1] > (GROUND + 120) / 2


@pytest.mark.parametrize('write', BOXES + MASKS)
def test_crops_boxes_and_masks_agree(tmp_path: Path, write: Write) -> None:
    write(tmp_path, 'a', MOVING)
    clips = draw(tmp_path)
    there, present = seen(clips), clips.present
    assert clips.crops.shape == (12, LENGTH, 3, SIDE, SIDE)
    # The target is always in the crop, or absent; where it is absent, nothing is, but in a frame
    # of another picture.
    assert (there.flatten(2).any(2) >= present).all()
    assert write is coco or torch.equal(there.flatten(2).any(2), present)
    assert present[:, 0].all()
    assert not present.all()
    assert not clips.masks[~present].any()
    boxes, _ = boxes_of(there)
    assert (boxes - clips.boxes)[present].abs().max() <= 1
    # All but the pixels at its edges agree; those are 4 sides of 80 at most.
    wrong = ((clips.masks > 0.5) != there).sum((2, 3))[present]
    assert wrong.max() <= 2 * 80
    assert torch.equal(clips.exact, torch.full_like(present, write in MASKS) | ~present)


@pytest.mark.parametrize('write', MASKS)
def test_a_part_of_a_target_keeps_its_share_of_it(tmp_path: Path, write: Write) -> None:
    write(tmp_path, 'a', [box_at(n) for n in range(5)])
    clips = draw(tmp_path, partial=1.0)
    size = (clips.boxes[..., 2:] - clips.boxes[..., :2]).prod(-1)
    # The target is an even rectangle: a part that is wholly in the crop is one, too.
    whole = (clips.boxes.amin(-1) > 0) & (clips.boxes.amax(-1) < SIDE - 1) & clips.present
    assert (clips.masks.sum((2, 3)) - size)[whole].abs().max() < 0.05 * size.max()
    # All but the pixels at one of its edges are the target's.
    assert (clips.masks * ~seen(clips)).round().sum((2, 3)).max() <= 80
    share = clips.masks.sum((2, 3)) / seen(clips).sum((2, 3)).clamp_min(1)
    assert (share[:, 0] < 0.9).sum() >= 6


def test_a_part_of_a_box_alone_is_not_asked_for(tmp_path: Path) -> None:
    got10k(tmp_path, 'a', MOVING)
    whole, part = (draw(tmp_path, partial=partial) for partial in (0.0, 1.0))
    assert torch.equal(whole.boxes, part.boxes)


def test_later_frames_are_less_well_centred_and_of_more_sizes(tmp_path: Path) -> None:
    trackingnet(tmp_path, 'a', [(100, 80, *SIZE)] * 2)
    clips = draw(tmp_path, count=60)
    size = (clips.boxes[..., 2:] - clips.boxes[..., :2]).prod(-1).sqrt()
    away = ((clips.boxes[..., 2:] + clips.boxes[..., :2]) / 2 - (SIDE - 1) / 2).abs().amax(-1)
    whole = (clips.boxes.amin(-1) > 0) & (clips.boxes.amax(-1) < SIDE - 1)
    first = torch.arange(LENGTH) == 0
    assert whole[:, first].all()
    assert 36 <= size[:, first].min() <= 38 < 61 <= size[:, first].max() <= 64
    assert 4.2 < away[:, first].max() <= 4.8  # a twentieth of the side
    assert 26 <= size[:, ~first][whole[:, ~first]].min() <= 28
    assert 20 < away[:, ~first][whole[:, ~first]].max() <= 28.9  # three tenths


def test_a_large_target_is_not_seen_from_afar(tmp_path: Path) -> None:
    trackingnet(tmp_path, 'a', [(0, 0, WIDTH, HEIGHT)])
    clips = draw(tmp_path)
    whole = (clips.boxes.amin(-1) > 0) & (clips.boxes.amax(-1) < SIDE - 1)
    size = (clips.boxes[..., 2:] - clips.boxes[..., :2])[whole].prod(-1).sqrt()
    assert size.min().item() == pytest.approx(SIDE / 2.4, abs=1)


def test_frames_are_in_order_and_channels_too(tmp_path: Path) -> None:
    got10k(tmp_path, 'a', MOVING)
    clips = draw(tmp_path)
    there = seen(clips)
    red, green, blue = (
        (clips.crops[:, :, channel] * there).sum((2, 3)) / there.sum((2, 3)) for channel in range(3)
    )
    assert (green - 120)[clips.present].abs().max() < 6
    assert (blue - 100)[clips.present].abs().max() < 35  # a half of it has none
    numbers = ((red - 130) / 10).round()
    orders = [frames[there] for frames, there in zip(numbers, clips.present, strict=True)]
    assert all((order.diff() >= 0).all() for order in orders)
    assert len({int(order[0]) for order in orders}) >= 3
    assert max(int(order[-1] - order[0]) for order in orders) > 4


def test_clips_are_mirrored_as_a_whole(tmp_path: Path) -> None:
    coco(tmp_path, 'a', [box_at(3)])
    clips = draw(tmp_path)
    axis = torch.arange(SIDE)
    blue = (clips.crops[:, :, 2] > 100).float()
    middle = (blue * axis).sum((2, 3)) / blue.sum((2, 3))
    turned = middle > (clips.boxes[..., 0] + clips.boxes[..., 2]) / 2
    assert torch.equal(turned.all(1), turned.any(1))
    assert 0 < turned[:, 0].sum() < len(turned)


def test_beyond_the_image_is_one_colour_its_mean(tmp_path: Path) -> None:
    trackingnet(tmp_path, 'a', [(0, 60, *SIZE)])
    clips = draw(tmp_path)
    # A share of 48 x 40 / (240 x 180) has green 120, the rest 20: 24.4 in the mean.
    for crop, box in zip(clips.crops.flatten(0, 1), clips.boxes.flatten(0, 1), strict=True):
        left, top, right, bottom = box.round().int().tolist()
        middle = (left + right) // 2
        blue, green = crop[2, top + 2 : bottom - 2], crop[1]
        mirrored = blue[:, left + 2 : middle].mean() < blue[:, middle : right - 2].mean()
        beyond = green[:, right + 2 :] if mirrored else green[:, : max(left - 1, 0)]
        if beyond.numel():
            assert beyond.min() == beyond.max() == pytest.approx(24.4, abs=1)


def test_one_later_frame_in_five_is_of_another_video(tmp_path: Path) -> None:
    for name in 'abc':
        youtube_vos(tmp_path, name, [box_at(2), box_at(3)])
    clips = draw(tmp_path, count=60)
    strange = ~clips.present
    assert not strange[:, 0].any()
    # Every third clip follows one of its own video, whose target is its own.
    assert strange[:, 1:].float().mean().item() == pytest.approx(2 / 3 / 5, abs=0.06)
    assert seen(clips).flatten(2).any(2).all()
    assert not clips.masks[strange].any()
    assert not (~draw(tmp_path, count=1).present).any()


def test_the_same_seed_draws_the_same_clips(tmp_path: Path) -> None:
    lasot(tmp_path, 'a', MOVING)
    lasot(tmp_path, 'b', MOVING[::-1])
    first, again, other = draw(tmp_path, 1), draw(tmp_path, 1), draw(tmp_path, 2)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.crops, other.crops)


def test_strength_changes_the_colours(tmp_path: Path) -> None:
    davis(tmp_path, 'a', MOVING)
    source = RealClips(tmp_path)
    plain, strong = (
        source.draw(torch.Generator().manual_seed(0), 8, SIDE, LENGTH, strength)
        for strength in (0.0, 1.0)
    )
    assert (plain.crops - strong.crops).abs().mean() > 3
    assert 0 <= strong.crops.min() <= strong.crops.max() <= 255


def test_what_cannot_be_used_is_named_and_another_taken(tmp_path: Path) -> None:
    trackingnet(tmp_path, 'broken', MOVING)
    for path in (tmp_path / 'TRAIN_0/frames/broken').iterdir():
        path.write_bytes(b'none')
    trackingnet(tmp_path, 'good', MOVING)
    trackingnet(tmp_path, 'tiny', [(5, 5, 7, 8)])
    trackingnet(tmp_path, 'test', MOVING)
    write_text(tmp_path / 'TRAIN_0/anno/test.txt', '10,20,48,40')
    with pytest.warns(UserWarning) as said:
        clips = draw(tmp_path, count=20)
    assert (seen(clips).flatten(2).any(2) | ~clips.present).all()
    assert {str(warning.message).removeprefix('left out: TRAIN_0/') for warning in said} >= {
        'test: 11 frames, but only the first has a truth: '
        'a test split, which only its benchmark can score',
        'tiny: no target of 8 pixels or more',
    }
    assert any('broken: ' in str(warning.message) for warning in said)
    (tmp_path / 'TRAIN_0/anno/good.txt').unlink()
    with (
        pytest.warns(UserWarning),
        pytest.raises(SequenceError, match='50 videos, one after the other, cannot be used'),
    ):
        draw(tmp_path, count=1)


def test_masks_must_be_as_large_as_their_frames(tmp_path: Path) -> None:
    youtube_vos(tmp_path, 'a', [box_at(0)])
    write_indexed(tmp_path / 'train/Annotations/a/00000.png', labels(box_at(0))[::2, ::2])
    said = 'left out: train/a: the mask of frame 0 is 120 x 90 pixels, the frame 240 x 180'
    with pytest.warns(UserWarning, match=said), pytest.raises(SequenceError):
        draw(tmp_path, count=1)


def test_sources_are_mixed_evenly(tmp_path: Path) -> None:
    davis(tmp_path / 'masks', 'a', [box_at(0)])
    got10k(tmp_path / 'boxes', 'a', [box_at(0)])
    source = MixedClips([RealClips(tmp_path / 'masks'), RealClips(tmp_path / 'boxes')])
    generator = torch.Generator().manual_seed(0)

    def masked(count: int) -> set[int]:
        """How many clips of several batches have masks."""
        batches = [source.draw(generator, count, 32, 2, 0.0) for _ in range(8)]
        assert all(len(part) == count for clips in batches for part in clips)
        return {int(clips.exact[:, 0].sum()) for clips in batches}

    assert masked(6) == {3}
    assert masked(5) == {2, 3}
    assert masked(1) == {0, 1}


@pytest.mark.parametrize('tracker', ['stmtrack', 'cmedfl'])
def test_steps_on_boxes_and_masks_lower_the_loss(tmp_path: Path, tracker: str) -> None:
    davis(tmp_path / 'masks', 'a', MOVING)
    trackingnet(tmp_path / 'boxes', 'a', MOVING)
    source = MixedClips([RealClips(tmp_path / 'masks'), RealClips(tmp_path / 'boxes')])
    clips = source.draw(torch.Generator().manual_seed(0), 2, SIDE, 4, 1.0).pointed_at()
    assert clips.exact.any() and not clips.exact.all()
    torch.manual_seed(0)
    recipe = command.RECIPES[tracker]
    net = recipe.net()
    optimiser = torch.optim.AdamW(net.parameters(), PEAK_RATE)
    with torch.no_grad():
        seen = Seen.by(trunk_of(net), clips.crops)
    losses = []
    for _ in range(6):
        answer = recipe.ask(net, clips, seen, torch.Generator().manual_seed(0))
        total = torch.stack(list(recipe.losses(net, answer, clips).values())).sum()
        losses.append(total.item())
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
    assert losses[-1] < 0.9 * losses[0]


def test_a_folder_without_sequences_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ['--out', str(tmp_path / 'out')]
    monkeypatch.setattr('sys.argv', ['training', 'stmtrack', '--data', str(tmp_path), *out])
    assert command.main() == 2
    assert f'{tmp_path}: no sequence in it; the layouts known are' in capsys.readouterr().err
