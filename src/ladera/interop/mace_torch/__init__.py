"""Checkpoints of mace-torch: read without running them, and written for it."""
