"""Folders of n2p2 and RuNNer: ``input.nn``, ``scaling.data``, ``weights.ZZZ.data``."""

from ladera.interop.n2p2.reading import load

__all__ = ["load"]
