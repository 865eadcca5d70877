"""MemTrack: recurrent steps on given crops at several scales."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from memtrack_ros.evaluation.parity import memtrack_loop
from memtrack_ros.evaluation.parity.reference import Array, Check, Reference, check
from memtrack_ros.memory import TemplateSlots
from memtrack_ros.nets.memtrack import PaperMemTrack, Signals, TemplateMemory, addresses
from memtrack_ros.trackers.memtrack import finer

KEPT = 1  # the scale whose state the next step starts from


@torch.inference_mode()
def checks(reference: Reference) -> Iterator[Check]:
    """All arrays of memtrack_ref and loops_memtrack_ref."""
    net = PaperMemTrack().eval()
    drawn = reference.state('keys_memtrack.txt')
    net.load_state_dict(reference.weights('memtrack', drawn).tensors)
    arrays = reference.arrays('memtrack_ref')

    template = net.template(crops(arrays['z0'][None]))
    slots = arrays['t0_usage'].shape[1]
    bank = TemplateSlots(
        slots, net.template_shape, net.hidden, max_bytes=2**30, device=torch.device('cpu')
    )
    memory, signals = net.controller.start(template, slots)
    bank.start(memory)
    yield check('init_c', memory.cell[0], arrays['init_c'])
    yield check('init_h', memory.hidden[0], arrays['init_h'])
    yield check('init_feat', memory.initial[0].permute(1, 2, 0), arrays['init_feat'])

    for step in itertools.takewhile(lambda n: f't{n}_x' in arrays, itertools.count()):
        bank.write(signals, net.template(crops(arrays[f't{step}_z'][None])))
        searched = crops(arrays[f't{step}_x'])
        memory = TemplateMemory(*(own.expand(len(searched), *own.shape[1:]) for own in bank.read()))
        response, all_signals = net.answer(memory, searched)
        write, usage = addresses(memory.usage, all_signals)
        ours = {
            'resp': response[:, 0],
            'up1': finer(response)[KEPT, 0],
            'read': all_signals.read,
            'write': write,
            'cf': all_signals.gates,
            'decay': all_signals.decay,
            'usage': usage,
            'h': all_signals.hidden,
            'c': all_signals.cell,
        }
        for name, array in ours.items():
            yield check(f't{step}_{name}', array, arrays[f't{step}_{name}'])
        signals = Signals(*(every[KEPT, None] for every in all_signals))
    yield from arrays.skipped()
    yield from memtrack_loop.checks(reference)


def crops(stored: Array) -> Tensor:
    """Stored crops (N, S, S, 3), RGB, as (N, 3, S, S) in 0..255."""
    return torch.from_numpy(stored.astype(np.float32)).permute(0, 3, 1, 2)
