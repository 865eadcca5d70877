"""MemTrack: the paper's equations by hand, its checkpoint, and how it looks at a frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tracking import Maker, Video, boxed

from memtrack_ros.nets.heads import Answer
from memtrack_ros.nets.memtrack import (
    Attention,
    CompactMemTrack,
    Controller,
    LayerNormLSTM,
    MemTrackQuery,
    PaperMemTrack,
    Signals,
    TemplateMemory,
    correlation,
    read_weights,
    written,
)
from memtrack_ros.trackers import Prior
from memtrack_ros.trackers.memtrack import (
    CompactMemTracker,
    best_place,
    finer,
    square_crops,
    template_extent,
)
from memtrack_ros.weights.__main__ import main as convert
from memtrack_ros.weights.convert.memtrack import PARAMETERS, SCOPES
from memtrack_ros.weights.files import load_weights

CPU = torch.device('cpu')


def test_attention_by_hand() -> None:
    attention = Attention(channels=1, hidden=1)
    for module, weight in ((attention.patch, 2.0), (attention.before, 1.0), (attention.score, 3.0)):
        torch.nn.init.constant_(module.weight, weight)
    torch.nn.init.constant_(attention.before.bias, -0.5)
    patches = torch.tensor([1.0, 0.0, -1.0, 0.5]).reshape(1, 1, 2, 2)
    # r = 3 tanh(2 f + 0.2 - 0.5)
    r = 3 * np.tanh(np.array([1.7, -0.3, -2.3, 0.7]))
    alpha = np.exp(r) / np.exp(r).sum()
    a = attention(patches, torch.tensor([[0.2]]))
    assert a.item() == pytest.approx(alpha @ [1.0, 0.0, -1.0, 0.5], abs=1e-6)


def test_a_step_of_the_lstm_by_hand() -> None:
    lstm = LayerNormLSTM(inputs=1, hidden=2).eval()
    weight = np.random.default_rng(1).standard_normal((8, 3)).astype(np.float32)
    lstm.load_state_dict(
        {
            name: torch.from_numpy(weight)
            if name == 'gates.weight'
            else torch.full((2,), 0.5 if name.endswith('weight') else 0.1)
            for name in lstm.state_dict()
        }
    )

    def normalised(x: np.ndarray) -> np.ndarray:
        return 0.5 * (x - x.mean()) / x.std() + 0.1

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    i, j, f, o = (normalised(gate) for gate in np.split(weight @ [0.3, -0.2, 0.6], 4))
    new_cell = normalised(np.array([1.0, -2.0]) * sigmoid(f + 1) + sigmoid(i) * np.tanh(j))
    hidden, cell = lstm(
        torch.tensor([[0.3]]), torch.tensor([[-0.2, 0.6]]), torch.tensor([[1.0, -2.0]])
    )
    assert cell[0].tolist() == pytest.approx(new_cell, abs=1e-5)
    assert hidden[0].tolist() == pytest.approx(np.tanh(new_cell) * sigmoid(o), abs=1e-5)


def test_read_weights_by_hand() -> None:
    # Means (1, 0), (-1, 0), (0, 0), key (2, 0): cosines 1, -1 and, of the empty slot, 0.
    templates = torch.zeros(1, 3, 2, 6, 6)
    templates[0, :2, 0] = torch.tensor([1.0, -1.0])[:, None, None]
    weights = read_weights(torch.tensor([[2.0, 0.0]]), torch.tensor([[2.0]]), templates)
    likely = np.exp([2.0, -2.0, 0.0])
    assert weights[0].tolist() == pytest.approx(likely / likely.sum(), abs=1e-5)


def test_the_template_is_the_first_one_and_the_gated_read() -> None:
    torch.manual_seed(1)
    controller = Controller(channels=2, hidden=3).eval()
    first = torch.randn(1, 2, 6, 6)
    memory, signals = controller.start(first, 4)
    pooled = first.mean((2, 3))
    assert torch.allclose(memory.hidden, torch.tanh(controller.first_hidden(pooled)), atol=1e-6)
    assert torch.allclose(memory.cell, torch.tanh(controller.first_cell(pooled)), atol=1e-6)
    memory = written(memory, signals, first)
    memory = written(memory, signals, torch.randn(1, 2, 6, 6))
    final, said = controller(memory, torch.randn(1, 2, 9, 9))
    assert torch.allclose(said.read.sum(-1), torch.ones(1))
    assert torch.allclose(said.gates.sum(-1), torch.ones(1))
    retrieved = sum(said.read[0, n] * memory.templates[0, n] for n in range(4))
    gate = torch.sigmoid(controller.residual(said.hidden))[0]
    assert torch.allclose(final[0], first[0] + gate[:, None, None] * retrieved, atol=1e-6)


def test_each_channel_is_correlated_for_itself_in_every_item_of_a_batch() -> None:
    torch.manual_seed(1)
    features, template = torch.randn(2, 3, 8, 9), torch.randn(2, 3, 6, 6)
    correlated = correlation(features, template)
    assert correlated.shape == (2, 3, 3, 4)
    for item, channel, row, column in ((0, 0, 0, 0), (1, 2, 2, 3), (1, 0, 1, 2)):
        patch = features[item, channel, row : row + 6, column : column + 6]
        expected = (patch * template[item, channel]).sum()
        assert torch.isclose(correlated[item, channel, row, column], expected, atol=1e-5)


def test_crops_of_any_side_are_answered_around_the_same_middle() -> None:
    paper, compact = PaperMemTrack().eval(), CompactMemTrack().eval()
    with torch.inference_mode():
        template = paper.template(torch.rand(1, 3, 127, 127) * 255)
        assert template.shape == (1, *paper.template_shape)
        memory = written(*paper.controller.start(template, 8), template)
        large = torch.rand(1, 3, 383, 383) * 255
        response, _ = paper.answer(memory, large[..., 64:-64, 64:-64])
        assert response.shape == (1, 1, 17, 17)
        assert paper.answer(memory, large)[0].shape == (1, 1, 33, 33)
        labelled = torch.rand(2, 3, 96, 96) * 255
        template = compact.template(labelled, torch.ones(2, 1, 96, 96))
        assert template.shape == (2, *compact.template_shape)
        memory = written(*compact.controller.start(template, 8), template)
        for side in (128, 192):
            answer, _ = compact.answer(memory, compact.query(torch.rand(2, 3, side, side) * 255))
            assert answer.maps.score.shape == (2, 1, side // 8, side // 8)
            assert answer.mask is not None
            assert answer.mask.shape == (2, 1, side // 2, side // 2)


@torch.inference_mode()
def test_a_compact_template_is_what_its_label_marks_in_cells_of_one_length() -> None:
    net = CompactMemTrack().eval()
    crops, labels = torch.rand(1, 3, 96, 96) * 255, torch.zeros(1, 1, 96, 96)
    labels[..., 48:] = 1  # right of the middle, where cell 3 stands
    length = net.template(crops, labels)[0].norm(dim=0)
    assert length[:, :3].tolist() == [[0.0] * 3] * 6
    assert length[:, 4:].flatten().tolist() == pytest.approx([1.0] * 12, abs=1e-5)
    # Of the nine columns around pixel 48, five are marked.
    assert length[:, 3].tolist() == pytest.approx([5 / 9] * 6, abs=1e-5)


def test_a_crop_has_the_authors_coordinates_and_the_mean_colour_beyond_the_frame() -> None:
    # Blue is the column, green the row, red ten everywhere.
    frame = np.full((80, 100, 3), 10, np.uint8)
    frame[..., 0], frame[..., 1] = np.arange(100), np.arange(80)[:, None]
    # 50, 40 from the edge, radius 10: 40 .. 60 of 100 are 39.6 .. 59.4 of the pixels 0 .. 99,
    # 30 .. 50 of 80 are 29.625 .. 49.375 of the pixels 0 .. 79.
    crops = square_crops(frame, np.array([49.5, 39.5]), np.array([21.0, 11.0]), 5, CPU)
    assert crops.shape == (2, 3, 5, 5)
    assert crops[0, 2, 0].tolist() == pytest.approx(np.linspace(39.6, 59.4, 5), abs=1e-3)
    assert crops[0, 1, :, 0].tolist() == pytest.approx(np.linspace(29.625, 49.375, 5), abs=1e-3)
    assert crops[1, 2, 0].tolist() == pytest.approx(np.linspace(44.55, 54.45, 5), abs=1e-3)
    # Around the first pixel half of each side is beyond. Padded by 20 to 140 x 120, the column of
    # pixel i is (20.5 - 20 + 10 i) 139 / 140 - 20.
    corner = square_crops(frame, np.array([0.0, 0.0]), np.array([41.0]), 5, CPU)
    columns = (20.5 - 20 + 10 * np.arange(5)) * 139 / 140 - 20
    assert corner[0, 2, 4, 2:].tolist() == pytest.approx(columns[2:], abs=1e-3)
    assert corner[0, 2, 0].tolist() == pytest.approx([49.5] * 5, abs=1e-3)
    assert corner[0, 0].flatten().tolist() == pytest.approx([10.0] * 25, abs=1e-3)


def test_a_template_shows_half_the_width_and_height_around_the_target() -> None:
    # p = (30 + 10) / 2: sqrt(50 * 30)
    assert template_extent(np.array([5.0, 5.0, 30.0, 10.0])) == pytest.approx(1500**0.5)


def test_a_finer_response_keeps_the_corners_and_the_values_of_its_cells() -> None:
    response = torch.randn(3, 1, 17, 17)
    fine = finer(response)
    assert fine.shape == (3, 1, 272, 272)
    assert torch.allclose(fine[..., ::271, ::271], response[..., ::16, ::16], atol=1e-5)


def test_the_best_scale_pays_for_changing_and_the_best_place_for_being_far_out() -> None:
    responses = np.zeros((3, 33, 33))
    responses[0, 20, 10], responses[1, 16, 16], responses[2, 4, 4] = 1.02, 1.0, 1.01
    # 0.97 * 1.02 < 1
    assert best_place(responses, 0.0) == (1, (16, 16))
    responses[0, 20, 10] = 1.04
    assert best_place(responses, 0.0) == (0, (20, 10))
    # Two peaks on some ground: the window decides where they are alike, not where they differ.
    responses[0, :4] = 1.0
    responses[0, 16, 17] = 1.03
    assert best_place(responses, 0.0) == (0, (20, 10))
    assert best_place(responses, 0.15) == (0, (16, 17))
    responses[0, 16, 17] = 0.9
    assert best_place(responses, 0.15) == (0, (20, 10))
    # Nothing to be seen: the middle.
    assert best_place(np.zeros((3, 33, 33)), 0.15)[1] == (16, 16)


def theirs(net: PaperMemTrack) -> dict[str, np.ndarray]:
    """The network's tensors as TensorFlow names and lays them out."""
    scopes = {module: scope for scope, module in SCOPES.items()}
    arrays = {}
    for name, tensor in net.state_dict().items():
        module, _, parameter = name.rpartition('.')
        if parameter == 'num_batches_tracked':
            continue
        array = tensor.numpy()
        kinds = [kind for kind, ours in PARAMETERS.items() if ours == parameter]
        if parameter == 'weight':
            kind = 'kernel' if array.ndim > 1 else 'gamma'
        elif parameter == 'bias':
            normalising = net.get_submodule(module).weight.ndim == 1
            kind = 'beta' if normalising else 'bias'
        else:
            (kind,) = kinds
        if array.ndim == 4:
            array = array.transpose(2, 3, 1, 0)
        arrays[f'{scopes[module]}/{kind}'] = array.T if array.ndim == 2 else array
    return arrays


def test_a_tensorflow_archive_becomes_the_published_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(3)
    net = PaperMemTrack()
    arrays = theirs(net)
    np.savez(tmp_path / 'theirs.npz', **arrays)
    out = tmp_path / 'ours.safetensors'
    assert convert(['convert', 'memtrack', str(tmp_path / 'theirs.npz'), str(out)]) == 0
    converted = load_weights(out, 'memtrack', 'paper').tensors
    for name, tensor in net.state_dict().items():
        assert torch.equal(converted[name], tensor), name

    arrays['RNN/0/kernel/Adam'] = arrays['RNN/0/kernel']
    arrays['RNN/read_key/kernel'] = arrays['RNN/read_key/kernel'].T
    del arrays['bn_response/moving_mean']
    np.savez(tmp_path / 'other.npz', **arrays)
    assert convert(['convert', 'memtrack', str(tmp_path / 'other.npz'), str(out)]) == 1
    told = capsys.readouterr().err
    assert 'RNN/0/kernel/Adam is unknown' in told
    assert 'response.running_mean is missing' in told
    assert 'controller.key.weight has shape (512, 256), not (256, 512)' in told


def test_a_box_is_labelled_as_the_network_was_taught_until_it_is_segmented(
    make: Maker, video: Video, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = make('memtrack')
    assert isinstance(tracker, CompactMemTracker)
    template, highest = tracker.net.template, list[float]()

    def noted(crops: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        highest.append(float(labels.max()))
        return template(crops, labels)

    monkeypatch.setattr(tracker.net, 'template', noted)
    tracker.initialise(video.frames[0], boxed(video.frames[0], video.box))
    assert highest == pytest.approx([0.5, 1.0], abs=0.01)


def test_what_the_compact_variant_reads_counts_half_and_is_read_alike(
    make: Maker, video: Video, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = make('memtrack')
    assert isinstance(tracker, CompactMemTracker)
    tracker.initialise(video.frames[0], boxed(video.frames[0], video.box))
    held = TemplateMemory(*(tensor.clone() for tensor in tracker.bank.read()))
    asked: list[tuple[TemplateMemory, MemTrackQuery]] = []
    answer = tracker.net.answer

    def noted(memory: TemplateMemory, query: MemTrackQuery) -> tuple[Answer, Signals]:
        asked.append((memory, query))
        return answer(memory, query)

    monkeypatch.setattr(tracker.net, 'answer', noted)
    tracker.locate(video.frames[1], Prior(video.box))
    (memory, query), whole = asked[0], tracker.net.controller
    with torch.inference_mode():
        (half, read), (full, read_of_all) = whole(memory, query.cells), whole(held, query.cells)
    torch.testing.assert_close(half - held.initial, (full - held.initial) / 2)
    torch.testing.assert_close(read.read, read_of_all.read)
    assert (full - held.initial).abs().max() > 0.01
    assert all(map(torch.equal, tracker.bank.read(), held))  # reading changes nothing
