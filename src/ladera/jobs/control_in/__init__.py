"""The thesis's ``control.in`` and ``.smf`` files: train and simulate from them as they are.

>>> from ladera.jobs.control_in import molecular_dynamics, training
>>> potential = training("control.in", "run")
>>> atoms = molecular_dynamics("md/control.in", "md/run")
"""

from ladera.jobs.control_in.model import ControlWarning
from ladera.jobs.control_in.simulation_job import (
    SimulationJob,
    molecular_dynamics,
    read_simulation,
)
from ladera.jobs.control_in.training_job import ControlTraining, read_training, training

__all__ = [
    "ControlTraining",
    "ControlWarning",
    "SimulationJob",
    "molecular_dynamics",
    "read_simulation",
    "read_training",
    "training",
]
