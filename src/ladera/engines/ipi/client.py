"""A client of i-PI's protocol: it waits at a socket for structures and answers with forces.

Whoever moves the atoms is the server: i-PI, ASE's ``SocketIOCalculator`` or another code. Messages
are words of twelve letters, followed by numbers in atomic units (Ceriotti, More and Manolopoulos,
Comput. Phys. Commun. 185, 1019, 2014; batches of structures are of i-PI 3.3).
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ladera.arrays import Floats
from ladera.engines.ipi.beads import Answer, Beads
from ladera.errors import ConfigError, SimulationError

_WORD: Final = 12  # letters
_PAUSE: Final = 0.1  # seconds between tries to reach a server
_BATCH: Final = re.compile(r"(?:^|[, ])batch_size *: *(\d+)")
_FOLDER: Final = "/tmp/ipi_"  # where i-PI and ASE have Unix sockets


class _GoneError(Exception):
    """The server closed the connection."""


class Client:
    """One connection to a server at ``address``.

    ``address`` is HOST:PORT, the name of a Unix socket as i-PI and ASE call it (/tmp/ipi_NAME), or
    its path. A server that is not there yet is waited for, ``patience`` seconds. Raises ConfigError
    for an address that is none, and SimulationError where nobody answers.
    """

    def __init__(self, address: str, patience: float = 60.0) -> None:
        self.address = address
        host, _, port = address.rpartition(":")
        if host and not (port.isdecimal() and 0 < int(port) < 65536):
            raise ConfigError(
                f"The address is '{address}'; expected HOST:PORT, such as localhost:31415, or the "
                "name of a Unix socket."
            )
        self._socket = self._connect(host, port, time.monotonic() + patience)

    def _connect(self, host: str, port: str, deadline: float) -> socket.socket:
        while True:
            try:
                if host:
                    found = socket.create_connection((host, int(port)))
                    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    return found
                return self._local()
            except OSError as error:
                if time.monotonic() > deadline:
                    raise SimulationError(
                        f"Nobody answers at {self.address} ({error.strerror or error}); start the "
                        "server first, or correct the address."
                    ) from error
            time.sleep(_PAUSE)

    def _local(self) -> socket.socket:
        found = socket.socket(socket.AF_UNIX)
        try:
            found.connect(self.address if "/" in self.address else f"{_FOLDER}{self.address}")
        except OSError:
            found.close()
            raise
        return found

    def serve(self, beads: Beads) -> int:
        """Answer until the server ends it or, as ASE's does, hangs up; how many structures it had.

        Raises SimulationError for a connection that breaks inside a message or before an answer,
        and for a message that has no place there, and what ``beads`` raises.
        """
        count, batch, is_new = 0, 1, True
        answers: list[Answer] = []
        try:
            while (word := self._word(is_last=not answers)) != "EXIT":
                match word:
                    case "STATUS":
                        state = "NEEDINIT" if is_new else "HAVEDATA" if answers else "READY"
                        self._send(state)
                    case "INIT":
                        batch, is_new = self._initialize(), False
                    case "POSDATA":
                        answers = beads(*self._structures(batch, beads))
                        count += len(answers)
                    case "GETFORCE" if answers:
                        self._answer(answers)
                        answers = []
                    case _:
                        raise SimulationError(
                            f"The server at {self.address} said '{word}', which has no place "
                            "here in i-PI's protocol; is it another kind of server?"
                        )
        except (_GoneError, OSError) as error:
            raise SimulationError(
                f"The server at {self.address} broke the connection off after {count} structures; "
                "see what it says of the reason."
            ) from error
        finally:
            self._socket.close()
        return count

    def _initialize(self) -> int:
        """How many structures come at once, by what the server says at the beginning."""
        _, length = self._numbers(np.int32, 2)
        said = self._bytes(int(length)).decode("utf-8", errors="replace")
        found = _BATCH.search(said)
        return int(found[1]) if found else 1

    def _structures(self, batch: int, beads: Beads) -> tuple[list[Floats], list[Floats]]:
        """Cells and positions; of a batch the number of atoms comes first, else after the cell."""
        if batch == 1:
            cells = self._numbers(np.float64, (1, 2, 3, 3))
        beads.require_count(n_atoms := int(self._numbers(np.int32, 1)[0]))
        if batch > 1:
            cells = self._numbers(np.float64, (batch, 2, 3, 3))
        return list(cells[:, 0]), list(self._numbers(np.float64, (batch, n_atoms, 3)))

    def _answer(self, answers: Sequence[Answer]) -> None:
        energies, forces, virials, extras = zip(*answers, strict=True)
        n_atoms = np.int32(len(forces[0]))
        self._send("FORCEREADY", np.array(energies), n_atoms, np.array(forces), np.array(virials))
        for text in extras:
            # At least one byte: some servers take none for a connection that was closed.
            data = np.frombuffer(text.encode() or b" ", dtype=np.byte)
            self._send("", np.int32(len(data)), data)

    def _word(self, is_last: bool) -> str:
        """The next word; EXIT where the server hangs up instead and may do so."""
        try:
            start = self._bytes(1)
        except _GoneError:
            if is_last:
                return "EXIT"
            raise
        return (start + self._bytes(_WORD - 1)).decode("ascii", errors="replace").strip()

    def _numbers(self, dtype: DTypeLike, shape: int | tuple[int, ...]) -> NDArray[Any]:
        length = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return np.frombuffer(self._bytes(length), dtype).reshape(shape)

    def _bytes(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            part = self._socket.recv(length - len(data))
            if not part:
                raise _GoneError
            data += part
        return bytes(data)

    def _send(self, word: str, *arrays: NDArray[Any] | np.generic) -> None:
        header = word.encode().ljust(_WORD) if word else b""
        self._socket.sendall(header + b"".join(array.tobytes() for array in arrays))
