"""Moments of the neighbours of an atom, and the invariant functions that are made of them.

    M_s = sum_j f_mu(|r_ij|) u_x^a u_y^b u_z^c,      M_k = sum m M_p M_q,      E_i = sum_s w_s B_s

See :class:`.program.MomentProgram`.
"""
