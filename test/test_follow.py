"""The example in docs/ that follows a target without ROS."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from memtrack_ros.geometry import boxes
from memtrack_ros.scenes import drawn_scene

EXAMPLE = Path(__file__).resolve().parents[1] / 'docs' / 'follow.py'


def test_the_example_says_for_every_frame_where_the_target_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = drawn_scene(9, 160, 120, 5)
    frames = [scene.render(number) for number in range(scene.frames)]
    video = tmp_path / 'scene.avi'
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*'MJPG'), 10, (160, 120))
    for frame in frames:
        writer.write(frame.image)
    writer.release()
    box = [f'{value:g}' for value in frames[0].box]
    monkeypatch.setattr(sys, 'argv', [str(EXAMPLE), str(video), *box, 'stmtrack'])
    runpy.run_path(str(EXAMPLE), run_name='__main__')
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == len(frames)
    for (state, confidence, *roi), frame in zip(lines, frames, strict=True):
        assert state == 'TRACKING'
        assert 0 <= float(confidence) <= 1
        assert boxes.iou(np.array(roi, float), frame.box) > 0.4
