"""The modules of torch in a checkpoint: names, attributes and tensors of pickled objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from ladera.codes.torch_archive import Archive, Foreign, is_tensor, kind_of, numbers
from ladera.errors import ModelFileError

# How torch.fx stores a module that it has traced: as the arguments of this function.
_TRACED = "torch.fx.graph_module.reduce_graph_module"


class Module:
    """A module of torch: what :class:`Foreign` keeps of it, under the names it had."""

    def __init__(self, archive: Archive, stored: Any, name: str = "") -> None:
        self._archive, self.name = archive, name
        attributes = _attributes(stored)
        if attributes is None:
            raise ModelFileError(
                f"{archive.path}: a module of torch was expected, but {name or 'its root'} is "
                f"{kind_of(stored)}. Nothing of it was run."
            )
        self._attributes: Mapping[Any, Any] = attributes
        self.kind = kind_of(stored).rpartition(".")[2]

    def attribute(self, name: str, default: Any = None) -> Any:
        """A plain attribute; a tensor becomes a number or a list, irreps become their text."""
        return self._plain(self._attributes.get(name, default))

    def child(self, path: str) -> Module | None:
        """The module at a path such as ``interactions.0``; None where there is none."""
        first, _, rest = path.partition(".")
        stored = _mapping(self._attributes.get("_modules")).get(first)
        if stored is None:
            return None
        module = Module(self._archive, stored, f"{self.name}.{first}".lstrip("."))
        return module.child(rest) if rest else module

    def children(self, path: str) -> list[Module]:
        """The modules of a list of modules; none where there is no such list."""
        parent = self.child(path)
        if parent is None:
            return []
        names = _mapping(parent._attributes.get("_modules"))
        return [child for name in names if (child := parent.child(str(name))) is not None]

    def tensors(self) -> dict[str, Tensor]:
        """What ``state_dict()`` of the module would return, but for tensors without elements."""
        return {
            name: tensor
            for name, view in self._views(self._attributes, "", ())
            if (tensor := self._archive.tensor(view)).numel()
        }

    def _views(
        self, attributes: Mapping[Any, Any], prefix: str, seen: tuple[int, ...]
    ) -> Iterator[tuple[str, Any]]:
        if id(attributes) in seen:
            raise ModelFileError(f"{self._archive.path}: the module {prefix} contains itself.")
        hidden = attributes.get("_non_persistent_buffers_set")
        for group in ("_parameters", "_buffers"):
            for name, value in _mapping(attributes.get(group)).items():
                if is_tensor(value) and not (isinstance(hidden, set) and name in hidden):
                    yield f"{prefix}{name}", value
        for name, stored in _mapping(attributes.get("_modules")).items():
            inner = _attributes(stored)
            if inner is not None:
                yield from self._views(inner, f"{prefix}{name}.", (*seen, id(attributes)))

    def _plain(self, value: Any) -> Any:
        if is_tensor(value):
            return self._archive.tensor(value).tolist()
        if isinstance(value, list | tuple):
            return [self._plain(each) for each in value]
        if isinstance(value, type) and issubclass(value, Foreign):
            return value.path.rpartition(".")[2]  # a class or function as a value
        if isinstance(value, Foreign):
            array = numbers(value)
            return array if array is not None else _irreps(value) or value
        return value


def _attributes(stored: Any) -> Mapping[Any, Any] | None:
    """The ``__dict__`` of a pickled module."""
    if not isinstance(stored, Foreign):
        return None
    state = stored.arguments[0] if stored.path == _TRACED and stored.arguments else stored.state
    return state if isinstance(state, Mapping) else None


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _irreps(value: Foreign) -> str | None:
    """Text such as ``16x0e+16x1o`` of the Irreps of e3nn; None for anything else."""
    try:
        if not value.path.endswith(".Irreps"):
            return None
        # All three are kinds of tuples: their one argument is the tuple.
        terms = [term.arguments[0] for term in value.arguments[0]]
        known = [(int(mul), *map(int, irrep.arguments[0])) for mul, irrep in terms]
        return "+".join(f"{mul}x{l}{'e' if parity == 1 else 'o'}" for mul, l, parity in known)
    except (AttributeError, IndexError, TypeError, ValueError):
        return None
