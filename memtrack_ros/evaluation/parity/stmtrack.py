"""STMTrack: the network on given crops, and the whole tracker on a clip."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator

import numpy as np
import torch

from memtrack_ros.evaluation.parity.reference import EXACT, SINGLE, Check, Reference, check
from memtrack_ros.geometry import boxes
from memtrack_ros.nets.stmtrack import PaperSTMTrack
from memtrack_ros.session import Prompt, Session
from memtrack_ros.session.prompts import resolve
from memtrack_ros.trackers import Prior
from memtrack_ros.trackers.search import SEARCH
from memtrack_ros.trackers.stmtrack import PAPER, PaperSTMTracker, label_corners
from memtrack_ros.weights.files import Calibration

CLIP_CONFIDENT = 0.3  # what the clip was run with, so that the last frame is read


def checks(reference: Reference) -> Iterator[Check]:
    """All arrays of stmtrack_ref and stmtrack_clip_ref."""
    net = PaperSTMTrack().eval()
    drawn = reference.state('keys_stmtrack.txt')
    net.load_state_dict(reference.weights('stmtrack', drawn).tensors)
    yield from _network(net, reference)
    yield from _clip(net, reference)


@torch.inference_mode()
def _network(net: PaperSTMTrack, reference: Reference) -> Iterator[Check]:
    arrays = reference.arrays('stmtrack_ref')
    memory, query = (torch.from_numpy(arrays[key]).float().flip(1) for key in ('mem', 'query'))
    labels = torch.from_numpy(arrays['masks']).float()
    cells = net.memorise(memory, labels)
    f_q = net.query(query)
    flat = cells.transpose(0, 1).flatten(1)[None]
    used = torch.ones(1, flat.shape[2], dtype=torch.bool)
    y = net.join(flat, used, f_q)
    maps = net.answer(flat, used, f_q).maps
    cls_logits, ctr_logits = (
        logits.flatten(2).mT for logits in (maps.classification, maps.centreness)
    )
    ours = {
        'base_m0': net.trunk_m(memory[:1], labels[:1]),
        'base_q': net.trunk_q(query),
        'fm': cells.transpose(0, 1)[None],
        'fq': f_q,
        'y': y,
        'cls_map': maps.classification,
        'ctr_map': maps.centreness,
        'reg_map': net.head.reg_offsets(net.head.reg(y)),
        'cls_logits': cls_logits,
        'ctr_logits': ctr_logits,
        'cls_prob': cls_logits.sigmoid(),
        'ctr_prob': ctr_logits.sigmoid(),
        'box': maps.boxes.flatten(2).mT,
        'score': maps.score.flatten(2).mT,
    }
    for name, array in ours.items():
        yield check(name, array, arrays[name])
    yield from arrays.skipped()


def _clip(net: PaperSTMTrack, reference: Reference) -> Iterator[Check]:
    arrays = reference.arrays('stmtrack_clip_ref')
    frames, box = arrays['frames'], arrays['init_box'].astype(float)
    tracker = PaperSTMTracker(
        net,
        PAPER._replace(confident=CLIP_CONFIDENT),
        Calibration(1.0, 0.0),
        torch.device('cpu'),
        2**30,
    )
    prompt = Prompt('box', box)
    tracker.initialise(frames[0], resolve(frames[0], prompt))
    # A frame makes two crops: of the frame before, to be memorised, and of its own.
    placed, crops, labels, counts, selections, choices, rects = [], [], [], [], {}, [], []
    for before, frame in itertools.pairwise(frames):
        for image in (before, frame):
            window, crop = tracker.crop(image, box)
            target_scale = SEARCH * boxes.scale(box) / window.side
            placed.append([window.center_x, window.center_y, target_scale, 1 / window.pitch])
            crops.append(crop)
        labels.append(label_corners(box, window))
        selected = tracker.bank.selected()
        counts.append(len(selected))
        selections[tracker.bank.writes] = sorted(map(int, selected))
        found = tracker.locate(frame, Prior(box))
        box = found.box
        choices.append(found.choice)
        rects.append(box)
        tracker.remember(frame, found)

    yield check('clip crop_args', placed, arrays['crop_args'])
    yield check('clip crops', crops[: len(arrays['crops'])], arrays['crops'])
    yield check('clip label_xyxy', labels, arrays['label_xyxy'], EXACT)
    yield check('clip mem_count', counts, arrays['mem_count'], EXACT)
    for entry in arrays['sel']:
        # (frames memorised, frames read: numbers from 1, the last one as 0)
        count, read = ast.literal_eval(str(entry))
        theirs = np.array(sorted(number or count for number in read))
        yield check(f'clip sel at {count}', selections[count], theirs, EXACT)
    width = arrays['pscore'].shape[1] ** 0.5
    cells = [choice.cell[0] * width + choice.cell[1] for choice in choices]
    yield check('clip best', cells, arrays['best'], EXACT)
    preferred = [choice.preferred.reshape(-1) for choice in choices]
    yield check('clip pscore', preferred, arrays['pscore'], SINGLE)
    best = [choice.best for choice in choices]
    yield check('clip pscore_best', best, arrays['pscore_best'], SINGLE)
    yield check('clip rects', rects, arrays['rects'])

    # The same as anyone gets it: through a session, with the tracker that has followed a target.
    session = Session(tracker)
    session.prompt(frames[0], prompt)
    rois = []
    for frame in frames[1:]:
        rois.append(np.asarray(session.step(frame).roi))
        session.remember()
    yield check('clip rects of a session', rois, arrays['rects'])
    yield from arrays.skipped()
