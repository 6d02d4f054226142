r"""From a checkpoint of SevenNet to a :class:`~ladera.models.nequip.NequIP` with the same energies.

SevenNet (Park et al., J. Chem. Theory Comput. 20, 4857 (2024)) has Bessel functions 2 / r_c
sin(k r) / r with trained k, sums over neighbours divided by a number of each layer, two linear
layers for a readout, and the signs of Clebsch-Gordan coefficients that its file holds. A model of
several levels of theory adds the level as one more scalar to some linear layers; for the chosen one
that is a bias. All of it goes into weights.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from itertools import pairwise
from math import sqrt

import numpy as np
import torch
from ase.data import atomic_numbers
from pydantic import ValidationError
from torch import Tensor

from ladera import __version__
from ladera.codes.sevennet.checkpoint import Checkpoint, read_checkpoint
from ladera.codes.sevennet.layout import Layout, gate_columns, layouts_of, ways_of
from ladera.codes.sevennet.settings import Block
from ladera.errors import ModelFileError, first_problem
from ladera.models.equivariant.clebsch_gordan import clebsch_gordan, is_turned
from ladera.models.equivariant.irreps import Irrep
from ladera.models.nequip.config import NequIPConfig, Parity
from ladera.models.nequip.model import NequIP
from ladera.models.nequip.shapes import LayerShape, layer_shapes

_SCALAR = Irrep(0, 1)


def load(path: str | os.PathLike[str], head: str | None = None) -> NequIP:
    """The potential in a checkpoint of SevenNet, in float32 as it is there.

    Nothing in the file is run, and SevenNet need not be there. ``head`` chooses a level of theory
    of a model with several (a modality, or task); the file's default is taken without it.

    Raises ModelFileError for a file that is damaged or cut short, for a model of a kind that Ladera
    does not have, naming the key or the parameter, and for a head that does not exist.
    """
    checkpoint = read_checkpoint(path)
    task = checkpoint.task(head)
    layouts = layouts_of(checkpoint.path, checkpoint.settings)
    config = _config(checkpoint, layouts)
    potential = NequIP(config)
    values = dict(_Conversion(checkpoint, config, layouts, task).values())
    with torch.no_grad():
        for name, parameter in potential.named_parameters():
            parameter.copy_(values.pop(name))
        for name, buffer in values.items():
            potential.get_buffer(name).copy_(buffer)
    potential.to(torch.float32)
    potential.provenance = {
        "imported_from": "SevenNet",
        "file": str(path),
        "versions": {"ladera": __version__},
        **({"head": task, "heads": list(checkpoint.settings.tasks)} if task is not None else {}),
    }
    return potential.eval()


def _config(checkpoint: Checkpoint, layouts: Sequence[Layout]) -> NequIPConfig:
    """The configuration of a checkpoint; ModelFileError for what Ladera does not have."""
    settings, path = checkpoint.settings, checkpoint.path
    cutoff, last = settings.cutoff_function, settings.num_convolution_layer - 1
    features = [irrep for layout in layouts[:last] for irrep in layout.hidden]
    widths = {irrep.l: channels for channels, irrep in (*features, *layouts[last].hidden)}
    kinds = {"none": "none", "linear": "linear", "nequip": "species"}
    try:
        config = NequIPConfig(
            species=checkpoint.symbols(),
            cutoff=settings.cutoff,
            layers=settings.num_convolution_layer,
            max_l=settings.harmonics_l,
            channels=tuple(widths[l] for l in sorted(widths)),
            parity=_parity(checkpoint, features),
            embedding_channels=layouts[0].features[0][0],
            connections=tuple(kinds[kind] for kind in settings.connections),
            num_radial=settings.radial_basis.bessel_basis_num,
            train_basis=True,
            cutoff_power=cutoff.poly_cut_p_value,
            cutoff_start=cutoff.cutoff_on if cutoff.cutoff_function_name == "XPLOR" else None,
            radial_layers=tuple(settings.weight_nn_hidden_neurons),
            solid_harmonics=not settings.normalize_sph,
            biases=settings.use_modality or checkpoint.has("0_self_interaction_1.linear.bias"),
            readout_layers=tuple(
                (settings.readout_fcn_hidden_neurons or ()) if settings.readout_as_fcn else ()
            ),
            average_neighbors=_denominator(checkpoint, 0) ** 2,
        )
    except ValidationError as error:
        key, problem = first_problem(error)
        raise ModelFileError(
            f"{path}: it is a SevenNet that Ladera does not have ({key}: {problem})."
        ) from None
    for t, (shape, layout) in enumerate(zip(layer_shapes(config), layouts, strict=True)):
        # Ours has none that stay zero, or that nothing is made of; there they may be.
        ours = set(zip(shape.out_channels, shape.out, strict=True))
        if not ours <= set(layout.hidden):
            theirs = "+".join(f"{channels}x{irrep}" for channels, irrep in layout.hidden)
            raise ModelFileError(
                f"{path}: the features after its layer {t + 1} are {theirs}; Ladera has those with "
                "all irreps up to an l, and as many channels of both parities and in all layers."
            )
    return config


def _parity(checkpoint: Checkpoint, features: Sequence[Block]) -> Parity:
    if not checkpoint.settings.is_parity:
        return "none"
    return "natural" if all(i.parity == (-1) ** i.l for _, i in features) else "full"


def _denominator(checkpoint: Checkpoint, layer: int) -> float:
    """What the sums over neighbours of a layer are divided by."""
    value = checkpoint.tensor(f"{layer}_convolution.denominator", 1).item()
    if value <= 0:
        raise ModelFileError(
            f"{checkpoint.path}: its {layer}_convolution.denominator is {value:g}, not above zero."
        )
    return value


class _Conversion:
    """Parameters and buffers of ours, from the tensors of a checkpoint."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        config: NequIPConfig,
        layouts: Sequence[Layout],
        task: str | None,
    ) -> None:
        self.checkpoint, self.config, self.layouts = checkpoint, config, layouts
        self.settings = checkpoint.settings
        self.task = self.settings.tasks[task] if task is not None else 0
        # The file's elements in the order of the model, which is that of atomic numbers.
        numbers = [atomic_numbers[symbol] for symbol in checkpoint.symbols()]
        self.order = torch.from_numpy(np.argsort(numbers))

    def values(self) -> Iterator[tuple[str, Tensor]]:
        """All of them, float64, by their names in ours."""
        n_species, settings = len(self.order), self.settings
        channels = self.layouts[0].features[0][0]
        (weight,), bias = self._linear(
            "onehot_to_feature_x",
            [(n_species, _SCALAR)],
            [(channels, _SCALAR)],
            settings.use_modal_node_embedding,
        )
        yield "embedding", weight[self.order] / sqrt(n_species) + bias
        name = "edge_embedding.basis_function.coeffs"
        yield "basis.frequencies", self.checkpoint.tensor(name, self.config.num_radial)
        neighbors = _denominator(self.checkpoint, 0) ** 2
        yield "average_neighbors", torch.full((n_species,), neighbors, dtype=torch.float64)
        for t, shape in enumerate(layer_shapes(self.config)):
            for key, value in self._layer(t, shape, self.layouts[t]):
                yield f"layers.{t}.{key}", value
        constant = yield from self._readout()
        scale = self._of_species("scale", settings.use_modal_wise_scale)
        shift = self._of_species("shift", settings.use_modal_wise_shift)
        yield "scale", scale
        yield "reference_energies", shift + scale * constant

    def _layer(self, t: int, shape: LayerShape, layout: Layout) -> Iterator[tuple[str, Tensor]]:
        features, settings = layout.features, self.settings
        columns = torch.from_numpy(gate_columns(shape, layout))
        # Of all layers ours divides by the denominator of the first one.
        ratio = _denominator(self.checkpoint, 0) / _denominator(self.checkpoint, t)
        up, bias = self._linear(
            f"{t}_self_interaction_1", features, features, settings.use_modal_self_inter_intro
        )
        of_irrep = dict(zip((irrep for _, irrep in features), up, strict=True))
        for k, irrep in enumerate(shape.features):
            yield f"up.weights.{k}", ratio * of_irrep[irrep]
        if self.config.biases:
            yield "up.bias", ratio * bias
        yield from self._radial(t, shape, layout)
        messages = [(channels, irrep) for irrep, channels in layout.messages.items()]
        common = [block for block in messages if block[1] in {irrep for _, irrep in layout.out}]
        down, bias = self._linear(
            f"{t}_self_interaction_2", messages, layout.out, settings.use_modal_self_inter_outro
        )
        of_irrep = dict(zip((irrep for _, irrep in common), down, strict=True))
        ways = ways_of(shape)
        for k, irrep in enumerate(shape.out):
            mine = [way for way in ways if way.out == irrep]
            rows = torch.from_numpy(layout.rows_of(irrep, mine))
            # There rows count in the norm that are of features which stay zero.
            weight = _columns(of_irrep[irrep], irrep, columns)
            yield f"down.weights.{k}", weight[rows] * sqrt(len(rows) / len(weight))
        if self.config.biases:
            yield "down.bias", _columns(bias, _SCALAR, columns)
        yield from self._connection(t, shape, layout, columns)

    def _radial(self, t: int, shape: LayerShape, layout: Layout) -> Iterator[tuple[str, Tensor]]:
        ways = ways_of(shape)
        sizes = [self.config.num_radial, *self.config.radial_layers]
        last = sum(channels for channels in layout.messages.values())
        for q, (n_in, n_out) in enumerate(pairwise([*sizes, last])):
            name = f"{t}_convolution.weight_nn.layer{q}.weight"
            weight = self.checkpoint.tensor(name, n_in, n_out)
            if q == 0:
                weight = weight * sqrt(2 / self.config.cutoff)
            if q == len(sizes) - 1:
                signs = [
                    torch.full((shape.channels[shape.features.index(way.one)],), self._sign(t, way))
                    for way in ways
                ]
                weight = weight[:, torch.from_numpy(layout.columns(ways))] * torch.cat(signs)
            yield f"radial.weights.{q}", weight

    def _sign(self, t: int, way: tuple[Irrep, Irrep, Irrep]) -> float:
        """That of a path's coefficients there over ours."""
        degrees = tuple(irrep.l for irrep in way)
        name = "_".join(["_w3j", *map(str, degrees)])
        name = f"{t}_convolution.convolution._compiled_main_left_right.{name}"
        if not self.checkpoint.has(name):
            return -1.0 if min(degrees) > 0 and is_turned(*degrees) else 1.0
        ours = torch.from_numpy(clebsch_gordan(*degrees).copy())
        product = (self.checkpoint.tensor(name, *ours.shape) * ours).sum().item()
        if abs(abs(product) - 1) > 1e-3:
            raise ModelFileError(
                f"{self.checkpoint.path}: its {name} are no Clebsch-Gordan coefficients; the file "
                "is damaged."
            )
        return 1.0 if product > 0 else -1.0

    def _connection(
        self, t: int, shape: LayerShape, layout: Layout, columns: Tensor
    ) -> Iterator[tuple[str, Tensor]]:
        if shape.connection == "none":
            return
        of_irrep = {}
        if shape.connection == "linear":
            found, _ = self._linear(f"{t}_self_connection_intro", layout.features, layout.out)
            shared = [i for _, i in layout.features if i in {irrep for _, irrep in layout.out}]
            of_irrep = dict(zip(shared, found, strict=True))
        else:
            name, n = f"{t}_self_connection_intro.fc_tensor_product.weight", len(self.order)
            sizes = _sizes(layout.features, layout.out, n)
            flat = self.checkpoint.tensor(name, sum(rows * size for _, rows, size in sizes))
            for irrep, part, rows, size in _parts(flat, sizes):
                weight = part.reshape(rows // n, n, size).transpose(0, 1)
                of_irrep[irrep] = weight[self.order]
        for k, (one, _) in enumerate(shape.common):
            irrep = shape.features[one]
            yield f"connection.weights.{k}", _columns(of_irrep[irrep], irrep, columns)

    def _readout(self) -> Generator[tuple[str, Tensor], None, Tensor]:
        """The readout; what it adds to every atom is returned."""
        channels = self.config.widths[0]
        if self.settings.readout_as_fcn:
            for q, size in enumerate(pairwise((channels, *self.config.readout_layers, 1))):
                name = f"readout_FCN.fcn.layer{q}.weight"
                yield f"readout.weights.{q}", self.checkpoint.tensor(name, *size)
            return torch.zeros((), dtype=torch.float64)
        half = channels // 2
        (one,), first = self._linear(
            "reduce_input_to_hidden",
            [(channels, _SCALAR)],
            [(half, _SCALAR)],
            self.settings.use_modal_output_block,
        )
        (two,), second = self._linear("reduce_hidden_to_energy", [(half, _SCALAR)], [(1, _SCALAR)])
        yield "readout.weights.0", one @ two / sqrt(half)
        return (first @ two / sqrt(half) + second)[0]

    def _linear(
        self, name: str, inputs: Sequence[Block], outputs: Sequence[Block], with_task: bool = False
    ) -> tuple[list[Tensor], Tensor]:
        """Weights of each irrep in common, for layers that divide by sqrt(channels in); the bias.

        ``with_task`` where the level of theory is one more input to the scalars.
        """
        sizes = _sizes(inputs, outputs)
        tasks = len(self.settings.tasks) if with_task else 0
        scalars = next((n for n, irrep in outputs if irrep == _SCALAR), 0)
        total = sum(rows * size for _, rows, size in sizes) + tasks * scalars
        flat = self.checkpoint.tensor(f"{name}.linear.weight", total)
        bias = torch.zeros(scalars, dtype=torch.float64)
        if self.checkpoint.has(f"{name}.linear.bias"):
            bias = self.checkpoint.tensor(f"{name}.linear.bias", scalars)
        found = []
        for irrep, part, rows, size in _parts(flat, sizes):
            weight = part.reshape(rows, size)
            if tasks and irrep == _SCALAR:
                weight = weight * sqrt(rows / (rows + tasks))
                of_task = flat[total - tasks * scalars :].reshape(tasks, scalars)[self.task]
                bias = bias + of_task / sqrt(rows + tasks)
            found.append(weight)
        return found, bias

    def _of_species(self, name: str, by_task: bool) -> Tensor:
        """Scale or shift of each element, eV, in the order of the model."""
        full, n = f"rescale_atomic_energy.{name}", len(self.order)
        size = self.checkpoint.tensors[full].numel() if self.checkpoint.has(full) else 0
        tasks = len(self.settings.tasks)
        if by_task and tasks:
            each = self.checkpoint.tensor(full, tasks, n if size == tasks * n else 1)[self.task]
        else:
            each = self.checkpoint.tensor(full, n if size == n else 1)
        return each.expand(n)[self.order]


def _sizes(
    inputs: Sequence[Block], outputs: Sequence[Block], times: int = 1
) -> list[tuple[Irrep, int, int]]:
    """Irrep, rows and columns of the matrices between features, in the order of flat arrays."""
    wide = {irrep: channels for channels, irrep in outputs}
    return [(irrep, channels * times, wide[irrep]) for channels, irrep in inputs if irrep in wide]


def _parts(
    flat: Tensor, sizes: Sequence[tuple[Irrep, int, int]]
) -> Iterator[tuple[Irrep, Tensor, int, int]]:
    start = 0
    for irrep, rows, size in sizes:
        yield irrep, flat[start : start + rows * size], rows, size
        start += rows * size


def _columns(weight: Tensor, irrep: Irrep, columns: Tensor) -> Tensor:
    """The columns of an irrep in our order, which differs for the gates among the scalars 0e."""
    return weight[..., columns] if irrep == _SCALAR else weight
