"""The folder that the command lines of ``answers.txt`` are typed in: models, structures, mistakes.

Its names say what is in them; what is wrong with a YAML file stands in :data:`CONFIGS`.
"""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import Final

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from ase.io.trajectory import Trajectory

import ladera
from ladera.codes import mtp
from ladera.data import formats
from ladera.models.lennard_jones import LennardJonesConfig
from ladera.models.mtp import MTP, MTPConfig

_GOOD: Final = """\
data:
  files: train.extxyz
  split: {validation: 2, test: 0}
model:
  architecture: hdnnp
  cutoff: 4.0
  size: small
epochs: 1
"""
# Each is the good one with something else in the place of some of it.
_CHANGES: Final[dict[str, tuple[str, str]]] = {
    "c_good": ("", ""),
    "c_comma": ("cutoff: 4.0", "cutoff: 4,5"),
    "c_comma_flow": ("validation: 2, test: 0", "validation: 0,1, test: 0"),
    "c_tab": ("  cutoff: 4.0", "\tcutoff: 4.0"),
    "c_twice": ("epochs: 1", "epochs: 1\nepochs: 2"),
    "c_epochs_two": ("epochs: 1", "epochs: two"),
    "c_epochs_half": ("epochs: 1", "epochs: 1.5"),
    "c_epochs_negative": ("epochs: 1", "epochs: -5"),
    "c_epochs_empty": ("epochs: 1", "epochs:"),
    "c_cutoff_zero": ("cutoff: 4.0", "cutoff: 0"),
    "c_cutoff_text": ("cutoff: 4.0", "cutoff: far"),
    "c_cutoff_time": ("cutoff: 4.0", "cutoff: 4 ps"),
    "c_cutoff_missing": ("  cutoff: 4.0\n", ""),
    "c_model_text": (_GOOD[_GOOD.index("model:") : _GOOD.index("epochs")], "model: hdnnp\n"),
    "c_architecture": ("hdnnp", "hdnp"),
    "c_architecture_missing": ("  architecture: hdnnp\n", ""),
    "c_key_typo": ("size: small", "sise: small"),
    "c_section_typo": ("epochs: 1", "epochs: 1\noptimiser: {name: adam}"),
    "c_optimizer": ("epochs: 1", "epochs: 1\noptimizer: {name: adan}"),
    "c_optimizer_key": ("epochs: 1", "epochs: 1\noptimizer: {name: adam, lr: 0.1}"),
    "c_size": ("size: small", "size: tiny"),
    "c_list": ("epochs: 1", "epochs: [1, 2]"),
    "c_batch": ("epochs: 1", "epochs: 1\nbatch_size: some"),
    "c_species": ("cutoff: 4.0", "species: [H, C, Oo]\n  cutoff: 4.0"),
    "c_bracket": ("{validation: 2, test: 0}", "{validation: 2, test: 0"),
    "c_indent": ("  cutoff: 4.0", "   cutoff: 4.0"),
    "c_quote": ("files: train.extxyz", 'files: "train.extxyz'),
    "c_missing_file": ("train.extxyz", "trian.extxyz"),
    "c_nolabel": ("train.extxyz", "unlabelled.extxyz"),
    "c_one": ("train.extxyz", "one.extxyz"),
    "c_one_default": ("train.extxyz\n  split: {validation: 2, test: 0}", "one.extxyz"),
    "c_folder": ("train.extxyz", "adir"),
    "c_keys": ("  split", "  keys: {energy: REF_energy}\n  split"),
    "c_split": ("validation: 2, test: 0", "validation: 100, test: 0"),
    "c_nothing_learned": ("epochs: 1", "epochs: 1\nloss: {energy: 0, forces: 0}"),
    "c_rate": ("epochs: 1", "epochs: 8\noptimizer: {name: sgd, learning_rate: 1.0e+6}"),
    "c_dedent": ("  architecture: hdnnp", "architecture: hdnnp"),
    "c_model_empty": ("  architecture: hdnnp\n  cutoff: 4.0\n  size: small\n", ""),
    "c_model_outside": (
        "  architecture: hdnnp\n  cutoff: 4.0\n  size: small\n",
        "architecture: hdnnp\ncutoff: 4.0\n",
    ),
    "c_partly": ("train.extxyz", "partly.extxyz"),
    "c_colon": ("epochs: 1", "epochs 1"),
    "c_split_file": ("{validation: 2, test: 0}", "{method: stored, path: nope.json}"),
    "c_stage": ("epochs: 1", "epochs: 4\nstage_two: {start: 1.5}"),
    "c_epochs_yes": ("epochs: 1", "epochs: yes"),
    "c_cutoff_yes": ("cutoff: 4.0", "cutoff: true"),
    "c_cutoff_nan": ("cutoff: 4.0", "cutoff: .nan"),
    "c_cutoff_list": ("cutoff: 4.0", "cutoff: [4.0]"),
    "c_validation_yes": ("validation: 2", "validation: yes"),
    "c_size_number": ("size: small", "size: 3"),
    "c_species_yes": ("cutoff: 4.0", "species: [H, C, No]\n  cutoff: 4.0"),
    "c_files_number": ("train.extxyz", "3"),
    "c_files_model": ("train.extxyz", "model.ladera"),
    "c_optimizer_text": ("epochs: 1", "epochs: 1\noptimizer: adam"),
    "c_rate_negative": ("epochs: 1", "epochs: 1\noptimizer: {name: adam, learning_rate: -0.1}"),
    "c_rate_unit": ("epochs: 1", "epochs: 1\noptimizer: {name: adam, learning_rate: 1e-3eV}"),
    "c_batch_zero": ("epochs: 1", "epochs: 1\nbatch_size: 0"),
    "c_seed_negative": ("epochs: 1", "epochs: 1\nseed: -3"),
    "c_alias": ("epochs: 1", "epochs: *many"),
    "c_documents": ("epochs: 1", "---\nepochs: 1"),
    "c_huge": ("cutoff: 4.0", "cutoff: 1e9"),
    "c_section_list": ("{validation: 2, test: 0}", "[2, 0]"),
}
CONFIGS: Final = {f"{name}.yaml": _GOOD.replace(*change) for name, change in _CHANGES.items()} | {
    "c_empty.yaml": "",
    "c_list_only.yaml": "- data\n- model\n",
    "c_no_data.yaml": _GOOD[_GOOD.index("model:") :],
    "c_prose.yaml": "Please train a model on my frames.\n",
    "o_tab.yaml": "a:\n\tb: 1\n",
    "o_twice.yaml": "a: 1\na: 2\n",
}


def lay_out(folder: Path) -> None:
    """Write all of them into an empty folder."""
    os.chdir(folder)
    embedded = files("ladera.data") / "embedded"
    Path("model.ladera").write_bytes((embedded / "ethanol-hdnnp.ladera").read_bytes())
    _models()
    _structures()
    _frames(embedded)
    _of_mlip()
    for name, text in CONFIGS.items():
        Path(name).write_text(text, encoding="utf-8")
    Path("c_latin.yaml").write_bytes(b"# \xe5ngstr\xf6m\nepochs: 1\n")
    Path("text.txt").write_text("This is a letter.\nIt is no structure at all.\n")
    Path("text.xyz").write_text("This is a letter.\nIt is no structure at all.\n")
    Path("empty.xyz").write_text("")
    Path("nep.txt").write_text("nep4 2 Te Pb\ncutoff 8 4\nn_max 4 4\n")
    Path("gap.xml").write_text('<GAP_2020>\n<Potential label="GAP_2020" init_args="IP GAP"/>\n')
    Path("adir").mkdir()
    Path("unfinished").mkdir()
    Path("unfinished/split.json").write_text("{}")


def _of_mlip() -> None:
    """Two types that have no names, and what can be wrong with such files."""
    config = MTPConfig(species=("C", "H"), cutoff=4.0, level=4, radial_basis_size=2)
    mtp.export(MTP(config), "named.mtp")
    text = Path("named.mtp").read_text().replace("types H C", "")
    Path("types.mtp").write_text(text)
    Path("cut.mtp").write_text(text[: text.index("alpha_index_times_count")])
    Path("repuls.mtp").write_text(text.replace("RBChebyshev", "RBChebyshev_repuls"))
    Path("order.mtp").write_text(text.replace("times = {{0, 0", "times = {{0, 1"))
    first, coefficients = text.index("\tradial_coeffs"), text.index("species_coeffs")
    moments = text.index("alpha_moments_count")
    Path("untrained.mtp").write_text(text[:first] + text[moments:coefficients])
    formats.write(formats.read("one.extxyz"), "named.cfg")
    structure = Path("named.cfg").read_text().replace(" Feature   types H C O\n", "")
    Path("types.cfg").write_text(structure)
    Path("cut.cfg").write_text(structure[: structure.index(" Energy")])
    Path("size.cfg").write_text(structure.replace("    9\n", "    10\n", 1))


def _models() -> None:
    argon = LennardJonesConfig(
        species=("Ar",), cutoff=6.5, epsilon={"Ar": 0.0104}, sigma={"Ar": 3.4}
    )
    ladera.build(argon).save("argon.ladera")
    whole = Path("model.ladera").read_bytes()
    Path("cut.ladera").write_bytes(whole[: len(whole) // 2])
    Path("letter.ladera").write_text("This is no model.\n")


def _structures() -> None:
    molecule("CH3CH2OH").write("ethanol.xyz")
    bulk("Ar", "fcc", a=5.3).write("argon.extxyz")
    bulk("Ar", "fcc", a=5.3, cubic=True).write("cube.cif")
    Atoms().write("nothing.xyz")
    molecule("NH3").write("ammonia.xyz")
    molecule("CH3CH2OH").write("äthanol.xyz")
    Atoms("H").write("atom.xyz")
    Atoms("OXH", positions=[[0, 0, 0], [0, 0, 1], [0, 1, 0]]).write("dummy.xyz")
    Atoms("OHH", positions=[[0, 0, 0], [0, 0, 1], [0, 0, 1]]).write("overlap.xyz")
    Atoms("OH", positions=[[0, 0, 0], [0, 0, np.nan]]).write("nan.xyz")
    slab = bulk("Ar", "fcc", a=5.3, cubic=True)
    slab.pbc = (True, True, False)
    slab.write("layer.extxyz")
    bulk("Cu", "fcc", a=3.6).write("copper.cif")
    Path("picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1")
    lines = Path("ethanol.xyz").read_text().splitlines()
    Path("cut.xyz").write_text("\n".join(lines[:6]) + "\n")
    Path("comma.xyz").write_text("\n".join(lines).replace(".", ",") + "\n")
    with Trajectory("argon.traj", "w") as trajectory:
        for shift in np.linspace(0, 0.1, 4):
            moved = bulk("Ar", "fcc", a=5.3, cubic=True)
            moved.positions[0] += shift
            trajectory.write(moved)


def _frames(embedded: Path) -> None:
    everything = formats.read(str(embedded / "ethanol.extxyz.gz"))
    formats.write(everything[:12], "train.extxyz")
    formats.write(everything[:1], "one.extxyz")
    bare = [frame.with_(energy=None, forces=None) for frame in everything[:4]]
    formats.write(ladera.Dataset.from_frames(bare), "unlabelled.extxyz")
    others = Path("train.extxyz").read_text()
    Path("other_keys.extxyz").write_text(
        others.replace("energy=", "REF_energy=").replace(":forces:", ":REF_forces:")
    )
    lines = others.splitlines()
    lines[4] = lines[4].replace(".", ",")
    Path("bad_line.extxyz").write_text("\n".join(lines) + "\n")
    mixed = [*everything[:6], *bare]
    formats.write(ladera.Dataset.from_frames(mixed), "partly.extxyz")
    formats.write(everything[:2], "units.data", units="bohr-hartree")
