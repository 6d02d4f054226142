"""What the pair style calls: functions of C, and structures as in ``plugin/interface.h``."""

from __future__ import annotations

import atexit
import ctypes
import traceback
from collections.abc import Callable
from ctypes import (
    CFUNCTYPE,
    POINTER,
    c_char,
    c_char_p,
    c_double,
    c_int32,
    c_int64,
    c_void_p,
)
from typing import Any, Final

from ladera.engines.lammps.asking import Asked, asked_of
from ladera.engines.lammps.building import sources_hash
from ladera.errors import ConfigError, LaderaError

_TEXT: Final = 1024  # bytes of a sentence, with its end
_MOST_ELEMENTS: Final = 128


class Model(ctypes.Structure):
    """A model to be read, and what it is: ``LaderaModel``."""

    _fields_ = (
        ("paths", c_char_p),
        ("symbols", c_char_p),
        ("threads", c_int32),
        ("processes", c_int32),
        ("number", c_int32),
        ("reach", c_int32),
        ("hops", c_int32),
        ("gives", c_int32),
        ("at_once", c_int32),
        ("numbers", c_int32 * _MOST_ELEMENTS),
        ("masses", c_double * _MOST_ELEMENTS),
        ("cutoff", c_double),
        ("message", c_char * _TEXT),
    )


_EXCHANGE: Final = CFUNCTYPE(None, c_void_p, c_void_p, c_int32, c_int32)
_TOTAL: Final = CFUNCTYPE(None, c_void_p, c_void_p, c_int32)


class Atoms(ctypes.Structure):
    """Atoms of one process, or some of them, and what a model says of them: ``LaderaAtoms``."""

    _fields_ = (
        ("model", c_int32),
        ("wanted", c_int32),
        ("n_owned", c_int64),
        ("n_atoms", c_int64),
        ("n_edges", c_int64),
        ("atom_room", c_int64),
        ("edge_room", c_int64),
        ("numbers", c_void_p),
        ("row_pointer", c_void_p),
        ("centers", c_void_p),
        ("neighbors", c_void_p),
        ("vectors", c_void_p),
        ("positions", c_void_p),
        ("cell", c_double * 9),
        ("periodic", c_int32 * 3),
        ("is_portion", c_int32),
        ("pair", c_void_p),
        ("forward", _EXCHANGE),
        ("reverse", _EXCHANGE),
        ("total", _TOTAL),
        ("energies", c_void_p),
        ("gradients", c_void_p),
        ("forces", c_void_p),
        ("virial", c_void_p),
        ("virials", c_void_p),
        ("grade", c_void_p),
        ("spread", c_void_p),
        ("charge", c_void_p),
        ("message", c_char * _TEXT),
    )


_LOAD: Final = CFUNCTYPE(c_int32, POINTER(Model))
_EVALUATE: Final = CFUNCTYPE(c_int32, POINTER(Atoms))
_FORGET: Final = CFUNCTYPE(None, c_int32)


class Python(ctypes.Structure):
    """The functions below: ``LaderaPython``."""

    _fields_ = (
        ("load", _LOAD),
        ("evaluate", _EVALUATE),
        ("forget", _FORGET),
        ("message", c_char * _TEXT),
    )


_models: Final[dict[int, Asked]] = {}  # those that pair styles of this process use


def _refusing(function: Callable[[Any], None]) -> Callable[[Any], int]:
    """0 after a call that succeeds, 1 with a sentence in ``message`` after one that does not."""

    def call(pointer: Any) -> int:
        said = pointer.contents
        try:
            function(said)
        except BaseException as error:  # one that got out would be printed, and 0 returned
            sentence = str(error)
            if isinstance(error, KeyboardInterrupt):
                sentence = "The run was interrupted"
            elif not isinstance(error, (LaderaError, OSError)):
                traceback.print_exc()
                sentence = f"This is a mistake in Ladera ({type(error).__name__}: {error})"
            said.message = " ".join(sentence.rstrip(".").split()).encode()[: _TEXT - 1]
            return 1
        return 0

    return call


def load(model: Model) -> None:
    """Read a model, and say what it is."""
    paths, symbols = (text.decode().split("\n") for text in (model.paths, model.symbols))
    asked = asked_of(paths, symbols, model.processes, model.threads)
    model.number = max(_models, default=-1) + 1
    model.reach, model.cutoff = asked.reach, asked.potential.cutoff
    model.hops = asked.potential.hops or 0
    model.gives, model.at_once = asked.gives, asked.at_once
    for k, (number, mass) in enumerate(asked.elements):
        model.numbers[k], model.masses[k] = number, mass
    _models[model.number] = asked


def evaluate(atoms: Atoms) -> None:
    """Answer what is asked of some atoms."""
    _models[atoms.model].answer(atoms)


def forget(number: int) -> None:
    """Forget a model that is no longer used."""
    _models.pop(number, None)


# Those that C calls, which must stay.
_FUNCTIONS: Final = (_LOAD(_refusing(load)), _EVALUATE(_refusing(evaluate)), _FORGET(forget))


def connect(address: int, sources: str) -> None:
    """Give the pair style, whose structure is at an address, the functions that it calls.

    ``sources`` tells what it was built from. Raises ConfigError where that is not what is here.
    """
    if sources != sources_hash():
        raise ConfigError(
            "The plugin in this LAMMPS was built by another version of Ladera; build it again: "
            "ladera lammps build."
        )
    python = Python.from_address(address)
    python.load, python.evaluate, python.forget = _FUNCTIONS
    atexit.register(_disconnect, python)


def _disconnect(python: Python) -> None:
    """A LAMMPS that outlives this interpreter must not call it."""
    python.load, python.evaluate, python.forget = _LOAD(), _EVALUATE(), _FORGET()
