"""What a file is: every row of the table on a file of its kind, and on no file of another."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk, molecule
from safetensors.numpy import save_file

import output_files
from ladera import inputs, loading
from ladera.cli import main
from ladera.data import formats
from ladera.errors import ModelFileError
from ladera.recognition import foreign, recognise
from ladera.recognition.data import FILES, FOLDERS
from ladera.recognition.models import MODEL_FOLDERS, MODELS

NEP = "nep4_zbl 2 Te Pb\nzbl 0.7 1.4\ncutoff 8 4\n"
YACE = "elements: [Si]\nE0: [-1.5]\nembeddings:\n  0: {ndensity: 1}\nbonds:\n  [0, 0]: {}\n"
EAM = "a\nb\nc\n1 Cu\n500 0.0005 500 0.01 5.5\n29 63.5 3.6 fcc\n"
# Archives, by what is called how in them; data.pkl holds the names that follow.
ARCHIVES: Mapping[str, tuple[str, ...]] = {
    "a model exported by metatrain or metatomic (TorchScript)": ("m/extra/metatensor-version",),
    "a model of DeePMD-kit (frozen TorchScript)": ("m/code/__torch__/deepmd/pt/model.py",),
    "a MACE compiled to TorchScript": ("m/code/__torch__/mace/modules/models.py",),
    "a SevenNet deployed as TorchScript": ("m/code/__torch__/sevenn/nn/sequential.py",),
    "a NequIP or Allegro compiled to TorchScript": ("m/code/__torch__/nequip/nn.py",),
    "a SchNet of schnetpack (TorchScript)": ("m/code/__torch__/schnetpack/model.py",),
    "an ANI of TorchANI (TorchScript)": ("m/code/__torch__/torchani/aev.py",),
    "a model compiled by torch to TorchScript": ("m/constants.pkl", "m/data.pkl"),
    "a model compiled by torch (AOTInductor)": ("m/data/aotinductor/model/c.wrapper.so",),
    "a packaged model of nequip": ("m/model/package_metadata.txt",),
    "a model of sGDML": ("R_d_desc_alpha.npy", "sig.npy"),
    "arrays of numpy (.npz)": ("R.npy",),
}
PICKLED: Mapping[str, str] = {
    "a model of mace-torch": "mace.modules.models ScaleShiftMACE",
    "a checkpoint of SevenNet": "model_state_dict onehot_to_feature_x.linear.weight",
    "a model of DeePMD-kit (checkpoint of its PyTorch backend)": "model_params atomic_model.des",
    "a MatterSim": "model_name m3gnet model_args",
    "a CHGNet": "bond_conv_layers.0.weight",
    "an ORB": "model.gnn_stacks.0.weight",
    "a model of fairchem (UMA, eSEN, EquiformerV2, GemNet ...)": "fairchem.core.models",
    "a checkpoint of metatrain": "architecture_name best_model_state_dict",
    "a SchNet or PaiNN of schnetpack": "schnetpack.model.base",
    "a model of matgl (M3GNet, TensorNet ...)": "matgl.models._m3gnet",
    "a checkpoint of torchmd-net": "model.representation_model.embedding",
    "a state dict of TorchANI": "aev_computer.EtaR",
    "a checkpoint of torch of a code that is not known here": "layer.weight",
}
TEXTS: Mapping[str, str] = {
    "a moment tensor potential of MLIP": "MTP\nversion = 1.1.0\n",
    "the list of files of an ANI ensemble (NeuroChem)": "rHCNO-5.2R.params\nsae.dat\nANN-\n8\n",
    "a potential of Amp": "dict(descriptor={'cutoff': 6.5})",
    "a network of aenet": "3\n441\n15\n256\n20 20 1\n",
    "a potential of NEP (GPUMD)": NEP,
    "a GAP of QUIP": '<GAP_2020>\n<GAP_params label="GAP_2020"/>\n',
    "an ACE of pacemaker (or a GRACE/FS)": YACE,
    "an ACE of ACEpotentials.jl": '{"IP": {"__id__": "ACE1_PolyPairPot"}}',
    "a UF3 potential": "#UF3 POT UNITS: metal DATE: 2024 AUTHOR: me CITATION:\n2B W W 0 3 nk\n",
    "a SNAP potential": "# fitted\n2 31\nSi 0.5 1.0\n-0.123\n",
    "a PANNA potential": "[GVECT_PARAMETERS]\nNspecies = 1\n",
    "a POD potential (ML-POD)": "species Ta\npbc 1 1 1\ntwobody_number_radial_basis_functions 6\n",
    "a ReaxFF force field": "Reactive MD-force field\n 39 ! Number of general parameters\n",
    "an EAM potential (setfl)": EAM,
    "a result of Ladera": '{\n  "kind": "phonons",\n  "provenance": {}\n}\n',
    "a record of how a run of Ladera was made": '{\n  "settings": {},\n  "command": "ladera md",\n'
    '  "versions": {}\n}\n',
    "an output of CP2K": output_files.HEAD,
    "a vasprun.xml of VASP": output_files.vasprun(output_files.calculation(-1.0)),
    "an OUTCAR of VASP": output_files.outcar(-1.0),
    "an output of Quantum ESPRESSO (pw.x)": output_files.pw(-1.0),
    "an output of FHI-aims": output_files.aims(-1.0),
    "a log of Gaussian": " Entering Gaussian System, Link 0=g16\n",
    "an output of ORCA": "                 * O   R   C   A *\n",
    "a ML_AB of VASP (training data of its force fields)": " 1.0 Version\n*****\n"
    " The number of configurations\n",
    "structures of RuNNer or n2p2 (input.data)": "begin\ncomment one\n",
    "structures of MLIP (.cfg)": "BEGIN_CFG\n Size\n",
    "a dump of LAMMPS": "ITEM: TIMESTEP\n0\n",
    "a data file of LAMMPS": "title\n\n2 atoms\n1 atom types\n",
    "an XSF file": "CRYSTAL\nPRIMVEC\n",
    "a geometry of FHI-aims": "lattice_vector 4 0 0\natom 0.0 0.0 0.0 Si\n",
    "a training configuration": "# mine\ndata: {files: a.xyz}\nmodel:\n  architecture: mace\n",
    "a fine-tuning configuration": "data: {files: a.xyz}\nfinetune:\n  base: mace-spice\n",
    "an input.nn of n2p2 or RuNNer": "symfunction_short H 2 H 0.01 0.0 12.0\n",
    "a part of a model of n2p2 (scaling or weights)": "###\n# Symmetry function scaling data.\n",
    "a control.in": "mode training\natom_type_1 H 1 1.008 H.smf\n",
}
BYTES: Mapping[str, bytes] = {
    "a pickle, a program of Python that only running could read": b"\x80\x04\x95 a program",
    "a model of DeePMD-kit (frozen graph of TensorFlow)": b"\n\x1f\n\x11descrpt_attr/rcut\0\0",
    "arrays in HDF5": b"\x89HDF\r\n\x1a\n\0\0",
    "a database (SQLite), such as of ASE": b"SQLite format 3\0",
    "a trajectory in the DCD format": b"T\0\0\0CORD\0\0",
    "a trajectory of GROMACS (XTC or TRR)": b"\0\0\x07\xcb\0\0\0\x0a",
    "a trajectory in NetCDF": b"CDF\x02\0\0",
    "a database in the LMDB format": bytes(16) + b"\xde\xc0\xef\xbe",
}
# Which need more than a text to be made; below.
MADE = (
    *("a model of Ladera", "a checkpoint of a training of Ladera", "a model of Nequix"),
    *("a file of tensors (safetensors) of a code that is not known here",),
    *("a data set of Ladera (HDF5)", "a trajectory or structures of ASE", "extended XYZ"),
    *("an XYZ file", "a CIF", "a PDB file", "a POSCAR or CONTCAR of VASP"),
)


def make(name: str, folder: Path) -> Path:
    """A file of a kind, under a name that does not tell."""
    path = folder / ("file.info" if "ANI ensemble" in name else "file")
    if name in TEXTS:
        path.write_text(TEXTS[name])
    elif name in BYTES:
        path.write_bytes(BYTES[name])
    elif name in ARCHIVES or name in PICKLED:
        with zipfile.ZipFile(path, "w") as archive:
            for member in ARCHIVES.get(name, ()):
                archive.writestr(member, b"")
            if name in PICKLED:
                archive.writestr("m/data.pkl", PICKLED[name])
    else:
        made(name, path)
    return path


def made(name: str, path: Path) -> None:
    """A file that a library writes."""
    keys = {
        "a model of Ladera": "ladera",
        "a checkpoint of a training of Ladera": "ladera_checkpoint",
    }
    writers = {
        "a trajectory or structures of ASE": "traj",
        "extended XYZ": "extxyz",
        "an XYZ file": "xyz",
        "a CIF": "cif",
        "a PDB file": "proteindatabank",
        "a POSCAR or CONTCAR of VASP": "vasp",
    }
    if name in writers:
        atoms = molecule("H2O") if "XYZ file" in name else bulk("NaCl", "rocksalt", a=5.6)
        ase.io.write(path, atoms, format=writers[name])
    elif name == "a data set of Ladera (HDF5)":
        formats.read(bulk("Cu")).save(path.with_suffix(".h5"))
        path.with_suffix(".h5").rename(path)
    elif name == "a model of Nequix":
        keys_of_it = {"hidden_irreps": "4x0e", "atomic_numbers": [1], "radial_polynomial_p": 6.0}
        path.write_bytes(json.dumps(keys_of_it).encode() + b"\n\x93NUMPY\x01\0" + bytes(8192))
    else:
        metadata = {keys[name]: "{}"} if name in keys else None
        save_file({"a": np.zeros(2)}, path, metadata=metadata)


KINDS = {kind.name: kind for kind in (*MODELS, *FILES)}


@pytest.mark.parametrize("name", KINDS)
def test_a_file_is_known_by_its_content(name: str, tmp_path: Path) -> None:
    path = make(name, tmp_path)
    kind = recognise(path)
    assert kind is not None
    assert kind.name == name
    advice = kind.what_to_do(path)
    assert "{" not in advice
    assert not advice.endswith(".")
    assert kind.is_read or inputs.kind_of(path) != "model" or str(path) in foreign(path)


def test_every_kind_has_a_file_here() -> None:
    assert set(KINDS) == {*TEXTS, *BYTES, *ARCHIVES, *PICKLED, *MADE}


@pytest.mark.parametrize("name", [kind.name for kind in MODELS if kind.role == "model"])
def test_every_command_says_the_same_of_a_foreign_model(name: str, tmp_path: Path) -> None:
    path, kind = make(name, tmp_path), KINDS[name]
    if kind.is_read:
        readers = [reader for reader in loading.READERS if reader.reads(path)]
        assert len(readers) == 1  # and one reads it
        return
    said = f"{path} is {name}, which Ladera does not read; {kind.what_to_do(path)}."
    with pytest.raises(ModelFileError) as caught:
        loading.load(path)
    assert str(caught.value) == said
    with pytest.raises(ModelFileError) as caught:
        inputs.require_model(path)
    assert str(caught.value) == said
    assert "\n" not in said


FOLDER_FILES = {
    "a finished training of Ladera": ("model.ladera", "split.json"),
    "a training of Ladera that has not ended": ("split.json",),
    "a run of 'ladera md'": ("settings.json", "trajectory.traj"),
    "a result of Ladera": ("result.json",),
    "training data of DeePMD-kit (npy or raw)": ("type.raw",),
    "a model of n2p2 or RuNNer": ("input.nn", "scaling.data"),
    "an ANI potential of NeuroChem": ("rHCNO-5.2R.params", "sae.dat"),
    "a model of aenet": ("Ti.10t-10t.nn",),
    "a model of GRACE (SavedModel of TensorFlow)": ("saved_model.pb", "metadata.yaml"),
    "a SavedModel of TensorFlow": ("saved_model.pb",),
    "a model of matgl (M3GNet, TensorNet ...)": ("model.json", "state.pt"),
}


@pytest.mark.parametrize("name", [kind.name for kind in (*FOLDERS, *MODEL_FOLDERS)])
def test_folders(name: str, tmp_path: Path) -> None:
    for file in FOLDER_FILES[name]:
        (tmp_path / file).write_text(TEXTS["a network of aenet"] if file.endswith("t.nn") else "")
    kind = recognise(tmp_path)
    assert kind is not None
    assert kind.name == name


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 cut short",
        b"This is a letter.\nmodel:\ndata:\n",
        b"\x89PNG\r\n\x1a\n\0\0",
        bytes(range(256)) * 40,
        b"\x1f\x8b no gzip",
        b"\xff" * 70000,
        b"# How to\n```yaml\nmodel:\n  a: 1\ndata: b\n```\nnep4 is a potential\n",
        b"12 13\n14 15\n",
    ],
)
def test_what_is_none_of_them(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert recognise(path) is None


def test_a_compressed_file_is_looked_into(tmp_path: Path) -> None:
    path = tmp_path / "nep.txt.gz"
    path.write_bytes(gzip.compress(NEP.encode()))
    assert "a potential of NEP" in foreign(path)
    assert recognise(tmp_path / "nothing") is None


def test_info_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = make("a potential of NEP (GPUMD)", tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(["info", str(path), "--json", "-"])
    assert caught.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert found["format"] == "a potential of NEP (GPUMD)"
    assert not found["is_read"]
    assert f"model_filename: {path}" in found["what_to_do"]
