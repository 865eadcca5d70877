"""What is written as a sequence is read as one; drawn scenes are written with their truth."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from memtrack_ros.data.sequences import read_sequence, read_sequences
from memtrack_ros.data.writer import write_sequence
from memtrack_ros.scenes.__main__ import FIRST_SEED
from memtrack_ros.scenes.drawn import drawn_scene


def test_a_written_sequence_reads_as_it_was(tmp_path: Path) -> None:
    masks = np.zeros((3, 24, 32), np.uint8)
    masks[0, 4:9, 10:20] = masks[2, 0:24, 31:] = 255
    frames = np.full((3, 24, 32, 3), (40, 90, 200), np.uint8)
    write_sequence(tmp_path / 'set/name', zip(frames, masks, strict=True))
    assert [path.name for path in (tmp_path / 'set').iterdir()] == ['name']
    sequence = read_sequence(tmp_path / 'set/name')
    assert sequence.truth[[0, 2]].tolist() == [[10, 4, 10, 5], [31, 0, 1, 24]]
    assert np.isnan(sequence.truth[1]).all()
    for number in range(3):
        assert np.array_equal(sequence.mask(number), masks[number])
        assert np.abs(sequence.frame(number).astype(int) - frames[number]).max() <= 4  # JPEG


def test_scenes_are_written_from_the_command_line(tmp_path: Path) -> None:
    words = [str(tmp_path / 'out'), '--scenes', '2', '--frames', '3', '--size', '80', '60']
    command = [sys.executable, '-m', 'memtrack_ros.scenes', *words]
    subprocess.run(command, check=True)
    for number, sequence in enumerate(read_sequences(tmp_path / 'out')):
        scene = drawn_scene(FIRST_SEED + number, 80, 60, 3)
        assert len(sequence) == 3
        for frame in range(3):
            truth = scene.render(frame)
            assert np.array_equal(sequence.mask(frame), truth.mask)
            np.testing.assert_array_equal(sequence.truth[frame], truth.box)
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert 'is there already' in again.stderr
