"""Runs of other codes: their inputs, run here with their outputs."""
