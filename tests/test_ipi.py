"""Models in i-PI: beads in one evaluation, sockets, and quantum nuclei."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.build import molecule
from ase.calculators.socketio import SocketIOCalculator
from ase.optimize import BFGS

import ladera
from argon import argon, crystal
from ladera.engines import evaluator
from ladera.engines.ipi.beads import Beads
from ladera.engines.ipi.client import Client
from ladera.engines.ipi.simulation import write_simulation
from ladera.errors import ConfigError, DataError, SimulationError
from ladera.simulation.structures import read_structure

needs_ipi = pytest.mark.skipif(
    find_spec("ipi") is None, reason="i-PI is not installed (ladera[ipi])"
)


@pytest.fixture(scope="module")
def hdnnp():
    return ladera.load("ethanol-hdnnp")


def ethanol(seed: int = 1):
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.04, seed=seed)
    return atoms


def skewed():
    """A crystal in a cell that is not orthogonal."""
    atoms = crystal(1)
    atoms.set_cell([[5.4, 0, 0], [1.2, 5.2, 0], [-0.8, 1.7, 5.5]], scale_atoms=True)
    atoms.rattle(0.1, seed=2)
    return atoms


def to_ipi(atoms):
    """Cell vectors as columns and positions, in bohr."""
    return np.ascontiguousarray(atoms.cell.array.T) / units.Bohr, atoms.positions / units.Bohr


def test_all_beads_are_one_evaluation_with_the_calculators_numbers(monkeypatch):
    """The virial is -V times ASE's stress, as in i-PI, where compression is positive."""
    calls = []
    plain = evaluator.evaluate
    monkeypatch.setattr(
        evaluator, "evaluate", lambda *a, **k: calls.append(a[1].n_structures) or plain(*a, **k)
    )
    model, structures = argon(), []
    for seed in range(5):
        structures.append(skewed())
        structures[-1].rattle(0.05, seed=seed)
    beads = Beads(model, skewed())
    for _ in range(2):
        answers = beads(*zip(*map(to_ipi, structures), strict=True))
    assert calls == [5, 5]
    for atoms, said in zip(structures, answers, strict=True):
        atoms.calc = model.calculator()
        assert said.energy * units.Ha == pytest.approx(atoms.get_potential_energy(), rel=1e-12)
        forces = atoms.get_forces()
        found = said.forces * units.Ha / units.Bohr
        assert np.abs(found - forces).max() <= 1e-10 * np.abs(forces).max()
        virial = -atoms.get_volume() * atoms.get_stress(voigt=False)
        np.testing.assert_allclose(said.virial * units.Ha, virial, rtol=1e-10, atol=1e-10)


# --- sockets -------------------------------------------------------------------------------------


class Served(threading.Thread):
    """A client at work, and how it ended."""

    def __init__(self, address: str, beads: Beads) -> None:
        super().__init__(daemon=True)
        self._address, self._beads, self.end = address, beads, None
        self.start()

    def run(self) -> None:
        try:
            self.end = Client(self._address, patience=60).serve(self._beads)
        except Exception as error:
            self.end = error


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


@pytest.mark.parametrize("is_unix", [True, False])
def test_it_answers_the_server_of_ase(is_unix):
    name, port = f"ladera-{os.getpid()}", free_port()
    where = {"unixsocket": name} if is_unix else {"port": port}
    client = Served(name if is_unix else f"localhost:{port}", Beads(argon(), skewed()))
    with SocketIOCalculator(**where, timeout=300) as calculator:
        atoms, same = skewed(), skewed()
        atoms.calc, same.calc = calculator, argon().calculator()
        for seed in range(2):
            atoms.rattle(0.02, seed=seed)
            same.positions[:] = atoms.positions
            np.testing.assert_allclose(atoms.get_forces(), same.get_forces(), rtol=0, atol=1e-12)
            np.testing.assert_allclose(atoms.get_stress(), same.get_stress(), rtol=0, atol=1e-12)
    client.join(60)
    assert client.end == 2


class Server:
    """One that says what a test wants."""

    def __init__(self, path: Path) -> None:
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self._listening.settimeout(300)

    def say(self, *parts: bytes) -> None:
        """Say it to the first who comes, and hang up when he has."""
        with self._listening:
            connection, _ = self._listening.accept()
        with connection:
            connection.sendall(b"".join(parts))
            connection.settimeout(300)
            with contextlib.suppress(ConnectionError):
                while len(parts) > 1 and connection.recv(4096):
                    pass


def word(text: str) -> bytes:
    return text.encode().ljust(12)


def structure_of(n_atoms: int, value: float = 0.5) -> tuple[bytes, ...]:
    cell = np.eye(3).tobytes() * 2
    return word("POSDATA"), cell, np.int32(n_atoms).tobytes(), np.full(3 * n_atoms, value).tobytes()


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ((word("HELLO"),), "said 'HELLO', which has no place here"),
        ((word("GETFORCE"),), "said 'GETFORCE', which has no place here"),
        ((word("POSDATA"), b"abc"), None),
        (structure_of(3), "i-PI has 3 atoms and the structure for Ladera 9"),
        (structure_of(9, np.nan), "Atom 0 has the position"),
    ],
)
def test_servers_that_say_something_else_or_go_away(tmp_path, hdnnp, parts, sentence):
    path = tmp_path / "socket"
    server = Server(path)
    client = Served(str(path), Beads(hdnnp, ethanol()))
    server.say(*(parts if sentence else parts[:1]))
    client.join(60)
    assert isinstance(client.end, SimulationError | DataError)
    assert (sentence or "broke the connection off after 0 structures") in str(client.end)


def test_addresses_without_anybody(tmp_path):
    with pytest.raises(ConfigError, match="The address is 'host:port'; expected HOST:PORT"):
        Client("host:port")
    with pytest.raises(SimulationError, match=r"Nobody answers at .*; start the server first"):
        Client(str(tmp_path / "none"), patience=0)
    with pytest.raises(SimulationError, match="Nobody answers at localhost"):
        Client(f"localhost:{free_port()}", patience=0)


def test_another_order_of_the_atoms_is_seen(hdnnp):
    atoms = ethanol()
    beads = Beads(hdnnp, atoms)
    cell, positions = to_ipi(atoms)
    sentence = "Atom 0 of i-PI is where the structure for Ladera has its atom 8, H"
    with pytest.raises(DataError, match=re.escape(sentence)):
        beads([cell], [positions[::-1]])
    assert len(beads([cell], [positions])) == 1
    with pytest.raises(DataError, match="Atom 0 is Ar, which this model does not know"):
        Beads(hdnnp, crystal(1))


# --- i-PI itself ---------------------------------------------------------------------------------


def run(folder: Path) -> np.ndarray:
    """The columns of i-PI's output: step, time, temperature, conserved, potential, kinetic..."""
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    script = str(Path(sys.executable).with_name("i-pi"))
    done = subprocess.run(
        [script, "input.xml"], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return np.atleast_2d(np.loadtxt(folder / "run.out"))


@pytest.fixture(scope="module")
def relaxed(hdnnp):
    """Ethanol at rest, and its Hessian by differences of forces."""
    atoms = molecule("CH3CH2OH")
    atoms.calc = hdnnp.calculator()
    BFGS(atoms, logfile=None).run(0.01)
    plain, step, columns = atoms.positions.copy(), 0.005, []
    for atom, axis in np.ndindex(plain.shape):
        sides = []
        for sign in (1, -1):
            atoms.positions[:] = plain
            atoms.positions[atom, axis] += sign * step
            sides.append(atoms.get_forces().ravel())
        columns.append((sides[1] - sides[0]) / (2 * step))
    atoms.positions[:] = plain
    return atoms, 0.5 * (np.array(columns) + np.array(columns).T)


def hydrogens_by_theory(atoms, hessian, beads: int, kelvin: float) -> float:
    """Mean kinetic energy of a hydrogen atom in P beads of a harmonic molecule, eV.

    Each mode of frequency w and its P ring-polymer frequencies w_k = 2 P kT sin(k pi / P) / hbar
    give kT/2 sum_k w^2 / (w^2 + w_k^2); the atom's share is its part of the mode.
    """
    symbols, masses = np.array(atoms.get_chemical_symbols()), atoms.get_masses().repeat(3)
    weighted = hessian / np.sqrt(np.outer(masses, masses))
    squares, modes = np.linalg.eigh(weighted)  # eV/(Angstrom^2 amu), in ASE's units of time
    kt, hbar = units.kB * kelvin, units._hbar * units.J * units.s
    ring = (2 * beads * kt / hbar * np.sin(np.pi * np.arange(beads) / beads)) ** 2
    squares = squares.clip(1e-9)
    per_mode = 0.5 * kt * (squares[:, None] / (squares[:, None] + ring)).sum(1)
    of_atoms = (modes**2 @ per_mode).reshape(-1, 3).sum(1)
    return float(of_atoms[symbols == "H"].mean())


@needs_ipi
@pytest.mark.parametrize(("mass", "label"), [(1.008, "H"), (2.014, "D")])
def test_quantum_nuclei_have_the_kinetic_energy_of_their_isotope(
    tmp_path, hdnnp, relaxed, mass, label
):
    """Within the error of a short run: three times the classical one, less for the heavier."""
    atoms, hessian = relaxed
    atoms.set_masses(np.where(atoms.numbers == 1, mass, atoms.get_masses()))
    write_simulation(hdnnp, atoms, tmp_path, temperature=300, beads=8, steps=320)
    assert f"kinetic_cv({label})" in (tmp_path / "input.xml").read_text()
    rows = run(tmp_path)
    found = rows[10:, 6].mean() / 6
    expected = hydrogens_by_theory(atoms, hessian, 8, 300)
    assert expected > 2.2 * 1.5 * units.kB * 300
    assert found == pytest.approx(expected, rel=0.12)


@needs_ipi
def test_a_skewed_cell_in_one_process_and_by_two_clients_with_batches(tmp_path):
    atoms = skewed()
    atoms.rotate(40, (1, 2, 3), rotate_cell=True)
    write_simulation(argon(), atoms, tmp_path, temperature=50, beads=4, steps=10)
    inside = run(tmp_path)
    atoms.calc = argon().calculator()
    assert inside[0, 4] == pytest.approx(atoms.get_potential_energy(), rel=1e-6)  # i-PI's units
    text = (tmp_path / "input.xml").read_text()
    name = f"ladera-two-{os.getpid()}"
    sockets = f"<ffsocket name='ladera' mode='unix' pbc='false'> <address> {name} </address>"
    sockets += "<latency> 1e-4 </latency> <batch_size> 2 </batch_size> </ffsocket>"
    text = re.sub("<ffdirect.*</ffdirect>", sockets, text, flags=re.DOTALL)
    (tmp_path / "input.xml").write_text(text)
    (tmp_path / "RESTART").unlink()
    template = read_structure(tmp_path / "structure.extxyz")
    clients = [Served(name, Beads(argon(), template)) for _ in range(2)]
    outside = run(tmp_path)
    for client in clients:
        client.join(60)
        assert client.end > 0
    np.testing.assert_allclose(outside[:, 4:], inside[:, 4:], rtol=1e-5)


@needs_ipi
def test_settings_that_make_no_sense(tmp_path, hdnnp):
    def write(atoms, **settings):
        write_simulation(hdnnp, atoms, tmp_path / "none", **{"temperature": 300} | settings)

    for settings in ({"temperature": 0}, {"beads": 0}, {"steps": -1}, {"time_step": np.inf}):
        with pytest.raises(SimulationError, match=f"{next(iter(settings))} is .* above zero"):
            write(ethanol(), **settings)
    film = ethanol()
    film.set_cell([9, 9, 9])
    film.pbc = (True, True, False)
    with pytest.raises(DataError, match="periodic along a and b alone; i-PI's"):
        write(film)
    with pytest.raises(DataError, match="Atom 0 is Ar, which this model does not know"):
        write(crystal(1))
    assert not (tmp_path / "none").exists()
