"""What objects show of themselves: one or two lines in a terminal, tables in a notebook."""

from __future__ import annotations

import importlib
import inspect
import sys
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from ase.build import molecule
from matplotlib.figure import Figure

import ladera
from argon import argon, cluster, crystal, one_thread  # noqa: F401
from ladera import Committee, Graph
from ladera.arguments import bind, checked
from ladera.data import formats
from ladera.errors import ArgumentError, ConfigError, LaderaError
from ladera.plotting import Picture, axes
from ladera.properties.diffusion import diffusion
from ladera.properties.dimers import dimers
from ladera.properties.distributions import structure
from ladera.properties.equation_of_state import equation_of_state
from ladera.properties.phonons import phonons
from ladera.properties.result import KINDS, Result
from ladera.properties.spectrum import spectrum
from ladera.properties.survival import Survival
from ladera.properties.trajectory import Trajectory
from ladera.properties.van_hove import van_hove
from ladera.simulation.relaxation import relax
from ladera.simulation.settings import MDSettings
from ladera.tables import Column, Table


def walk(frames: int = 120) -> Trajectory:
    """Lithium that walks among sulphur that rattles."""
    rng = np.random.default_rng(0)
    steps = rng.normal(0, 0.12, (frames, 12, 3)) * (np.arange(12) < 8)[:, None]
    place = rng.uniform(0, 9, (12, 3))
    velocities = rng.normal(0, 0.01, (frames, 12, 3))
    return Trajectory(
        np.repeat([3, 16], [8, 4]),
        place + steps.cumsum(0),
        9.0 * np.eye(3),
        20.0,
        300.0,
        velocities=velocities,
    )


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    """Small ones, of one panel and of several."""
    solid, trajectory = crystal(1), walk()
    solid = relax(solid, argon(), cell=True, fmax=1e-4).atoms
    solid.calc = argon().calculator()
    frames = [crystal(2) for _ in range(10)]
    for frame in frames:
        frame.rattle(0.05)
    times = np.linspace(0, 1, 11)
    return {
        "equation of state": equation_of_state(solid, points=7),
        "phonons": phonons(solid, supercell=(1, 1, 1)),
        "dimers": dimers(argon()),
        "diffusion": diffusion(trajectory, "Li", window=(0.1, 0.6)),
        "van Hove": van_hove(trajectory, "Li"),
        "spectrum": spectrum(trajectory, resolution=50.0),
        "structure": structure(frames, farthest=5.0),
        "survival": Survival(
            temperature=300.0,
            timestep=0.5,
            asked=1.0,
            survived=1.0,
            outside=0.0,
            times=times,
            temperatures=300 + times,
            extrapolating=times,
            reason="",
        ),
    }


def lines(value: object) -> list[str]:
    text = repr(value)
    assert "array(" not in text
    assert "tensor(" not in text
    return text.splitlines()


def test_results_show_shapes_and_units_and_no_arrays(results: dict[str, Result]) -> None:
    for result in results.values():
        assert 1 <= len(lines(result)) <= 2, repr(result)
        assert max(map(len, lines(result))) <= 102
    assert "volumes (7,) Angstrom^3" in repr(results["equation of state"])


def test_results_show_their_table_and_figure_in_a_notebook(results: dict[str, Result]) -> None:
    for result in results.values():
        page = result._repr_html_()
        assert page.count("<table") == page.count("</table>") == len(result.tables())
        assert page.count("<svg") == page.count("</svg>") == 1
        for cell in result.table().rows[0]:
            assert cell.replace("&", "&amp;").replace("<", "&lt;") in page


def test_a_figure_is_drawn_into_the_axes_that_are_given(results: dict[str, Result]) -> None:
    for result in results.values():
        figure = Figure(figsize=(9, 4))
        left, right = figure.subplots(1, 2)
        assert result.plot(ax=right) is figure
        figure.draw_without_rendering()
        own = result.plot()
        assert isinstance(own, Picture)
        assert len(figure.axes) - 1 >= len(own.axes)
        assert not left.has_data()
        drawn = [panel for panel in figure.axes if panel.has_data()]
        middle = left.get_position().x1
        assert drawn
        assert all(panel.get_position().x0 > middle for panel in drawn)


def test_every_kind_of_result_takes_axes() -> None:
    for module, name in KINDS.values():
        plot = getattr(importlib.import_module(module), name).plot
        assert "ax" in inspect.signature(plot).parameters, name


def test_axes_of_another_kind_or_without_a_place_are_refused(results: dict[str, Result]) -> None:
    with pytest.raises(ArgumentError, match="ax is 3; give axes of matplotlib"):
        results["phonons"].plot(3)  # type: ignore[arg-type]
    free = Figure().add_axes((0.1, 0.1, 0.5, 0.5))
    results["equation of state"].plot(free)
    with pytest.raises(ArgumentError, match="2 panels, and ax has no place in a grid"):
        results["phonons"].plot(free)


def test_a_notebook_without_pyplot_shows_a_figure() -> None:
    figure, panel = axes(3.0, 2.0)
    panel.plot([0, 1])
    picture, size = figure._repr_png_()  # type: ignore[attr-defined]
    assert picture.startswith(b"\x89PNG")
    assert size == {"width": 288, "height": 192}
    before = mpl.rcParams["axes.grid"]
    assert mpl.rcParams["axes.grid"] == before


def test_a_table_is_a_data_frame_where_pandas_is(
    results: dict[str, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = results["equation of state"]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match="pandas is not installed here"):
        result.to_frame()

    class Pandas:
        """What is used of it."""

        @staticmethod
        def read_csv(file: Any) -> list[str]:
            return file.read().splitlines()

    monkeypatch.setitem(sys.modules, "pandas", Pandas)
    assert result.to_frame() == result.table().to_csv().splitlines()


def test_a_long_table_ends_with_how_much_more_there_is() -> None:
    rows = tuple((f"<{i}>", "&") for i in range(50))
    page = Table((Column("a"), Column("b")), rows)._repr_html_()
    assert "10 more rows" in page
    assert "&lt;39&gt;" in page
    assert "<39>" not in page
    assert "&lt;40&gt;" not in page


def test_models_structures_and_data_show_what_they_are() -> None:
    potential, atoms = argon(), cluster()
    whole = "Argon(Ar; cutoff 6.5 Angstrom; parameters 2 (float64 on cpu); gives energy, forces,"
    assert repr(potential).startswith(whole)
    assert "<td>cutoff</td><td>6.5 Angstrom</td>" in potential._repr_html_()
    assert "members Argon, Argon" in repr(Committee([argon(), argon(0.011)]))
    assert len(lines(potential.config)) == 1
    graph = Graph.from_atoms(atoms, 6.5)
    assert lines(graph) == [
        "Graph(1 structure; 7 atoms; 42 edges up to 6.5 Angstrom; float64 on cpu)"
    ]
    prediction = ladera.evaluate(potential, graph)
    assert lines(prediction) == [
        "Prediction(1 structure; 7 atoms; energy (1,) eV; forces (7, 3) eV/Angstrom)"
    ]
    atoms.calc = potential.calculator()
    atoms.get_forces()
    data = formats.read([atoms, atoms])
    assert lines(data) == ["Dataset(2 frames of Ar; energy, forces)"]
    assert "<td>energy</td><td>2 of 2 frames</td>" in data._repr_html_()
    assert "Frame(Ar7, 7 atoms, open; energy" in lines(data[0])[0]
    assert lines(data[0].structure) == ["Structure(7 atoms; open; charge 0 e)"]
    assert lines(walk()) == [
        "Trajectory(120 frames of 12 atoms of Li, S; every 20 fs, 2.38 ps; 300 K; with velocities)"
    ]
    settings = MDSettings(temperature=250.0, steps=10)
    assert lines(settings) == ["MDSettings(ensemble='nvt-langevin'; temperature=250.0; steps=10)"]
    relaxed = relax(cluster(3), potential, fmax=0.05)
    assert "Relaxation(Ar3; converged after" in lines(relaxed)[0]
    assert "<table" in relaxed._repr_html_()


def test_structures_at_hand_are_data() -> None:
    atoms = molecule("H2O")
    atoms.info["energy"] = -1.5
    data = formats.read(iter([atoms, formats.read(atoms)[0]]))
    assert data.column("energy").tolist() == [-1.5, -1.5]
    moved = cluster()
    moved.calc = argon().calculator()
    moved.get_potential_energy()
    moved.positions[0] += 0.1
    assert formats.read(moved).labels == ()  # its results are of another structure


# --- calls -------------------------------------------------------------------------------------


@checked
def function(
    first: float, second: str | None = None, *, many: tuple[float, ...] = (), on: bool = False
) -> tuple[Any, ...]:
    return first, second, many, on


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: function(), "function was not given first; call it as function(first, ...)."),
        (lambda: function(1, "a", 2), "was given a value too many without a name; call it"),
        (lambda: function(1, frist=2), "function has no argument 'frist'; did you mean 'first'?"),
        (lambda: function(1, first=2), "function was given an argument twice"),
        (lambda: function("300K"), "first of function is '300K'; give a number, such as 300 w"),
        (lambda: function(True), "first of function is True; give a number."),
        (lambda: function(1, 2), "second of function is 2; give a text or None."),
        (lambda: function(1, many=3), "many of function is 3; give a sequence of numbers."),
        (lambda: function(1, many="33"), "many of function is '33'; give a sequence of numbers."),
        (lambda: function(1, many=["a"]), "is a list of 1, the first 'a'; give a sequence of num"),
        (lambda: function(1, on=1), "on of function is 1; give True or False."),
    ],
)
def test_a_wrong_call_is_answered_in_a_sentence(call: Any, sentence: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        call()
    assert sentence in str(caught.value)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, LaderaError)


def test_numbers_of_numpy_are_numbers() -> None:
    given = np.float32(1), None, np.array([1.0, 2.0]), np.True_
    assert function(given[0], many=given[2], on=given[3])[0] == 1  # type: ignore[arg-type]
    assert bind(function, (np.int64(1),), {"many": [np.float64(2)]}).arguments["first"] == 1
