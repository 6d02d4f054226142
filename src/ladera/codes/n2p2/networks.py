"""The networks of an ``input.nn``: hidden nodes and activations of each element.

``global_*`` keywords are for all elements, ``element_*`` for one. The latter have two spellings:

    element_nodes_short O 4 3         all hidden layers (n2p2 after version 2.3)
    element_nodes_short O 2 3         layer 2 has 3 nodes (RuNNer, n2p2 up to version 2.3)

and the n2p2 that has the first never changes the last hidden layer. A potential was trained with
what its code made of the words, so the length of its weight file decides which reading is right;
see :func:`shapes`. Likewise no n2p2 changes the activation of one element's output.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from ladera.codes.n2p2 import weights
from ladera.codes.n2p2.settings import Line, Settings, SettingsWarning
from ladera.errors import ConfigError
from ladera.models.hdnnp.config import Activation, NetworkShape

Network = Literal["short", "electrostatic"]

ACTIVATIONS: Final[dict[str, Activation]] = {
    "l": "linear",
    "t": "tanh",
    "s": "logistic",
    "p": "softplus",
    "r": "relu",
    "g": "gaussian",
    "c": "cosine",
    "S": "reversed_logistic",
    "e": "exponential",
    "h": "harmonic",
}
LETTERS: Final[dict[str, str]] = {name: letter for letter, name in ACTIVATIONS.items()}


def shapes(
    settings: Settings, network: Network, inputs: Mapping[str, int], n_values: Mapping[str, int]
) -> dict[str, NetworkShape]:
    """The network of each element.

    ``inputs`` are the numbers of input nodes of each element; ``n_values`` the numbers of values
    in the weight files, for elements that have one: among the readings of an ambiguous line the
    one with as many weights is taken. Without a weight file that is the plain meaning of the words.

    Raises ConfigError for missing keywords and numbers that do not fit.
    """
    result = {}
    for symbol in settings.elements:
        reader = _Reader(settings, network, symbol)
        readings = reader.readings()
        chosen = readings[0]
        if symbol in n_values:
            fitting = [
                hidden
                for hidden in readings
                if weights.count((inputs[symbol], *hidden, 1)) == n_values[symbol]
            ]
            chosen = fitting[0] if fitting else chosen
        elif len(set(readings)) > 1:
            reader.warn(
                f"element_nodes_{network}",
                f"{symbol} gets the hidden nodes {' '.join(map(str, chosen))}; n2p2 may read this "
                "line in another way.",
            )
        result[symbol] = NetworkShape(chosen, reader.activations(len(chosen)))
    return result


def as_stored(
    settings: Settings,
    network: Network,
    inputs: Mapping[str, int],
    n_values: Mapping[str, int],
    shapes: dict[str, NetworkShape],
) -> dict[str, NetworkShape]:
    """The shapes, or others that all weight files agree on against the settings.

    The Carbon_chain_4G among n2p2's own examples has 15 nodes in its ``input.nn`` and 10 in its
    weight files. n2p2 reads on past the end of such a file and gets energies of nothing; with 10
    nodes they are those of the training data. Files that fit no common number of nodes are left
    for others to refuse.
    """

    def fits(symbol: str, hidden: tuple[int, ...]) -> bool:
        return weights.count((inputs[symbol], *hidden, 1)) == n_values[symbol]

    if len(shapes) < 2 or any(
        fits(symbol, shape.hidden_layers) for symbol, shape in shapes.items()
    ):
        return shapes
    for nodes in range(1, max(n_values.values())):
        stored = {
            symbol: shape._replace(hidden_layers=(nodes,) * len(shape.hidden_layers))
            for symbol, shape in shapes.items()
        }
        if all(fits(symbol, shape.hidden_layers) for symbol, shape in stored.items()):
            line = settings.lines(f"global_nodes_{network}")
            where = f"{settings.path}, line {line[0].number}" if line else str(settings.path)
            warnings.warn(
                f"{where}: the hidden nodes do not fit the weight files, all of which are of "
                f"networks with {nodes} nodes in each hidden layer, and are read as such; n2p2 "
                "would read past the end of the files.",
                SettingsWarning,
                stacklevel=3,
            )
            return stored
    return shapes


@dataclass(frozen=True)
class _Reader:
    """What the settings say of the network of one element."""

    settings: Settings
    network: Network
    symbol: str

    def readings(self) -> list[tuple[int, ...]]:
        """Possible hidden nodes, the plain meaning first."""
        depth, common = self.depth(), self.common_nodes()
        lines = self.element_lines("element_nodes")
        if not lines:
            return [self.complete(common)]
        rows = [[self.settings.whole_number(line, w) for w in line.words[1:]] for line in lines]
        readings = []
        whole = len(rows) == 1 and len(rows[0]) == depth
        by_layer = all(len(row) == 2 and 1 <= row[0] <= depth for row in rows)
        if by_layer and len({layer for layer, _ in rows}) < len(rows):
            raise self.settings.error(
                f"'{lines[-1].keyword}' gives a layer of {self.symbol} twice.", lines[-1]
            )
        if by_layer:
            nodes = list(common)
            for layer, n in rows:
                nodes[layer - 1] = n
            readings.append(tuple(nodes))
        if whole:
            readings.append(tuple(rows[0]))
            readings.append((*rows[0][:-1], common[-1]))  # the last layer n2p2 forgets
        readings = [nodes for nodes in readings if all(n > 0 for n in nodes)]
        if not readings:
            raise self.settings.error(
                f"'{' '.join(lines[0].words)}' does not fit the {depth} hidden layers of "
                f"{self.symbol}; give the nodes of each.",
                lines[0],
            )
        return readings

    def activations(self, depth: int) -> tuple[Activation, ...]:
        """Activations of the hidden layers and the output."""
        line, letters = self.common_letters()
        lines = self.element_lines("element_activation")
        chosen: list[str] = list(letters) if len(letters) == depth + 1 else [""] * (depth + 1)
        if len(lines) == 1 and len(lines[0].words) == depth + 2 and not lines[0].words[1].isdigit():
            line, asked = lines[0], lines[0].words[1:]
            if chosen[-1] not in ("", asked[-1]):
                self.warn(
                    lines[0].keyword,
                    f"the output of {self.symbol} keeps the activation '{chosen[-1]}', as in n2p2, "
                    f"and does not get '{asked[-1]}'.",
                )
            chosen = [*asked[:-1], chosen[-1] or asked[-1]]
        else:
            for line in lines:
                word = line.words[1] if len(line.words) == 3 else ""
                layer = int(word) if word.isdigit() else 0
                if not 1 <= layer <= depth + 1:
                    raise self.settings.error(
                        f"'{' '.join(line.words)}' does not fit the {depth} hidden layers of "
                        f"{self.symbol}; give an activation for each and one for the output.",
                        line,
                    )
                chosen[layer - 1] = line.words[2]
        return tuple(self.activation(letter, line) for letter in chosen)

    def activation(self, letter: str, line: Line | None) -> Activation:
        """The activation of a letter."""
        if letter not in ACTIVATIONS:
            problem = f"there is no activation '{letter}'" if letter else "an activation is missing"
            raise self.settings.error(
                f"{problem} for {self.symbol}; give one of {' '.join(ACTIVATIONS)} for each hidden "
                "layer and the output.",
                line,
            )
        return ACTIVATIONS[letter]

    def depth(self) -> int:
        """Number of hidden layers."""
        common = f"global_hidden_layers_{self.network}"
        lines = self.element_lines("element_hidden_layers")
        if len(lines) > 1:
            raise self.settings.error(
                f"'{lines[1].keyword}' is given twice for {self.symbol}.", lines[1]
            )
        if lines and len(lines[0].words) != 2:
            raise self.settings.error(
                f"'{lines[0].keyword}' takes an element and a number.", lines[0]
            )
        if lines:
            line, depth = lines[0], self.settings.whole_number(lines[0], lines[0].words[1])
        else:
            line, depth = self.settings.line(common), self.settings.integer(common)
        if depth < 1:
            raise self.settings.error(f"{depth} hidden layers are too few; one at least.", line)
        return depth

    def common_nodes(self) -> tuple[int, ...]:
        """Nodes that the element has unless told otherwise; 0 where nothing is said."""
        depth, keyword = self.depth(), f"global_nodes_{self.network}"
        if keyword not in self.settings:
            return (0,) * depth
        line = self.settings.line(keyword)
        nodes = tuple(self.settings.whole_number(line, w) for w in self.settings.words(keyword))
        self.check_global(line, len(nodes), 0)
        return nodes if len(nodes) == depth else (0,) * depth

    def common_letters(self) -> tuple[Line | None, tuple[str, ...]]:
        """Activation letters of all elements, and their line."""
        keyword = f"global_activation_{self.network}"
        if keyword not in self.settings:
            return None, ()
        line = self.settings.line(keyword)
        letters = self.settings.words(keyword)
        self.check_global(line, len(letters), 1)
        return line, letters

    def check_global(self, line: Line, entries: int, extra: int) -> None:
        """Refuse a global keyword that does not fit the global number of layers."""
        keyword = f"global_hidden_layers_{self.network}"
        expected = self.settings.integer(keyword, entries - extra) + extra
        if entries != expected:
            raise self.settings.error(
                f"'{line.keyword}' has {entries} entries, but {keyword} asks for {expected}.", line
            )

    def complete(self, nodes: tuple[int, ...]) -> tuple[int, ...]:
        """The nodes, if all are known."""
        if not all(n > 0 for n in nodes):
            raise ConfigError(
                f"{self.settings.path} does not give the nodes of every hidden layer of "
                f"{self.symbol}; add 'element_nodes_{self.network} {self.symbol} ...'."
            )
        return nodes

    def element_lines(self, keyword: str) -> list[Line]:
        """The lines of an ``element_`` keyword that are for this element."""
        lines = self.settings.lines(f"{keyword}_{self.network}")
        return [line for line in lines if self.settings.element(line) == self.symbol]

    def warn(self, keyword: str, message: str) -> None:
        """Say what was not taken by the letter."""
        warnings.warn(
            f"{self.settings.path}, '{keyword}': {message}", SettingsWarning, stacklevel=4
        )
