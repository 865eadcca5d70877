"""Readers of sequences on disk: video frames with ground truth."""
