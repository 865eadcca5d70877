"""TrackingNet: a zip of NAME.txt, x,y,w,h a line; coordinates count from the image's edge."""

from __future__ import annotations

from memtrack_ros.data.results.answers import SequenceAnswers, box_lines


def trackingnet_files(answers: SequenceAnswers) -> dict[str, str]:
    """The file of a sequence, by path."""
    return {f'{answers.name}.txt': box_lines(answers, answers.boxes)}
