"""SAMN: the appearance memory from frames to the mask that is used and memorised."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from memtrack_ros.evaluation.parity import loops
from memtrack_ros.evaluation.parity.reference import Check, Reference, check
from memtrack_ros.memory import AppearanceMemory
from memtrack_ros.nets.cells import at_cells
from memtrack_ros.nets.readers import soft_read
from memtrack_ros.nets.resnet import MEAN, STD, normalised
from memtrack_ros.nets.samn import PaperSAMN, aggregated


@torch.inference_mode()
def checks(reference: Reference) -> Iterator[Check]:
    """All arrays of samn_ref and loops_samn_ref."""
    arrays = reference.arrays('samn_ref')
    net = PaperSAMN().eval()
    drawn = reference.state('keys_samn.txt')
    net.load_state_dict(reference.weights('samn', drawn).tensors)

    # Ours normalises by itself.
    mean, std = (torch.tensor(constant)[:, None, None] for constant in (MEAN, STD))
    crops = (torch.from_numpy(arrays['frames']).float() * std + mean) * 255
    masks = torch.from_numpy(arrays['masks']).float()
    *remembered, asked = crops.split(1)
    query = net.query(asked)
    count, (height, width) = len(remembered), query.deep.shape[-2:]
    bank = AppearanceMemory(
        count,
        net.keys,
        net.values,
        height * width,
        max_bytes=2**30,
        device=torch.device('cpu'),
        every=1,  # all were read
    )
    for frame, mask in zip(remembered, masks.split(1), strict=True):
        cells = net.memorise(frame, mask)
        bank.write(cells.key[0], cells.value[0])
    keys, values, valid = bank.read()
    first = slice(0, height * width)
    encoded = net.encoder_m(normalised(remembered[0]), masks[:1])
    yield check('r4_m0', encoded.layer3, arrays['r4_m0'])
    yield check('r4_q', query.deep, arrays['r4_q'])
    yield check('k0', keys[..., first].mT, arrays['k0'])
    yield check('v0', values[..., first].mT, arrays['v0'])
    of_query = net.cells_q(query.deep)
    yield check('kq', of_query.key, arrays['kq'])
    yield check('vq', of_query.value, arrays['vq'])
    # Reading every memory cell's own name tells its weight.
    names = torch.eye(keys.shape[2])[None]
    weights = soft_read(keys, names, of_query.key, valid)
    yield check('p_max', weights.amax(1).flatten(1), arrays['p_max'])
    r = net.join(keys, values, valid, query)
    yield check('m4', r, arrays['m4'])
    distance = at_cells(torch.from_numpy(arrays['dist'])[None].float(), height)
    logits = net.decoder(r, query, distance)
    yield check('dec', logits, arrays['dec'])
    yield check('ps', logits.softmax(1)[:, 1], arrays['ps'])
    yield check('logit', aggregated(logits), arrays['logit'])
    yield from arrays.skipped()
    yield from loops.checks(reference, 'samn')
