"""Which frames to keep, to label, to make: small functions from frames to frames.

- :mod:`~ladera.sampling.filtering` leaves frames out, each for a reason,
- :mod:`~ladera.sampling.selection` takes those that differ most,
- :mod:`~ladera.sampling.generation` makes new structures from old ones.
"""
