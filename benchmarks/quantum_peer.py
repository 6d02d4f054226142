"""Energy and forces by quantum mechanics, for ``linear.py``, in an environment of its own.

    python benchmarks/quantum_peer.py METHOD FILE

METHOD is gfn2 (tblite) or dft (PySCF: PBE, def2-SVP, density fitting), FILE a structure that ASE
reads. Prints the CPU seconds of one energy with its forces.
"""

from __future__ import annotations

import sys
import time

from ase import Atoms
from ase.io import read


def gfn2(atoms: Atoms) -> None:
    """GFN2-xTB, energy and gradient."""
    from tblite.interface import Calculator

    bohr = 1 / 0.529177210903
    calculator = Calculator("GFN2-xTB", atoms.numbers, atoms.positions * bohr)
    calculator.set("verbosity", 0)
    calculator.singlepoint().get("gradient")


def dft(atoms: Atoms) -> None:
    """PBE with a small basis, energy and gradient."""
    from pyscf import dft, gto, lib

    lib.num_threads(1)
    places = list(zip(atoms.get_chemical_symbols(), atoms.positions.tolist(), strict=True))
    molecule = gto.M(atom=places, basis="def2-svp", verbose=0)
    field = dft.RKS(molecule, xc="pbe").density_fit()
    field.kernel()
    if not field.converged:
        raise SystemExit("The self-consistent field did not converge.")
    field.nuc_grad_method().kernel()


def main() -> None:
    method, path = sys.argv[1:]
    atoms = read(path)
    start = time.process_time()
    {"gfn2": gfn2, "dft": dft}[method](atoms)
    print(time.process_time() - start)


if __name__ == "__main__":
    main()
