"""motep, asked by mtp.py: cases come in as lines of JSON, their times go out.

python mtp_peer.py ENGINE
"""

from __future__ import annotations

import json
import sys
import time
from functools import cache
from typing import Any

import ase.io
import numpy as np


@cache
def prepared(potential: str, types: str, structure: str) -> Any:
    """A structure with a calculator, its energy and its forces."""
    from motep.calculator import MTP
    from motep.io.mlip.mtp import read_mtp

    data = read_mtp(potential)
    data.species = np.array(json.loads(types))
    atoms = ase.io.read(structure)
    atoms.calc = MTP(data, engine=sys.argv[1])
    return atoms, atoms.get_potential_energy(), atoms.get_forces().tolist()


def main() -> None:
    """Answer cases until there are no more."""
    for line in sys.stdin:
        case = json.loads(line)
        key = case["potential"], json.dumps(case["types"]), case["structure"]
        atoms, energy, forces = prepared(*key)
        generator, times = np.random.default_rng(case["seed"]), []
        places = atoms.get_positions()
        for _ in range(case["repeats"]):
            atoms.positions = places + generator.normal(scale=0.01, size=places.shape)
            start = time.process_time()
            atoms.get_potential_energy()
            atoms.get_forces()
            times.append(time.process_time() - start)
        atoms.positions = places
        print(json.dumps({"energy": energy, "forces": forces, "cpu": times}), flush=True)


if __name__ == "__main__":
    main()
