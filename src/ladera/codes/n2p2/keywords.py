"""The keywords of ``input.nn``: which exist, their other spellings, and which may be repeated."""

from __future__ import annotations

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What decides the energies of a potential.
MODEL_KEYWORDS: Final = _words(
    """
    number_of_elements elements atom_energy cutoff_type symfunction_short nnp_type
    scale_symmetry_functions center_symmetry_functions scale_symmetry_functions_sigma
    scale_min_short scale_max_short normalize_nodes
    global_hidden_layers_short global_nodes_short global_activation_short
    element_hidden_layers_short element_nodes_short element_activation_short
    global_hidden_layers_electrostatic global_nodes_electrostatic global_activation_electrostatic
    element_hidden_layers_electrostatic element_nodes_electrostatic element_activation_electrostatic
    mean_energy conv_energy conv_length conv_charge
    fixed_gausswidth four_pi_epsilon screen_electrostatics
    ewald_truncation_error_method ewald_prec
    """
)
# What decides how a potential is trained.
TRAINING_KEYWORDS: Final = _words(
    """
    random_seed test_fraction epochs use_short_forces normalize_data_set updater_type
    parallel_mode jacobian_mode update_strategy selection_mode selection_mode_energy
    selection_mode_force selection_mode_charge rmse_threshold rmse_threshold_energy
    rmse_threshold_force rmse_threshold_charge rmse_threshold_trials rmse_threshold_trials_energy
    rmse_threshold_trials_force rmse_threshold_trials_charge task_batch_size_energy
    task_batch_size_force task_batch_size_charge energy_fraction force_fraction charge_fraction
    force_energy_ratio force_weight use_old_weights_short use_old_weights_charge weights_min
    weights_max initial_hardness nguyen_widrow_weights_short nguyen_widrow_weights_charge
    precondition_weights repeated_energy_update memorize_symfunc_results main_error_metric
    write_trainpoints write_trainforces write_traincharges write_weights_epoch write_neuronstats
    write_trainlog gradient_type gradient_eta gradient_adam_eta gradient_adam_beta1
    gradient_adam_beta2 gradient_adam_epsilon kalman_type kalman_epsilon kalman_q0 kalman_qtau
    kalman_qmin kalman_eta kalman_etatau kalman_etamax kalman_lambda_short kalman_nue_short
    """
)
ALIASES: Final = {
    "nnp_generation": "nnp_type",
    "nnp_type_gen": "nnp_type",
    "nnp_gen": "nnp_type",
    "symfunction": "symfunction_short",
    "short_energy_error_threshold": "rmse_threshold_energy",
    "short_force_error_threshold": "rmse_threshold_force",
    "short_energy_fraction": "energy_fraction",
    "short_force_fraction": "force_fraction",
    "scale_min_short_atomic": "scale_min_short",
    "scale_max_short_atomic": "scale_max_short",
}
# May stand on several lines: one for each element, or for each function.
REPEATABLE: Final = _words(
    """
    symfunction_short atom_energy fixed_gausswidth initial_hardness
    element_hidden_layers_short element_nodes_short element_activation_short
    element_hidden_layers_electrostatic element_nodes_electrostatic element_activation_electrostatic
    """
)
# RuNNer's own, unknown to n2p2, that change the energies: a potential with them is another one.
FOREIGN: Final = {
    "global_symfunction_short": "write its functions out as 'symfunction_short' lines",
    "element_symfunction_short": "write its functions out as 'symfunction_short' lines",
    "global_pairsymfunction_short": "pair networks are not supported",
    "element_pairsymfunction_short": "pair networks are not supported",
    "pairsymfunction_short": "pair networks are not supported",
    "cutoff_alpha": "write it as second number of 'cutoff_type'",
    "use_electrostatics": "3G potentials with fixed charges are not supported",
    "use_fixed_charges": "3G potentials with fixed charges are not supported",
    "use_vdw": "dispersion corrections of RuNNer are not supported",
    "use_atom_spins": "magnetic symmetry functions are not supported",
    "use_spins": "magnetic symmetry functions are not supported",
}
