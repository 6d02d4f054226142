"""What a ``control.in`` says of the model and of the task, in Ladera's words."""

from __future__ import annotations

from typing import Any, Final

from ladera.jobs.control_in import smf
from ladera.jobs.control_in.control_file import ControlFile
from ladera.kernels.symmetry_functions.functions import SymmetryFunction
from ladera.units import UnitSystem

TRAINING, SIMULATION = "training", "simulation"
_CUTOFF_FUNCTIONS: Final = {"1": "cosine", "2": "tanh3"}
_ANGULAR: Final[dict[str, smf.Angular]] = {"wide": "wide", "narrow": "narrow"}
_ACTIVATIONS: Final = {
    "hyperbolic_tangent": "tanh_scaled",
    "hyperbolic_tangent_with_linear_twist": "tanh_weak_twist",
    "sigmoid": "logistic",
    "identity": "linear",
    "rectilinear": "leaky_relu",
}


class ControlWarning(UserWarning):
    """Something of a ``control.in`` that Ladera does in its own way, or not at all."""


def require_mode(control: ControlFile, mode: str) -> None:
    """Refuse a file that says it is for the other task."""
    if "mode" not in control:
        return
    given = control.choice("mode", {TRAINING: TRAINING, SIMULATION: SIMULATION})
    if given != mode:
        command = {TRAINING: "train", SIMULATION: "md"}[given]
        raise control.error(
            f"mode is {given}; run 'ladera {command} {control.path}', or change it to {mode}.",
            control.entry("mode"),
        )


def section(control: ControlFile, units: UnitSystem) -> dict[str, Any]:
    """The section 'model'."""
    functions = _functions(control, units)
    return {
        "architecture": "hdnnp",
        "species": [kind.symbol for kind in control.atom_types()],
        "cutoff": max(function.cutoff for function in functions),
        "symmetry_functions": [f.model_dump(by_alias=True) for f in functions],
        "cutoff_function": control.choice("cut_function_type", _CUTOFF_FUNCTIONS),
        "hidden_layers": control.layers(),
        "activation": control.choice("activation_function", _ACTIVATIONS),
        "scaling": "scale_center",
    }


def described(control: ControlFile, units: UnitSystem) -> dict[str, Any]:
    """What the control.in of a simulation says of the model, which knows it itself."""
    words: dict[str, Any] = {}
    if "angular_sf" in control:
        words["symmetry_functions"] = _functions(control, units)
    if "cut_function_type" in control:
        words["cutoff_function"] = control.choice("cut_function_type", _CUTOFF_FUNCTIONS)
    if "neurons_per_layer" in control:
        words["hidden_layers"] = control.layers()
    if "activation_function" in control:
        words["activation"] = control.choice("activation_function", _ACTIVATIONS)
    return words


def _functions(control: ControlFile, units: UnitSystem) -> list[SymmetryFunction]:
    """The functions of all ``.smf`` files."""
    types = control.atom_types()
    symbols = [kind.symbol for kind in types]
    angular = control.choice("angular_sf", _ANGULAR)
    return [
        function
        for kind in types
        for function in smf.read(kind.functions, kind.symbol, symbols, angular, units.length)
    ]
