"""Boxes, oriented boxes and search windows: plain geometry on NumPy arrays.

Pixel centres lie at integers, (0, 0) is the centre of the top left pixel; x points right, y down.
"""
