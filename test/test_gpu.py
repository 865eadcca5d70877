"""On a GPU: the CPU's results, no growth, and every byte given back."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from tracking import Video, boxed, owners_of_graphs

from memtrack_ros import trackers
from memtrack_ros.errors import ConfigurationError, TrackingError
from memtrack_ros.evaluation import reads
from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.nets.graphs import Graphs
from memtrack_ros.nodes.warm_up import warm_up
from memtrack_ros.session import Group, Prompt, Session, State
from memtrack_ros.trackers import Target
from memtrack_ros.training.__main__ import RECIPES
from memtrack_ros.training.drawn_clips import DrawnClips
from memtrack_ros.training.loop import Run
from memtrack_ros.training.workers import Workers

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available(), reason='needs an NVIDIA GPU and a PyTorch with CUDA'
    ),
]
GIB = 2**30


def allocated() -> int:
    """Bytes of live tensors on the device."""
    gc.collect()
    torch.cuda.empty_cache()
    return torch.cuda.memory_allocated()


def all_memory() -> list[torch.Tensor]:
    """What fills the device to the last byte that PyTorch can give."""
    gc.collect()
    torch.cuda.empty_cache()
    held: list[torch.Tensor] = []
    size = 2**36
    while size >= 512:
        try:
            held.append(torch.empty(size, dtype=torch.uint8, device='cuda'))
        except torch.cuda.OutOfMemoryError:
            size //= 2
    return held


def prompted(video: Video) -> tuple[Pixels, Target]:
    return video.frames[0], boxed(video.frames[0], video.box)


def session_of(name: str, video: Video, device: str = 'cuda') -> Session:
    session = Session(trackers.create(name, device=device, precision='float32'))
    session.prompt(video.frames[0], Prompt('box', video.box))
    return session


@pytest.mark.parametrize('name', trackers.NAMES)
def test_it_answers_as_the_cpu(name: str, video: Video) -> None:
    on_gpu, on_cpu = session_of(name, video), session_of(name, video, 'cpu')
    for frame in video.frames[1:10]:
        found, expected = on_gpu.step(frame), on_cpu.step(frame)
        assert found.state == expected.state == State.TRACKING
        assert found.roi == pytest.approx(expected.roi, abs=1.0)
        assert found.score == pytest.approx(expected.score, abs=0.02)
        on_gpu.remember()
        on_cpu.remember()


def graphs_of(session: Session) -> Iterator[tuple[Any, Graphs]]:
    """Whatever of a session's tracker has graphs, and these."""
    for part in owners_of_graphs(session.tracker):
        yield part, part.graphs


@pytest.mark.parametrize('name', trackers.NAMES)
def test_graphs_answer_as_their_functions(name: str, video: Video) -> None:
    graphs, plain = session_of(name, video), session_of(name, video)
    for part, _ in graphs_of(plain):
        part.graphs = None
    plain.prompt(video.frames[0], Prompt('box', video.box))
    for frame in video.frames[1:10]:
        found, expected = graphs.step(frame), plain.step(frame)
        assert found.roi == pytest.approx(expected.roi, abs=0.1)
        assert found.score == pytest.approx(expected.score, abs=0.002)
        graphs.remember()
        plain.remember()


@pytest.mark.parametrize('name', trackers.NAMES)
def test_there_is_one_graph_of_each_kind(name: str, video: Video) -> None:
    session = session_of(name, video)

    def follow(count: int) -> int:
        for frame in video.frames[1:count]:
            session.step(frame)
            session.remember()
        return sum(len(graphs) for _, graphs in graphs_of(session))

    first = follow(40)
    assert 3 <= first <= 10
    assert follow(40) == first
    twin = session.tracker.twin()
    twin.initialise(*prompted(video))
    assert sum(len(graphs) for _, graphs in graphs_of(Session(twin))) == first


def test_the_filter_learns_by_a_graph_that_is_there_from_the_start() -> None:
    made: Any = trackers.create('samn', device='cuda')
    graphs = len(made.filter.graphs)
    made.filter.learn_on()
    assert len(made.filter.graphs) == graphs == 1


def test_the_host_computes_with_one_thread() -> None:
    threads = torch.get_num_threads(), cv2.getNumThreads()
    try:
        assert warm_up(Group(trackers.create('dmv', device='cuda')), 0) == 1
        assert cv2.getNumThreads() == 1
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])


@pytest.mark.parametrize('name', trackers.NAMES)
def test_memory_does_not_grow(name: str, video: Video) -> None:
    session = session_of(name, video)

    def follow(count: int) -> int:
        for number in range(count):
            session.step(video.frames[number % len(video.frames)])
            session.remember()
        return allocated()

    first = follow(100)
    assert follow(200) == first


@pytest.mark.parametrize('name', trackers.NAMES)
def test_what_is_forgotten_gives_every_byte_back(name: str, video: Video) -> None:
    session_of(name, video)  # what CUDA's libraries keep for themselves is kept from now on
    before = allocated()
    session = session_of(name, video)
    session.step(video.frames[1])
    session.remember()
    assert allocated() > before
    del session
    assert allocated() == before


def test_too_little_memory_is_said_in_a_sentence_and_nothing_is_left(video: Video) -> None:
    session_of('memtrack', video)
    before = allocated()
    free, _ = torch.cuda.mem_get_info()
    hog = torch.empty(max(free - GIB // 64, 1), dtype=torch.uint8, device='cuda')
    held = allocated()
    with pytest.raises(ConfigurationError, match='memory'):
        trackers.create('stmtrack', 'compact', device='cuda')
    assert allocated() == held
    del hog
    assert allocated() == before


@pytest.mark.parametrize('name', trackers.NAMES)
def test_a_full_memory_is_said_and_the_next_frame_is_followed(name: str, video: Video) -> None:
    session = session_of(name, video)
    session.step(video.frames[1])
    session.remember()
    hog = all_memory()
    with pytest.raises(TrackingError, match='memory of cuda.* is full.*free some'):
        session.step(video.frames[2])
    hog.clear()
    assert session.step(video.frames[2]).state == State.TRACKING
    session.remember()
    # The same before anything was captured.
    other = Session(trackers.create(name, device='cuda', precision='float32'))
    hog = all_memory()
    with pytest.raises(TrackingError, match='memory of cuda.* is full.*free some'):
        other.prompt(video.frames[0], Prompt('box', video.box))
    hog.clear()
    other.prompt(video.frames[0], Prompt('box', video.box))
    assert other.step(video.frames[1]).state == State.TRACKING


def test_all_learn_together_from_drawn_clips(tmp_path: Path) -> None:
    device = torch.device('cuda')
    run = Run(RECIPES, tmp_path, {}, device, Workers(), trunk_rate=0.1, batch=4)
    generator = torch.Generator(device).manual_seed(0)
    for _ in range(2):
        parts = run.step(generator, 0.0, run.draw(generator, 0.0, DrawnClips(None)))
        assert {part.split('_')[0] for part in parts} == set(RECIPES)
        assert all(math.isfinite(value) for value in parts.values())
    assert (run.steps, run.clips) == (2, 8)


def test_what_is_read_of_memories_on_it_is_drawn(tmp_path: Path) -> None:
    on_it = {name: trackers.create(name, device='cuda') for name in trackers.NAMES}
    drawn = reads.pictures(on_it, tmp_path)
    assert len(drawn) == len(on_it)
    for picture in drawn:
        assert cv2.imread(str(picture)).std() > 0
