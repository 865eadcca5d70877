"""On a GPU: the CPU's results, no growth, and every byte given back."""

from __future__ import annotations

import gc

import pytest
import torch
from tracking import Video

from memtrack_ros import trackers
from memtrack_ros.errors import ConfigurationError
from memtrack_ros.session import Prompt, Session, State

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
