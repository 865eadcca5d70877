"""Weights on disk: one safetensors file per tracker and variant, verified when loaded."""
