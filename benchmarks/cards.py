"""Cards of the universal potentials on five crystals, beside published PBE numbers.

    OMP_NUM_THREADS=1 python benchmarks/cards.py FOLDER [MODEL ...] [--write]

Each crystal has the card that ``ladera validate --time 0 --dtype float64 --references`` makes:
relaxation, equation of state, elastic constants, phonons. The numbers that they are held against
are in ``benchmarks/references``, with where each is from. FOLDER keeps the cards; what is in it is
not computed again. With --write the table goes into docs/performance.md.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal
from page import table, write_section

import ladera
from ladera.properties import result
from ladera.properties.card import validate
from ladera.properties.elasticity import Elasticity
from ladera.properties.equation_of_state import EquationOfState
from ladera.properties.phonons import Phonons
from ladera.properties.verdicts import References, read_references

REFERENCES = Path(__file__).with_name("references")
MODELS = ("sevennet-0", "nequix-mp-1", "nequix-oam-1")
CRYSTALS = {
    "copper": bulk("Cu", a=3.63),
    "silicon": bulk("Si", a=5.47),
    "nacl": bulk("NaCl", "rocksalt", a=5.69),
    "mgo": bulk("MgO", "rocksalt", a=4.25),
    "rutile": crystal(
        ("Ti", "O"),
        basis=[(0, 0, 0), (0.305, 0.305, 0)],
        spacegroup=136,
        cellpar=[4.65, 4.65, 2.97, 90, 90, 90],
    ),
}
NAMES = {
    "volume": ("V, Å³/atom", ".3f"),
    "bulk_modulus": ("B, GPa", ".1f"),
    "shear_modulus": ("G, GPa", ".1f"),
    "highest_frequency": ("highest phonon, THz", ".2f"),
    "heat_capacity": ("heat at 300 K, J/K/mol", ".2f"),
}


def main() -> None:
    """Make the cards, print a table, write it if asked to."""
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    if not words:
        raise SystemExit(__doc__)
    folder, names = Path(words[0]), words[1:] or list(MODELS)
    for name in names:
        start = time.process_time()
        for each, atoms in CRYSTALS.items():
            made(folder / Path(name).stem / each, name, each, atoms)
        print(f"{name}: {time.process_time() - start:.0f} CPU s", flush=True)
    rows = []
    for each in CRYSTALS:
        references = read_references(REFERENCES / f"{each}.yaml")
        found = [numbers(folder / Path(name).stem / each) for name in names]
        rows += rows_of(each, references, found)
    text = table(["", "", "PBE", *(Path(name).stem for name in names), "source"], rows)
    print(text)
    if "--write" in sys.argv:
        write_section("cards", text)


def made(folder: Path, name: str, crystal_name: str, atoms: Atoms) -> None:
    """The card of a model on a crystal, made once."""
    if (folder / result.FILE).is_file():
        return
    potential = ladera.load(name).double()
    references = read_references(REFERENCES / f"{crystal_name}.yaml")
    validate(potential, atoms, folder, name=name, time=0.0, references=references)


def numbers(folder: Path) -> dict[str, dict[str, float]]:
    """What the pieces of a card found, by piece and name."""
    found: dict[str, dict[str, float]] = {}
    for piece in ("equation_of_state", "elasticity", "phonons"):
        if not (folder / piece / result.FILE).is_file():
            continue
        piece_found = result.load(folder / piece)
        if isinstance(piece_found, EquationOfState):
            values = {"volume": piece_found.volume[0], "bulk_modulus": piece_found.bulk_modulus[0]}
            found[piece] = {key: float(value) for key, value in values.items()}
        elif isinstance(piece_found, Elasticity | Phonons):
            found[piece] = piece_found.numbers()
            if isinstance(piece_found, Phonons) and not piece_found.stable:
                found[piece]["lowest"] = piece_found.lowest
    return found


def rows_of(
    name: str, references: References, found: list[dict[str, dict[str, float]]]
) -> list[list[str]]:
    """A row for each published number of a crystal."""
    rows = []
    for piece, values in references.numbers.items():
        for key, value in values.items():
            label, pattern = NAMES.get(key, (f"{key}, GPa", ".1f"))
            if piece == "elasticity" and key == "bulk_modulus":
                label = "B (Hill), GPa"
            cells = [f"{each[piece][key]:{pattern}}" if piece in each else "-" for each in found]
            rows.append([name, label, f"{value:{pattern}}", *cells, references.sources[piece]])
    return rows


if __name__ == "__main__":
    main()
