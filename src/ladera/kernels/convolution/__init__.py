"""The sum over neighbours in equivariant message passing, in three forms.

With the harmonics Y of an edge, radial functions w of its paths and the features h of its sender,
the message of atom i is

    m_ibc = sum_(edges e of i) sum_(paths p) sum_a G_epab w_epc h_(n(e))ac,    G = Y matrix

``paths`` says what couples to what, ``ops.convolve`` takes whichever form serves the device:
``reference`` (plain torch), ``cpu`` (loops) or ``cuequivariance`` (GPUs).
"""
