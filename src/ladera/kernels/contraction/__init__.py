"""The symmetric contraction of MACE's product basis, in three forms.

With features A of an atom of element z and coefficients w of the terms t of a list,

    B_bc = sum_(t with component[t] = b) w_ztc prod_(q in factors[t]) A_qc

``terms`` holds the list, ``ops.contract`` takes whichever form serves the device: ``reference``
(plain torch), ``cpu`` (loops) or ``cuequivariance`` (GPUs).
"""
