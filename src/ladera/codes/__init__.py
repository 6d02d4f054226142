"""Model files of other codes: read into potentials of ours, and written for these codes."""
