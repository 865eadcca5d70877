"""How good a tracker is: metrics, the pass over a sequence, the report."""
