"""MemTrack's networks (Yang and Chan, ECCV 2018): the published one, and a compact one.

Both hold the target's first template T_0 and slots of later ones. An LSTM looks at the search
features through attention, reads a template from the slots, adds it gated to T_0, and says how the
slots are to be written. The published network answers with the response to that template at three
scales; the compact one correlates channel by channel and part by part, and has a box head and a
mask decoder on that.

What is remembered and what the controller says are tuples of tensors, batch first; no function here
changes them. How they are written is `written`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memtrack_ros.nets import alexnet
from memtrack_ros.nets.alexnet import AlexNetTrunk
from memtrack_ros.nets.cells import CHANNELS, adjustment
from memtrack_ros.nets.compact import STRIDE, WIDTHS, CompactTrunk, ConvNormReLU, Features
from memtrack_ros.nets.graphs import captured
from memtrack_ros.nets.heads import Answer, BoxHead
from memtrack_ros.nets.mask_decoder import MaskDecoder

SIDE = 6  # n: cells along a template's side
DROPPED = 0.2  # share of the LSTM's candidates that are dropped in training
NORM_EPS = 1e-12  # of layer normalisation
USAGE_DECAY = 0.99  # lambda
COSINE_EPS = 1e-6  # keeps the cosine of an empty slot at 0

TEMPLATE_CROP = 96  # side of its template crop, at the same pitch
HIDDEN = 256
ANSWER = 128
HEAD = 96


class TemplateMemory(NamedTuple):
    """What is remembered of B targets: N slots for templates of n x n cells with C channels.

    And the state of the controller, of H units.
    """

    initial: Tensor  # T_0, the first frame's template: (B, C, n, n)
    templates: Tensor  # M: (B, N, C, n, n)
    usage: Tensor  # w^u, how much every slot was read and written of late: (B, N)
    hidden: Tensor  # h: (B, H)
    cell: Tensor  # c: (B, H)


class Signals(NamedTuple):
    """What the controller says in one step: its new state and how to write the memory."""

    hidden: Tensor  # h_t: (B, H)
    cell: Tensor  # c_t: (B, H)
    read: Tensor  # w^r, the weights the slots were read with: (B, N)
    gates: Tensor  # g^w, g^r, g^a: write nothing, where it was read, to a fresh slot: (B, 3)
    decay: Tensor  # d^r: (B, 1)


class MemTrackQuery(NamedTuple):
    """What the compact network sees of a crop: its `cells`, and the trunk's features below them."""

    cells: Tensor
    levels: Features


class Attention(nn.Module):
    """Equations 2 to 4: which patches of the search features the controller looks at."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.patch = nn.Conv2d(channels, channels, 1, bias=False)  # W^f
        self.before = nn.Linear(hidden, channels)  # W^h, b
        self.score = nn.Conv2d(channels, 1, 1, bias=False)  # W^a

    def forward(self, patches: Tensor, hidden: Tensor) -> Tensor:
        """a_t (B, C), the mean of patches f* (B, C, h, w) weighted by what h_{t-1} (B, H) seeks."""
        a: Tensor = (self.weights(patches, hidden) * patches).flatten(2).sum(-1)
        return a

    def weights(self, patches: Tensor, hidden: Tensor) -> Tensor:
        """alpha (B, 1, h, w), which sum up to one."""
        r = self.score(torch.tanh(self.patch(patches) + self.before(hidden)[..., None, None]))
        alpha: Tensor = r.flatten(2).softmax(-1).view_as(r)
        return alpha


class LayerNormLSTM(nn.Module):
    """LSTM without bias, each gate layer-normalised instead, and the new cell state, too.

    The normalised cell state is what the next step starts from.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.gates = nn.Linear(inputs + hidden, 4 * hidden, bias=False)
        self.input_norm = nn.LayerNorm(hidden, NORM_EPS)
        self.candidate_norm = nn.LayerNorm(hidden, NORM_EPS)
        self.forget_norm = nn.LayerNorm(hidden, NORM_EPS)
        self.output_norm = nn.LayerNorm(hidden, NORM_EPS)
        self.cell_norm = nn.LayerNorm(hidden, NORM_EPS)

    def forward(self, x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """h_t and c_t (B, H) from x (B, C), h_{t-1} and c_{t-1}."""
        i, j, f, o = self.gates(torch.cat([x, hidden], 1)).chunk(4, 1)
        candidate = torch.tanh(self.candidate_norm(j))
        kept = cell * torch.sigmoid(self.forget_norm(f) + 1)
        taken = F.dropout(candidate, DROPPED, self.training) * torch.sigmoid(self.input_norm(i))
        cell = self.cell_norm(kept + taken)
        return torch.tanh(cell) * torch.sigmoid(self.output_norm(o)), cell


class Controller(nn.Module):
    """Sections 3.2 to 3.6: attention, LSTM, reading, and the signals for writing."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.first_hidden = nn.Linear(channels, hidden)
        self.first_cell = nn.Linear(channels, hidden)
        self.attention = Attention(channels, hidden)
        self.lstm = LayerNormLSTM(channels, hidden)
        self.key = nn.Linear(hidden, channels)  # W^k, b^k
        self.strength = nn.Linear(hidden, 1)  # W^beta, b^beta
        nn.init.ones_(self.strength.bias)
        self.residual = nn.Linear(hidden, channels)  # W^r, b^r
        self.gates = nn.Linear(hidden, 3)  # W^g, b^g
        self.decay = nn.Linear(hidden, 1)  # W^d, b^d

    def start(self, template: Tensor, slots: int) -> tuple[TemplateMemory, Signals]:
        """The memory of a new target, its slots still empty, and the signals to write it.

        They say to put the first template (B, C, n, n) into a fresh slot. h_0 and c_0 come from it
        (section 3.3).
        """
        pooled = patch_means(template).flatten(1)
        hidden, cell = torch.tanh(self.first_hidden(pooled)), torch.tanh(self.first_cell(pooled))
        count = len(template)
        usage = template.new_zeros(count, slots)
        templates = template.new_zeros(count, slots, *template.shape[1:])
        allocate = template.new_tensor([0.0, 0.0, 1.0]).expand(count, 3)
        return (
            TemplateMemory(template, templates, usage, hidden, cell),
            Signals(hidden, cell, usage, allocate, template.new_zeros(count, 1)),
        )

    def forward(self, memory: TemplateMemory, features: Tensor) -> tuple[Tensor, Signals]:
        """T^final (B, C, n, n) for search features (B, C, h, w), and the signals for writing.

        The paper adds 1 to the read strength (eq. 6); what the authors ran does not.
        """
        a = self.attention(patch_means(features), memory.hidden)
        hidden, cell = self.lstm(a, memory.hidden, memory.cell)
        strength = F.softplus(self.strength(hidden))  # beta, eq. 6
        read = read_weights(self.key(hidden), strength, memory.templates)
        retrieved = (read[..., None, None, None] * memory.templates).sum(1)  # eq. 8
        residual = torch.sigmoid(self.residual(hidden))  # r, eq. 10
        final = memory.initial + residual[..., None, None] * retrieved  # eq. 9
        gates = self.gates(hidden).softmax(-1)  # eq. 12
        decay = torch.sigmoid(self.decay(hidden))  # eq. 17
        return final, Signals(hidden, cell, read, gates, decay)


def target_share(labels: Tensor) -> Tensor:
    """How much of what lies around a cell's centre, pixel 8 i, is target: (N, 1, S/8, S/8).

    Of label maps (N, 1, S, S).
    """
    return F.avg_pool2d(labels, STRIDE + 1, STRIDE, STRIDE // 2, count_include_pad=False)


def patch_means(features: Tensor) -> Tensor:
    """f* of eq. 1: the means of all n x n patches, (B, C, h - n + 1, w - n + 1)."""
    return F.avg_pool2d(features, SIDE, 1)


def read_weights(key: Tensor, strength: Tensor, templates: Tensor) -> Tensor:
    """w^r (B, N) of eq. 7: softmax of strength beta (B, 1) times the cosine to every slot.

    Cosines are between the read key k (B, C) and the means of the templates (B, N, C, n, n).
    """
    slots = templates.mean((-2, -1))
    product = (key[:, None] * slots).sum(-1)
    key_length = (key.square().sum(-1, keepdim=True) + COSINE_EPS).sqrt()
    slot_length = (slots.square().sum(-1) + COSINE_EPS).sqrt()
    cosine = product / (key_length * slot_length + COSINE_EPS)
    return (strength * cosine).softmax(-1)


def correlation(features: Tensor, template: Tensor) -> Tensor:
    """Features (B, C, h, w) correlated with template (B, C, n, n), each channel for itself.

    Without padding: (B, C, h - n + 1, w - n + 1).
    """
    kernels = template.flatten(0, 1)[:, None]
    planes = F.conv2d(features.flatten(0, 1)[None], kernels, groups=len(kernels))
    correlated: Tensor = planes[0].unflatten(0, template.shape[:2])
    return correlated


class Addresses(NamedTuple):
    """Where one step writes: w^w (B, N), and the usage w^u (B, N) after it."""

    write: Tensor
    usage: Tensor


def allocation(usage: Tensor) -> Tensor:
    """Eq. 13: w^a (B, N), 1 for the least used slot, the first of several, and 0 elsewhere.

    The authors look for the largest of 1 - w^u, to which very small usages are alike.
    """
    slots = torch.arange(usage.shape[-1], device=usage.device)
    return ((1 - usage).argmax(-1, keepdim=True) == slots).to(usage.dtype)


def addresses(usage: Tensor, signals: Signals) -> Addresses:
    """Eq. 11 and 14, from the usage w^u_{t-1} (B, N) before this step."""
    _, g_r, g_a = signals.gates[..., None].unbind(1)
    write = g_r * signals.read + g_a * allocation(usage)
    return Addresses(write, USAGE_DECAY * usage + signals.read + write)


def written_shares(usage: Tensor, signals: Signals) -> Tensor:
    """w^w e^w of eq. 15 (B, N): how much of each slot is what the step writes."""
    _, g_r, g_a = signals.gates[..., None].unbind(1)
    erase = signals.decay * g_r + g_a  # e^w, eq. 16
    return addresses(usage, signals).write * erase


def written(memory: TemplateMemory, signals: Signals, template: Tensor) -> TemplateMemory:
    """The memory of the next step, after `template` T^new (B, C, n, n) was written: eq. 11 to 16.

    The authors write it at the beginning of the next step, with the signals of this one. That is
    the same, as nothing reads in between.
    """
    share = written_shares(memory.usage, signals)[..., None, None, None]
    templates = memory.templates * (1 - share) + share * template[:, None]  # eq. 15
    usage = addresses(memory.usage, signals).usage
    return TemplateMemory(memory.initial, templates, usage, signals.hidden, signals.cell)


class PaperMemTrack(nn.Module):
    """The published network: AlexNet features, a controller of 512 units, one response a crop."""

    def __init__(self) -> None:
        super().__init__()
        self.template_shape, self.hidden = (alexnet.CHANNELS, SIDE, SIDE), 512
        self.trunk = AlexNetTrunk()
        self.controller = Controller(alexnet.CHANNELS, self.hidden)
        self.response = nn.BatchNorm2d(1, eps=1e-3)

    @captured
    def template(self, crops: Tensor) -> Tensor:
        """Templates (N, 256, 6, 6) of crops (N, 3, 127, 127), RGB 0..255."""
        features: Tensor = self.trunk(crops)
        return features

    @captured
    def answer(self, memory: TemplateMemory, crops: Tensor) -> tuple[Tensor, Signals]:
        """Response (B, 1, 17, 17) of crops (B, 3, 255, 255), RGB 0..255, and the signals.

        A response is the logit of the target standing in a cell's middle. Larger crops give more
        cells, 8 pixels apart, around the same middle.
        """
        features = self.trunk(crops)
        final, signals = self.controller(memory, features)
        response = self.response(correlation(features, final).sum(1, keepdim=True))
        return response, signals


class CompactMemTrack(nn.Module):
    """Templates and search crops are cells of one length, CMEDFL's, so that alike is what looks so.

    Of a template only what its label map marks is left: the target's parts, not its background.
    """

    def __init__(self) -> None:
        super().__init__()
        self.template_shape, self.hidden = (CHANNELS, SIDE, SIDE), HIDDEN
        self.trunk = CompactTrunk()
        self.adjust = adjustment(WIDTHS[-1])
        self.controller = Controller(CHANNELS, HIDDEN)
        self.response = nn.BatchNorm2d(CHANNELS + SIDE**2)
        self.join = ConvNormReLU(2 * CHANNELS + SIDE**2, ANSWER)
        # A stride-8 cell of stride-2 convolutions padded by one is centred at pixel 8 i.
        self.head = BoxHead(ANSWER, HEAD, depth=2, stride=STRIDE, offset=0.0)
        self.mask_decoder = MaskDecoder(ANSWER)

    @captured
    def query(self, crops: Tensor) -> MemTrackQuery:
        """Cells (B, 64, S/8, S/8) of crops (B, 3, S, S), RGB 0..255, and the trunk's features."""
        return self.query_of(self.trunk(crops))

    def query_of(self, levels: Features) -> MemTrackQuery:
        """The same, of the trunk's features."""
        return MemTrackQuery(F.normalize(self.adjust(levels.eighth).float(), dim=1), levels)

    @captured
    def template(self, crops: Tensor, labels: Tensor) -> Tensor:
        """Templates (N, 64, 6, 6) of crops (N, 3, S, S) labelled (N, 1, S, S), S a multiple of 16.

        They are the middle cells; cell 3 of them stands at the crop's middle.
        """
        cells = self.query_of(self.trunk(crops)).cells * target_share(labels)
        first = cells.shape[-1] // 2 - SIDE // 2
        middle = slice(first, first + SIDE)
        return cells[..., middle, middle]

    @captured
    def answer(self, memory: TemplateMemory, query: MemTrackQuery) -> tuple[Answer, Signals]:
        """The box head's maps and mask logits for every cell of the query, and the signals."""
        cells = query.cells
        final, signals = self.controller(memory, cells)
        before = SIDE // 2  # of the template's middle cell
        around = F.pad(cells, (before, SIDE - 1 - before) * 2)
        parts = torch.einsum('bcp,bchw->bphw', final.flatten(2), cells)
        response = self.response(torch.cat([correlation(around, final), parts], 1))
        y = self.join(torch.cat([response, cells], 1))
        return Answer(self.head(y), self.mask_decoder(y, query.levels)), signals
