"""Models in torch-sim: ``ladera.torch_sim.LaderaModel(model)``; see docs/torch-sim.md."""

from ladera.engines.torch_sim import LaderaModel

__all__ = ["LaderaModel"]
