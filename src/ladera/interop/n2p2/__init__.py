"""Folders of n2p2 and RuNNer: ``input.nn``, ``scaling.data``, ``weights.ZZZ.data``."""
