"""Signatures of models: those that Ladera reads, then those of other codes, narrow ones first."""

from __future__ import annotations

import re
from typing import Final

from ladera.recognition.kinds import (
    FileKind,
    Match,
    archives,
    begins,
    either,
    holds,
    pickles,
    says,
)
from ladera.recognition.look import PICKLE, ZIP, Look
from ladera.recognition.networks import is_of_aenet, is_of_amp, networks_of_aenet


def _read(name: str, matches: Match) -> FileKind:
    return FileKind(name, "model", matches, "'ladera info' says what is in it")


def _other(name: str, matches: Match, advice: str) -> FileKind:
    return FileKind(name, "model", matches, advice, is_read=False)


# --- what to do with a model that is not read ----------------------------------------------------


def _by_ase(calculator: str, options: str = "") -> str:
    """By the ASE calculator of its own package, which any command takes."""
    said = f" --calculator-options FILE.yaml, which says {options}" if options else ""
    return (
        "where its package is installed, name its ASE calculator in the place of a model: "
        f"--calculator {calculator}{said}"
    )


_BY_FUNCTION: Final = (
    "where its package is installed, write a Python function that returns its ASE calculator, and "
    "name it in the place of a model: --calculator MODULE:FUNCTION"
)
_BY_LAMMPS: Final = _by_ase(
    "ase.calculators.lammpslib:LAMMPSlib", "lmpcmds: [its pair_style and pair_coeff lines]"
)
_COMPILED: Final = "a compiled model holds no weights by name; give the checkpoint it was made from"
_NEQUIP: Final = _by_ase("nequip.ase:NequIPCalculator.from_compiled_model", "compile_path: {path}")


# --- signatures that are more than a pattern -----------------------------------------------------


def _compiled(package: str) -> Match:
    """A TorchScript program with the code of a package in it."""
    return archives(rf"(^|/)code/__torch__/{package}")


def _is_nequix(look: Look) -> bool:
    """A line of JSON with the settings of its layers, then arrays; or cut within that line."""
    line, newline, _ = look.head.partition(b"\n")
    words = (b'"hidden_irreps"', b'"radial_polynomial_p"', b'"atomic_numbers"')
    is_cut = not newline and look.path.suffix == ".nqx"
    return line.startswith(b"{") and (is_cut or all(word in line for word in words))


def _is_list_of_ani(look: Look) -> bool:
    """A .info file that begins with the name of the parameters."""
    return look.path.suffix == ".info" and bool(look.lines) and look.lines[0].endswith(".params")


def _is_snap(look: Look) -> bool:
    """Elements and coefficients of each: `nelem ncoeff`, then `Si 0.5 1.0`."""
    lines = [line for line in look.lines if not line.startswith("#")][:3]
    if len(lines) < 3 or not re.fullmatch(r"\d+ +\d+", lines[0]):
        return False
    element = re.fullmatch(r"[A-Z][a-z]? +[\d.eE+-]+ +[\d.eE+-]+", lines[1])
    return bool(element and re.fullmatch(r"[-+\d.eE]+", lines[2]))


def _is_eam(look: Look) -> bool:
    """The setfl format: three lines of comments, then how many elements and which."""
    lines = look.text.split("\n", 6)
    if len(lines) < 6:
        return False
    head = lines[3].split()
    counts = lines[4].split()
    elements = bool(head) and head[0].isdigit() and len(head) == int(head[0]) + 1
    return elements and len(counts) == 5 and counts[0].isdigit() and counts[2].isdigit()


def _has_pickle(look: Look) -> bool:
    return bool(PICKLE.match(look.head))


_YAML_OF_ACE: Final = (r"^\W*\"?elements\"?:", r"\"?embeddings\"?:", r"\"?(bonds|functions)\"?:")

MODELS: Final = (
    _read("a model of Ladera", lambda look: '"ladera"' in look.tensors),
    FileKind(
        "a checkpoint of a training of Ladera",
        "run",
        lambda look: '"ladera_checkpoint"' in look.tensors,
        "continue the training with 'ladera train' and --resume",
    ),
    _read("a moment tensor potential of MLIP", begins(r"MTP\s*\n")),
    _read(
        "a model of mace-torch",
        either(
            pickles("mace.modules"),
            pickles("node_embedding.linear.weight"),
            lambda look: '"node_embedding.linear.weight"' in look.tensors,
        ),
    ),
    _read("a state dict of TorchANI", pickles("aev_computer")),
    _read(
        "a checkpoint of SevenNet",
        pickles("model_state_dict", "onehot_to_feature_x"),
    ),
    _read("a model of Nequix", _is_nequix),
    _read("the list of files of an ANI ensemble (NeuroChem)", _is_list_of_ani),
    _read("a potential of Amp", lambda look: is_of_amp(look.head[:512])),
    _read("a network of aenet", lambda look: is_of_aenet(look.head[:512])),
    # Compiled: the weights cannot be had without running the program.
    _other(
        "a model exported by metatrain or metatomic (TorchScript)",
        archives(r"extra/metat(ensor|omic)"),
        _by_ase("metatomic.torch.ase_calculator:MetatomicCalculator", "model: {path}"),
    ),
    _other(
        "a model of DeePMD-kit (frozen TorchScript)",
        _compiled("deepmd"),
        _by_ase("deepmd.calculator:DP", "model: {path}"),
    ),
    _other(
        "a MACE compiled to TorchScript",
        _compiled("mace"),
        "give the .model file that it was compiled from",
    ),
    _other(
        "a SevenNet deployed as TorchScript",
        _compiled("sevenn"),
        "give the checkpoint (.pth) that it was deployed from",
    ),
    _other("a NequIP or Allegro compiled to TorchScript", _compiled("(nequip|allegro)"), _NEQUIP),
    _other("a SchNet of schnetpack (TorchScript)", _compiled("schnetpack"), _BY_FUNCTION),
    _other("an ANI of TorchANI (TorchScript)", _compiled("torchani"), _BY_FUNCTION),
    _other(
        "a model compiled by torch to TorchScript",
        archives(r"(^|/)(constants\.pkl|code/)"),
        _COMPILED,
    ),
    _other("a model compiled by torch (AOTInductor)", archives(r"aotinductor/"), _NEQUIP),
    _other(
        "a packaged model of nequip",
        archives(r"model/package_metadata\.txt"),
        "compile it with nequip-compile and its target ase, and " + _NEQUIP,
    ),
    # Checkpoints of torch, by names that stand in their pickles.
    _other(
        "a model of DeePMD-kit (checkpoint of its PyTorch backend)",
        pickles("model_params", "atomic_model"),
        "freeze it (dp --pt freeze), and " + _by_ase("deepmd.calculator:DP", "model: {path}"),
    ),
    _other(
        "a MatterSim",
        pickles("model_args", "m3gnet"),
        _by_ase("mattersim.forcefield:MatterSimCalculator", "load_path: {path}"),
    ),
    _other(
        "a CHGNet",
        either(pickles("bond_conv_layers"), pickles("composition_model", "angle_layers")),
        _BY_FUNCTION + "; --calculator chgnet.model.dynamics:CHGNetCalculator is the published one",
    ),
    _other("an ORB", pickles("gnn_stacks"), _BY_FUNCTION),
    _other(
        "a model of fairchem (UMA, eSEN, EquiformerV2, GemNet ...)",
        either(pickles("fairchem"), pickles("ocpmodels"), pickles("out_blocks", "rbf_h")),
        _by_ase(
            "fairchem.core:FAIRChemCalculator.from_model_checkpoint",
            "name_or_path: {path} and task_name",
        ),
    ),
    _other(
        "a checkpoint of metatrain",
        pickles("architecture_name", "model_state_dict"),
        "export it (mtt export), and "
        + _by_ase("metatomic.torch.ase_calculator:MetatomicCalculator", "model: {path}"),
    ),
    _other("a SchNet or PaiNN of schnetpack", pickles("schnetpack"), _BY_FUNCTION),
    _other("a model of matgl (M3GNet, TensorNet ...)", pickles("matgl"), _BY_FUNCTION),
    _other("a checkpoint of torchmd-net", pickles("representation_model"), _BY_FUNCTION),
    _other(
        "a model of sGDML",
        archives(r"^R_d_desc_alpha\.npy$"),
        _by_ase("sgdml.intf.ase_calc:SGDMLCalculator", "model_path: {path}"),
    ),
    # Texts.
    _other(
        "a potential of NEP (GPUMD)",
        begins(r"nep\d?(_[a-z]+\d?)* +\d+( +[A-Z][a-z]?)+ *\n"),
        _by_ase("calorine.calculators:CPUNEP", "model_filename: {path}"),
    ),
    _other(
        "a GAP of QUIP",
        says(r"<(GAP_params|GAP_data|gpSparse|GAP_\d\w*)\b"),
        _by_ase("quippy.potential:Potential", "param_filename: {path}"),
    ),
    _other(
        "an ACE of pacemaker (or a GRACE/FS)",
        either(says(*_YAML_OF_ACE), says(r"deltaSplineBins", r"\"?(bonds|embeddings)\"?:")),
        _by_ase("pyace:PyACECalculator", "basis_set: {path}"),
    ),
    _other("an ACE of ACEpotentials.jl", says(r"\A\s*\{", r'"__id__": *"ACE'), _BY_LAMMPS),
    _other("a UF3 potential", either(begins("#UF3 POT"), says(r'"knots_map"')), _BY_LAMMPS),
    _other(
        "a SNAP potential",
        either(_is_snap, says(r"^\s*rcutfac\s", r"^\s*twojmax\s")),
        _BY_LAMMPS,
    ),
    _other("a PANNA potential", says(r"^\[GVECT_PARAMETERS\]"), _BY_LAMMPS),
    _other("a POD potential (ML-POD)", says(r"^\s*species\s", r"^\s*twobody_number"), _BY_LAMMPS),
    _other("a ReaxFF force field", says(r"Number of general parameters"), _BY_LAMMPS),
    _other(
        "an EAM potential (setfl)", _is_eam, _by_ase("ase.calculators.eam:EAM", "potential: {path}")
    ),
    # Binary ones, and those of which only the container is known.
    _other(
        "a model of DeePMD-kit (frozen graph of TensorFlow)",
        lambda look: (
            b"descrpt_attr" in look.head + look.tail or b"model_attr/" in look.head + look.tail
        ),
        _by_ase("deepmd.calculator:DP", "model: {path}"),
    ),
    _other(
        "a file of tensors (safetensors) of a code that is not known here",
        lambda look: bool(look.tensors),
        "give a state dict of mace-torch, or the model in the code's own file",
    ),
    _other(
        "a checkpoint of torch of a code that is not known here",
        lambda look: look.head.startswith(ZIP) and bool(look.pickled),
        _BY_FUNCTION,
    ),
    FileKind(
        "a pickle, a program of Python that only running could read",
        "other",
        _has_pickle,
        "write its contents in another format with the program that it is from",
        is_read=False,
    ),
)

MODEL_FOLDERS: Final = (
    _read("a model of n2p2 or RuNNer", holds("input.nn")),
    _read(
        "an ANI potential of NeuroChem",
        lambda look: any(name.endswith(".params") for name in look.names),
    ),
    _read("a model of aenet", lambda look: any(True for _ in networks_of_aenet(look.path))),
    _other(
        "a model of GRACE (SavedModel of TensorFlow)",
        lambda look: {"saved_model.pb", "metadata.yaml"} <= look.names,
        _by_ase("tensorpotential.calculator:TPCalculator", "model: {path}"),
    ),
    _other("a SavedModel of TensorFlow", holds("saved_model.pb"), _BY_FUNCTION),
    _other(
        "a model of matgl (M3GNet, TensorNet ...)", holds("model.json", "state.pt"), _BY_FUNCTION
    ),
)
