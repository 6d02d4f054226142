"""Is what computes right? Checks that need nothing of an engine but its answers.

- :mod:`~ladera.properties.checks.engine` is what an engine has to answer,
- :mod:`~ladera.properties.checks.ase_engine` an ASE calculator, Ladera's or any other,
- :mod:`~ladera.properties.checks.rows` what one check found and what rounding allows,
- :mod:`~ladera.properties.checks.derivatives` forces and stress against energies,
- :mod:`~ladera.properties.checks.symmetries` what may not change anything,
- :mod:`~ladera.properties.checks.cutoff` an atom that is carried through it,
- :mod:`~ladera.properties.checks.drift` whether energy is conserved,
- :mod:`~ladera.properties.checks.density` the density beside that of Ladera's own dynamics,
- :mod:`~ladera.properties.checks.structure` the structure that all of it is done with.

:mod:`ladera.testing` holds every new model to the same ones.
"""
