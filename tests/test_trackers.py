"""The callback of a training: one dictionary an epoch, what trackers of experiments take."""

from __future__ import annotations

import csv
import struct
from pathlib import Path
from typing import Any

import pytest

import training_runs
from ladera.training.trainer import train

FORCES = "validation_force_rmse_mev_per_angstrom"


def rows_of(path: Path) -> list[dict[str, float]]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: float(text) for name, text in row.items() if text} for row in rows]


def test_the_callback_hears_the_rows_of_the_log(tmp_path: Path) -> None:
    heard: list[dict[str, Any]] = []
    config = training_runs.config(tmp_path, epochs=3)
    train(config, tmp_path / "run", on_epoch=heard.append)
    assert [row["epoch"] for row in heard] == [1, 2, 3]
    assert {"train_loss", "validation_loss", FORCES, "seconds"} <= set(heard[0])
    assert all(isinstance(value, int | float) for row in heard for value in row.values())
    assert heard == [pytest.approx(row) for row in rows_of(tmp_path / "run" / "log.csv")]


def test_an_error_of_the_callback_ends_the_training(tmp_path: Path) -> None:
    def fail(row: dict[str, Any]) -> None:
        raise RuntimeError("the tracker is down")

    with pytest.raises(RuntimeError, match="the tracker is down"):
        train(training_runs.config(tmp_path, epochs=3), tmp_path / "run", on_epoch=fail)


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard reads: length, checksum, event, checksum, one record after the other."""
    from tensorboardX.proto.event_pb2 import Event

    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(folder.glob("events.*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_shows_a_training(tmp_path: Path) -> None:
    tensorboard = pytest.importorskip("tensorboardX", reason="no tensorboardX here")
    config = training_runs.config(tmp_path, epochs=3)
    with tensorboard.SummaryWriter(str(tmp_path / "board")) as writer:

        def show(row: dict[str, Any]) -> None:
            for name, value in row.items():
                writer.add_scalar(name, value, row["epoch"])

        train(config, tmp_path / "run", on_epoch=show)
    found = scalars(tmp_path / "board")
    log = rows_of(tmp_path / "run" / "log.csv")
    for name in ("train_loss", FORCES, "learning_rate"):
        assert [step for step, _ in found[name]] == [1, 2, 3]
        values = [value for _, value in found[name]]
        assert values == pytest.approx([row[name] for row in log], rel=1e-5)
