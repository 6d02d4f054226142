"""Keras as a peer: run by the Python of its own environment, not by Ladera's.

    python control_in_peer.py TASK.npz

trains the network of the thesis, as its program builds it, on the inputs, energies and first
weights of TASK.npz, and prints one line of JSON: losses of the epochs, seconds of the training.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers, ops


def hyperbolic_tangent(x: Any) -> Any:
    """1.7159 tanh(2x/3)."""
    return 1.7159 * ops.tanh(2 * x / 3)


def hyperbolic_tangent_with_linear_twist(x: Any) -> Any:
    """The same and a little of a line."""
    return hyperbolic_tangent(x) + 0.001 * x


ACTIVATIONS = {
    "tanh_scaled": hyperbolic_tangent,
    "tanh_weak_twist": hyperbolic_tangent_with_linear_twist,
}


class Sum(layers.Layer):
    """The energy of the atoms of an element."""

    def call(self, x: Any) -> Any:
        """(frames, atoms, 1) to (frames, 1)."""
        return ops.sum(x, axis=1)


def network(task: Any) -> keras.Model:
    """One network for each element, and their sum."""
    inputs, energies = [], []
    for element in range(int(task["elements"])):
        x = keras.Input((None, task[f"inputs_{element}"].shape[2]))
        inputs.append(x)
        count = int(task["layers"])
        for layer in range(count):
            last = layer == count - 1
            dense = layers.Dense(
                task[f"bias_{element}_{layer}"].shape[0],
                activation="linear" if last else ACTIVATIONS[str(task["activation"])],
            )
            x = dense(x)
            dense.set_weights([task[f"{part}_{element}_{layer}"] for part in ("weight", "bias")])
        energies.append(Sum()(x))
    return keras.Model(inputs, layers.Add()(energies))


def main() -> None:
    """Train, and say how."""
    task = np.load(sys.argv[1])
    model = network(task)
    settings = json.loads(str(task["optimizer"]))
    model.compile(optimizer=keras.optimizers.Adagrad(**settings), loss=str(task["loss"]))
    inputs = [task[f"inputs_{element}"] for element in range(int(task["elements"]))]
    cpu, wall = time.process_time(), time.perf_counter()
    history = model.fit(
        inputs,
        task["energies"],
        epochs=int(task["epochs"]),
        batch_size=int(task["batch_size"]),
        validation_split=float(task["validation"]),
        verbose=0,
    )
    times = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    versions = {"keras": keras.__version__, "backend": keras.backend.backend()}
    energies = model.predict(inputs, verbose=0)[:, 0].tolist()
    print(json.dumps({**history.history, **times, **versions, "energies": energies}))


if __name__ == "__main__":
    main()
