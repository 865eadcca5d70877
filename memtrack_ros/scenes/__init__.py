"""Drawn video: textures, outlines and motion from a seed, with exact masks."""

from memtrack_ros.scenes.drawn import DEMO_SEEDS, DrawnScene, SceneFrame, drawn_scene

__all__ = ['DEMO_SEEDS', 'DrawnScene', 'SceneFrame', 'drawn_scene']
