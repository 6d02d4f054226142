"""The training keywords of an ``input.nn`` in Ladera's words, and those that have none.

n2p2 works in normalised energies and forces, E* = E conv_energy and F* = F conv_energy /
conv_length, in the units of the folder. An update follows the error of one property, energies
(total ones, not per atom) or force components, the latter times ``force_weight``.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Final, NamedTuple

from ladera.codes.n2p2 import reading
from ladera.codes.n2p2.settings import Settings, SettingsWarning
from ladera.units import UnitSystem

# Why a keyword has no effect, if it is there.
_NOT_HONOURED: Final = {
    "parallel_mode": "all processes of a run take part in every step",
    "memorize_symfunc_results": "neighbour lists are kept as far as data.graph_memory allows",
    "main_error_metric": "log.csv and learning-curve.out have all of them",
    "write_trainpoints": "predictions_PART.npz has the energies of the best model",
    "write_trainforces": "predictions_PART.npz has the forces of the best model",
    "write_neuronstats": "there is no such file",
    "write_trainlog": "there is no such file",
    "precondition_weights": "n2p2 has not implemented it either",
    "repeated_energy_update": "n2p2 refuses it with forces too",
}
_OF_CHARGES: Final = (
    "selection_mode_charge",
    "rmse_threshold_charge",
    "rmse_threshold_trials_charge",
    "task_batch_size_charge",
    "charge_fraction",
    "use_old_weights_charge",
    "initial_hardness",
    "nguyen_widrow_weights_charge",
    "write_traincharges",
)
_SELECTIONS: Final = {0: "random", 1: "sorted", 2: "threshold"}


class Sizes(NamedTuple):
    """Of a data set."""

    frames: int
    atoms: int


def read(settings: Settings, system: UnitSystem, data: Path) -> dict[str, Any]:
    """Loss, optimizer, schedule, epochs, batch size and seed of a training configuration.

    ``data`` are the structures, whose number some keywords are fractions of. Raises ConfigError for
    values that cannot be; warns (SettingsWarning) of each keyword that is not honoured.
    """
    _name_what_is_not_honoured(settings)
    epochs = settings.integer("epochs")
    if epochs < 1:
        raise settings.error(f"epochs is {epochs}; expected 1 at least.", settings.line("epochs"))
    values: dict[str, Any] = {
        "epochs": epochs,
        "seed": settings.integer("random_seed", 0),
        "schedule": {"name": "constant"},
    }
    updater = _choice(settings, "updater_type", ("gradient descent", "Kalman filter"), 1)
    return values | (
        kalman(settings, system, data) if updater else gradient_descent(settings, system, data)
    )


def gradient_descent(settings: Settings, system: UnitSystem, data: Path) -> dict[str, Any]:
    r"""``gradient_type`` 0 (fixed step) or 1 (Adam), on a mean-square loss.

    With n frames of N atoms, b = task_batch_size_energy and one step for b frames, the loss

        L = w_E mean e^2 + w_F mean f^2,    w_E = (N E*/E)^2 b energy_fraction / 2
                                            w_F = (force_weight F*/F)^2 b (3 N force_fraction) / 2

    of energies per atom e and force components f moves the weights in an epoch as far as n2p2's
    updates do. n2p2's sums of errors times sums of gradients in a batch are not imitated.
    """
    size = _sizes(data)
    _, conv_energy, conv_length = reading.normalization(settings)
    batch = settings.integer("task_batch_size_energy", 1)
    per_step = batch or size.frames
    mean_atoms = size.atoms / size.frames
    energy = mean_atoms * conv_energy / system.energy
    loss = {"function": "mse", "energy": 0.5 * energy**2 * per_step * _energy_fraction(settings)}
    loss["forces"] = 0.0
    if "use_short_forces" in settings:
        force = settings.real("force_weight", 1.0) * conv_energy / conv_length / system.force
        share = 3 * mean_atoms * _force_fraction(settings, size)
        loss["forces"] = 0.5 * force**2 * per_step * share
    if _choice(settings, "gradient_type", ("fixed step", "Adam"), 0):
        epsilon = settings.real("gradient_adam_epsilon", 1e-8)
        if epsilon != 1e-8:
            _warn(settings, "gradient_adam_epsilon", "Ladera keeps 1e-8")
        optimizer = {
            "name": "adam",
            "learning_rate": settings.real("gradient_adam_eta", 1e-3),
            "betas": [
                settings.real("gradient_adam_beta1", 0.9),
                settings.real("gradient_adam_beta2", 0.999),
            ],
        }
    else:
        rate = settings.real("gradient_eta")
        optimizer = {"name": "sgd", "learning_rate": rate, "momentum": 0.0}
    for keyword in ("selection_mode", "selection_mode_energy", "selection_mode_force"):
        if keyword in settings and settings.words(keyword) != ("0",):
            _warn(settings, keyword, "gradient descent takes frames at random")
    for keyword in ("jacobian_mode", "update_strategy", "task_batch_size_force"):
        if keyword in settings:
            _warn(settings, keyword, "gradient descent steps along the gradient of one loss")
    return {"loss": loss, "optimizer": optimizer, "batch_size": batch or "all"}


def kalman(settings: Settings, system: UnitSystem, data: Path) -> dict[str, Any]:
    """``kalman_type`` 0 (standard) or 1 (fading memory), with its updates and their selection.

    Ladera's filter sees energies in units of energy_scale and forces in energy_scale / Angstrom,
    n2p2's E* and F*; the first are the same, and ``force_weight`` makes up for the lengths.
    """
    size, forces = _sizes(data), "use_short_forces" in settings
    _, _, conv_length = reading.normalization(settings)
    optimizer: dict[str, Any] = {
        "name": "kalman",
        "epsilon": settings.real("kalman_epsilon", 0.01),
        "q0": settings.real("kalman_q0", 0.01),
        "q_tau": settings.real("kalman_qtau", 2.302),
        "q_min": settings.real("kalman_qmin", 1e-6),
        "energy_fraction": _energy_fraction(settings),
        "energy_batch": settings.integer("task_batch_size_energy", 1) or "all",
        "blocks": ("one", "element")[_choice(settings, "update_strategy", ("one", "each"), 0)],
        **_selection(settings),
    }
    if _choice(settings, "kalman_type", ("standard", "fading memory"), 0):
        optimizer |= {
            "memory": "fading",
            "lambda": settings.real("kalman_lambda_short", 0.96),
            "nu": settings.real("kalman_nue_short", 0.9995),
        }
    else:
        eta = settings.real("kalman_eta", 0.01)
        grows = "kalman_etatau" in settings and "kalman_etamax" in settings
        optimizer |= {
            "memory": "standard",
            "eta": eta,
            "eta_tau": settings.real("kalman_etatau") if grows else 0.0,
            "eta_max": settings.real("kalman_etamax") if grows else eta,
        }
    if forces:
        optimizer |= {
            "force_fraction": _force_fraction(settings, size),
            "force_batch": settings.integer("task_batch_size_force", 1) or "all",
            "force_weight": settings.real("force_weight", 1.0) * system.length / conv_length,
        }
    batches = (optimizer["energy_batch"], optimizer.get("force_batch", 1))
    if settings.integer("jacobian_mode", 2) != 2 and batches != (1, 1):
        _warn(settings, "jacobian_mode", "every energy and force component has its own row")
    return {"optimizer": optimizer, "loss": {"forces": 1.0 if forces else 0.0}}


def _selection(settings: Settings) -> dict[str, Any]:
    """How the observations of an update are chosen."""
    values: dict[str, Any] = {}
    for keyword, key, default in (
        ("selection_mode", "selection", "0"),
        ("rmse_threshold", "threshold", "0.0"),
        ("rmse_threshold_trials", "trials", "3"),
    ):
        words = {
            name: settings.words(name)
            for name in (keyword, f"{keyword}_force", f"{keyword}_energy")
            if name in settings
        }
        chosen, *others = [*words] or [keyword]
        for name, given in words.items():
            if len(given) > 1:
                _warn(settings, name, "it stays as it begins in all epochs")
        for name in others:
            if words[name][0] != words[chosen][0]:
                _warn(settings, name, f"energies and forces have that of '{chosen}'")
        word = words[chosen][0] if words else default
        values[key] = settings.number(settings.line(chosen), word) if words else float(word)
    mode = values["selection"]
    if mode not in _SELECTIONS:
        raise settings.error(f"selection_mode is {mode:g}; choose 0, 1 or 2.")
    return values | {"selection": _SELECTIONS[mode], "trials": int(values["trials"])}


def _energy_fraction(settings: Settings) -> float:
    return _fraction(settings, "energy_fraction", 1.0)


def _force_fraction(settings: Settings, size: Sizes) -> float:
    """Fraction of force components in an epoch; ``force_energy_ratio`` goes first, as in n2p2."""
    if "force_energy_ratio" not in settings:
        return _fraction(settings, "force_fraction", 1.0)
    ratio = settings.real("force_energy_ratio")
    fraction = ratio * size.frames * _energy_fraction(settings) / (3 * size.atoms)
    if not 0 < fraction <= 1:
        raise settings.error(
            f"force_energy_ratio {ratio:g} asks for {fraction:g} times the force components there "
            "are; lower it.",
            settings.line("force_energy_ratio"),
        )
    return fraction


def _fraction(settings: Settings, keyword: str, default: float) -> float:
    value = settings.real(keyword, default)
    if not 0 < value <= 1:
        raise settings.error(
            f"'{keyword}' is {value:g}; expected more than 0 and at most 1.", settings.line(keyword)
        )
    return value


def _choice(settings: Settings, keyword: str, names: tuple[str, ...], default: int) -> int:
    number = settings.integer(keyword, default)
    if not 0 <= number < len(names):
        known = ", ".join(f"{i} ({name})" for i, name in enumerate(names))
        raise settings.error(f"'{keyword}' is {number}; choose {known}.", settings.line(keyword))
    return number


def _name_what_is_not_honoured(settings: Settings) -> None:
    for keyword, reason in _NOT_HONOURED.items():
        if keyword in settings:
            _warn(settings, keyword, reason)
    for keyword in _OF_CHARGES:
        if keyword in settings:
            _warn(settings, keyword, "it is of charges, which this potential does not have")


def _warn(settings: Settings, keyword: str, reason: str) -> None:
    line = settings.lines(keyword)[0]
    warnings.warn(
        f"{settings.path}, line {line.number}: '{line.keyword}' is not honoured: {reason}.",
        SettingsWarning,
        stacklevel=5,
    )


def _sizes(data: Path) -> Sizes:
    """Frames and atoms of an input.data, whatever its units."""
    frames = atoms = 0
    with data.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            word = line.split(maxsplit=1)[:1]
            frames += word == ["begin"]
            atoms += word == ["atom"]
    return Sizes(max(frames, 1), max(atoms, 1))
