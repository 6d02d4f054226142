"""The texts of some sound files of scripts/sound_files.py."""

from __future__ import annotations

CONTROL = """mode training
cut_function_type 2
angular_sf wide
atomic_data_path input.data
length_unit au
number_of_atom_types 1
model_path none
neurons_per_layer [5, 4, 1]
activation_function hyperbolic_tangent
weight_initialization glorot_normal
bias_initialization zeros
random_seed 3
optimization_method Adagrad
learning_rate 0.01
loss_function mse
number_of_epochs 2
minibatch_size 10
validation_fraction 0.25
atom_type_1 Ar 18 39.95 Ar.smf
"""
FUNCTIONS = """# CentralAtom is the i-atom
# CentralAtom Ar

# Type G2
# j-atom eta     Rs        Rc
Ar  0.05  0.0  12.00
Ar  0.10  0.5  12.00

# Type G3
# j-k-atoms    eta     lambda   zeta    Rc
Ar Ar 0.01 -1.0 2.0 12.0
"""
SPECTRUM = "cm-1,A\n" + "".join(f"{400 + 10 * k},{k % 7 / 10}\n" for k in range(60))
JCAMP = (
    "##TITLE=ethanol\n##JCAMP-DX=4.24\n##DATA TYPE=INFRARED SPECTRUM\n##XUNITS=1/CM\n"
    "##YUNITS=ABSORBANCE\n##FIRSTX=400\n##LASTX=404\n##DELTAX=1\n##XFACTOR=1\n##YFACTOR=0.01\n"
    "##NPOINTS=5\n##XYDATA=(X++(Y..Y))\n400 1 2 3\n403 4 5\n##END=\n"
)
PACKED = JCAMP.replace("400 1 2 3\n403 4 5\n", "400A1JJT\n403D0J\n")
XSF = """# total energy = -10.0 eV

CRYSTAL
PRIMVEC
 4.0 0.0 0.0
 0.0 4.0 0.0
 0.0 0.0 4.0
PRIMCOORD
2 1
Cu 0.0 0.0 0.0 0.1 0.0 0.0
Cu 2.0 2.0 2.0 -0.1 0.0 0.0
"""
INPUT_NN = """# Length unit : Bohr
# Energy unit : Ha
number_of_elements 1
elements Ar
atom_energy Ar -0.5
cutoff_type 6
scale_symmetry_functions
global_hidden_layers_short 1
global_nodes_short 4
global_activation_short t l
epochs 3
random_seed 7
test_fraction 0.25
use_short_forces
updater_type 0
gradient_type 1
task_batch_size_energy 3
force_weight 2.0
short_force_fraction 0.1
symfunction_short Ar 2 Ar 0.1 0.0 9.0
symfunction_short Ar 9 Ar Ar 0.01 1 1 9.0
"""
TRANSMITTANCE = '"1/cm";"%T"\n' + "".join(f"{400 + 10 * k};{90 - k % 7},5\n" for k in range(60))
