"""Active learning: a model looks for what it does not know, an engine labels it, the model learns.

=====================  ===========================================================================
:mod:`~.config`        what is asked for, as a YAML file says it
:mod:`~.folder`        the files of a loop: all of its state, to be read by people, too
:mod:`~.beginning`     the structures that the first model learns from
:mod:`~.modes`         some of them: displaced along normal modes
:mod:`~.exploration`   dynamics that rises in temperature until the model is lost
:mod:`~.choice`        which of the structures met are labelled, and which judge
:mod:`~.teaching`      the training of a round
:mod:`~.stopping`      when it is enough
:mod:`~.loop`          one round after the other
:mod:`~.distillation`  the same with a model as engine: a slow one teaches a fast one
=====================  ===========================================================================
"""

from ladera.active.distillation import Distilled, distill
from ladera.active.loop import ActiveRun, learn

__all__ = ["ActiveRun", "Distilled", "distill", "learn"]
