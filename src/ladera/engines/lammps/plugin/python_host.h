// Python in the process of LAMMPS: the one that is there, or one that is started.

#ifndef LADERA_PYTHON_HOST_H
#define LADERA_PYTHON_HOST_H

#include "interface.h"

// Ladera's functions; with an empty `load` and a sentence in `message` where that fails.
const LaderaPython &ladera_python();

// A model (none is below 0) is no longer used; nothing is done where Python has ended already.
void ladera_forget(int32_t model);

#endif
