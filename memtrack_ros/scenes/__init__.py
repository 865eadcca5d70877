"""Drawn video: textures, outlines and motion from a seed, with exact masks."""

from memtrack_ros.scenes.drawn import (
    DEMO_SEEDS,
    DrawnScene,
    SceneFrame,
    drawn_scene,
    to_and_fro,
)

__all__ = ['DEMO_SEEDS', 'DrawnScene', 'SceneFrame', 'drawn_scene', 'to_and_fro']
