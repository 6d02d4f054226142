"""Checkpoints of SevenNet: energies of SevenNet itself, and files that are damaged or hostile."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms

import ladera
from ladera.codes import published, sevennet
from ladera.codes.torch_archive import pickle_of
from ladera.errors import ModelFileError
from ladera.modelfile import save
from ladera.recognition import recognise

# Random weights, saved and evaluated by sevenn 0.13.0: full parity with weights of each element;
# two levels of theory, XPLOR, features given one by one; and the same names, order and signs that
# version 0.9.1 had.
HERE = Path(__file__).parent / "data" / "sevennet"
GOLDEN = json.loads((HERE / "golden.json").read_text())
SHARED = Path(__file__).parents[2] / "shared" / "data" / "weights" / "sevennet0_golden.json"
PUBLISHED = {
    "7net-0": "sevennet-0",
    "7net-0_22May2024": "sevennet-0-22may2024",
    "7net-l3i5": "sevennet-l3i5",
    "7net-mf-0:PBE": "sevennet-mf-0",
    "7net-mf-0:R2SCAN": "sevennet-mf-0",
}


@pytest.mark.parametrize("case", GOLDEN["values"], ids=lambda case: f"{case['file']}")
def test_it_computes_what_sevenn_computes(case: dict[str, Any]) -> None:
    path = HERE / f"{case['file']}.pth"
    assert sevennet.reads(path)
    potential = ladera.load(path, head=case["head"])
    assert potential.dtype == torch.float32
    atoms = Atoms(GOLDEN["numbers"], GOLDEN["positions"], cell=GOLDEN["cell"], pbc=True)
    atoms.calc = potential.calculator()
    assert atoms.get_potential_energy() == pytest.approx(case["energy"], abs=1e-5)
    assert atoms.get_forces() == pytest.approx(np.array(case["forces"]), abs=5e-5)
    # sevenn sums in float32: ours in float64 differs from it by as much.
    rounding = 1e-7 + 5e-6 * np.abs(case["stress"]).max()
    assert atoms.get_stress() == pytest.approx(np.array(case["stress"]), abs=rounding)


@pytest.mark.skipif(not SHARED.is_file(), reason="needs the project's shared folder")
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_ones_to_float32_rounding(name: str) -> None:
    known = published.find(PUBLISHED[name])
    path = published.folder_of_models() / known.file_name
    if not path.is_file():
        pytest.skip(f"{known.name} is not here; ladera.load fetches it")
    potential = ladera.load(known.name, head=name.partition(":")[2] or None)
    cases = [c for c in json.loads(SHARED.read_text())["structures"] if c["model"] == name]
    assert cases
    for case in cases:
        atoms = Atoms(case["numbers"], case["positions"], cell=case["cell"], pbc=case["pbc"])
        atoms.calc = potential.calculator()
        assert atoms.get_potential_energy() == pytest.approx(case["energy"], abs=1e-5)
        assert atoms.get_forces() == pytest.approx(np.array(case["forces"]), abs=2e-5)
        assert atoms.get_stress() == pytest.approx(np.array(case["stress_voigt_ase"]), abs=1e-6)


def test_the_level_of_theory_is_a_head_with_a_default(tmp_path: Path) -> None:
    path = HERE / "tasks.pth"
    assert ladera.load(path).provenance["head"] == "pbe"  # as its file says
    chosen = ladera.load(path, head="scan")
    assert chosen.provenance["heads"] == ["pbe", "scan"]
    save(chosen, tmp_path / "scan.ladera")
    again = ladera.load(tmp_path / "scan.ladera")
    for name, tensor in chosen.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)
    with pytest.raises(ModelFileError, match="has no head 'scam'; did you mean 'scan'"):
        ladera.load(path, head="scam")
    with pytest.raises(ModelFileError, match="has no head 'pbe'; it has one for everything"):
        ladera.load(HERE / "old.pth", head="pbe")
    without = changed("tasks", tmp_path, lambda c, _: c.pop("default_modal"))
    with pytest.raises(ModelFileError, match=r"several heads and no default; choose one of: pbe"):
        ladera.load(without)


Change = Callable[[dict[str, Any], dict[str, torch.Tensor]], object]


def changed(name: str, folder: Path, change: Change) -> Path:
    """A file with something else in the place of some of it."""
    contents = torch.load(HERE / f"{name}.pth", weights_only=True)
    change(contents["config"], contents["model_state_dict"])
    torch.save(contents, folder / "changed.pth")
    return folder / "changed.pth"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c, s: c.update(cutoff="far"), "'cutoff'"),
        (lambda c, s: c.update(interaction_type="mace"), "'interaction_type'"),
        (lambda c, s: c.update(radial_basis={"radial_basis_name": "sine"}), "radial_basis_name"),
        (lambda c, s: c.update(lmax=1), "has .* numbers, and by its settings"),
        (lambda c, s: c.update(_type_map={14: 0, 1: 2, 8: 3}), "_type_map"),
        (lambda c, s: c.update(self_connection_type=["linear"]), "of 1 layers, not 2"),
        (lambda c, s: c.update(readout_as_fcn=True, readout_fcn_activation="relu"), "is relu"),
        (lambda c, s: c.update(irreps_manual=["4x0e", "4xx", "4x0e"]), "has '4xx'"),
        (
            lambda c, s: c.update(irreps_manual=["4x0e", "4x0e+3x1o+2x1e", "4x0e"]),
            "after its layer",
        ),
        (lambda c, s: s.pop("0_convolution.denominator"), "lacks the parameter 0_convolution.den"),
        (lambda c, s: s["0_convolution.denominator"].zero_(), "is 0, not above zero"),
        (lambda c, s: s["rescale_atomic_energy.scale"].fill_(torch.nan), "that are no numbers"),
    ],
)
def test_a_model_that_ladera_has_not_is_named(tmp_path: Path, change: Change, message: str) -> None:
    with pytest.raises(ModelFileError, match=message) as caught:
        ladera.load(changed("parity", tmp_path, change))
    assert "changed.pth" in str(caught.value)
    assert "\n" not in str(caught.value)


class Hostile:
    """What a pickle may ask for."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_a_hostile_pickle_is_not_run(tmp_path: Path) -> None:
    path, mark = tmp_path / "hostile.pth", tmp_path / "it-ran"
    root = {"model_state_dict": {"onehot_to_feature_x": Hostile(mark)}, "config": Hostile(mark)}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hostile/data.pkl", pickle.dumps(root, protocol=2))
    kind = recognise(path)
    assert kind is not None
    assert kind.name == "a checkpoint of SevenNet"
    with pytest.raises(ModelFileError, match=r"its config is .*, not a dictionary"):
        ladera.load(path)
    assert not mark.exists()


def test_a_pickle_that_unpacks_to_much_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", bytes(1 << 22))
    assert pickle_of(path) == b""
    with pytest.raises(ModelFileError, match="of a code that is not known here"):
        ladera.load(path)


@pytest.mark.parametrize("part", [0.2, 0.6, 0.95])
def test_a_file_cut_short_is_a_sentence(tmp_path: Path, part: float) -> None:
    content = (HERE / "old.pth").read_bytes()
    path = tmp_path / "cut.pth"
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ModelFileError, match=r"cut\.pth is no complete checkpoint of torch"):
        ladera.load(path)
