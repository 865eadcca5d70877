"""Coarse masks refined by the colours of the picture that they lie in."""
