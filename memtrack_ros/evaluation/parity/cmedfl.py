"""CMEDFL: the head on given backbone features, the bank over some writes, the head on that bank."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import torch

from memtrack_ros.evaluation.parity import loops
from memtrack_ros.evaluation.parity.reference import EXACT, Check, Reference, check
from memtrack_ros.memory import Cells
from memtrack_ros.memory.cells import least_similar
from memtrack_ros.nets.cells import at_cells
from memtrack_ros.nets.cmedfl import CellMemory, CMEDFLQuery, FirstFrame, PaperCMEDFL
from memtrack_ros.nets.compact import Features
from memtrack_ros.trackers.cmedfl import PAPER


@torch.inference_mode()
def checks(reference: Reference) -> Iterator[Check]:
    """All arrays of cmedfl_ref and loops_cmedfl_ref.

    No computation reaches the backbone: any ImageNet weights do.
    """
    arrays = reference.arrays('cmedfl_ref')
    given = {
        name: torch.from_numpy(array).float()
        for name, array in arrays.items()
        if array.dtype.kind in 'fu'
    }
    net = PaperCMEDFL().eval()
    backbone = {name: tensor.numpy() for name, tensor in net.backbone.state_dict().items()}
    drawn = reference.state('keys_cmedfl.txt')
    net.load_state_dict(reference.weights('cmedfl', drawn, backbone).tensors)

    features = Features(given['conv1'], given['layer1'], given['layer2'])
    query = CMEDFLQuery(net.adjust(given['layer3']), features, given['layer3'])
    cells = net.adjust(given['train_layer3'])
    first = FirstFrame(cells, at_cells(given['mask'], cells.shape[-1]))
    distance = at_cells(given['dist'], cells.shape[-1])
    bank = Cells(PAPER.capacity, cells.shape[1], max_bytes=2**30, device=torch.device('cpu'))
    bank.write(cells[0].flatten(1), first.mask.flatten())
    keys, values, _ = (part[..., : bank.entries] for part in bank.read())
    yield check('f_query', query.cells, arrays['f_query'])
    yield check('f_train0', cells, arrays['f_train0'])
    yield check('f_keys', keys, arrays['f_keys'])
    yield check('values_pos', values[:, :1], arrays['values_pos'])
    yield check('values_neg', values[:, 1:], arrays['values_neg'])
    deformed = net.segmenter.deformation(first.cells, query.cells)
    yield check('attention', deformed, arrays['attention'])
    logits = net.logits(CellMemory(*bank.read()), first, query, distance)
    yield check('logits', logits, arrays['logits'])

    for step in count():
        if f'step{step}_n' not in arrays:
            break
        seen = given[f'step{step}_key_in'][0]
        floor = least_similar(bank.nearest(seen).similarity)
        before = bank.entries
        bank.write(seen, given[f'step{step}_pos_in'].flatten())
        yield check(f'step{step}_n', [before, bank.entries], arrays[f'step{step}_n'], EXACT)
        yield check(f'step{step}_thres_down', floor, arrays[f'step{step}_thres_down'])
    keys, values, _ = (part[..., : bank.entries] for part in bank.read())
    yield check('bank_keys', keys, arrays['bank_keys'])
    yield check('bank_pos', values[:, :1], arrays['bank_pos'])
    yield check('bank_neg', values[:, 1:], arrays['bank_neg'])
    logits = net.logits(CellMemory(*bank.read()), first, query, distance)
    yield check('logits_after_bank', logits, arrays['logits_after_bank'])
    yield from arrays.skipped()
    yield from loops.checks(reference, 'cmedfl')
