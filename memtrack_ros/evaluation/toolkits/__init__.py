"""Adapters through which other toolkits run the trackers: TraX for VOT's, a class for GOT-10k's."""
