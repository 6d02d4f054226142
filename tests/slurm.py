"""A Slurm of one node, for tests: started in a folder of its own, ended after them."""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo")
CONFIGURATION = """\
ClusterName=tests
SlurmctldHost={host}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
KillWait=5
ReturnToService=2
NodeName={host} CPUs={cores} State=UNKNOWN
PartitionName=tests Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Why there can be no Slurm here; nothing where it can."""
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    lacking = [name for name in PROGRAMS if shutil.which(name, path=places) is None]
    if lacking:
        return f"Slurm is not installed (there is no {lacking[0]}): apt install slurm-wlm munge"
    return "" if os.geteuid() == 0 else "a node of Slurm is started by root"


@contextmanager
def cluster(folder: Path) -> Iterator[None]:
    """Slurm at work; its commands find it by the environment."""
    if reason := missing():
        pytest.skip(reason)
    configuration = folder / "slurm.conf"
    before = dict(os.environ)
    os.environ["PATH"] += f"{os.pathsep}/usr/sbin"
    os.environ["SLURM_CONF"] = str(configuration)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    folder.chmod(0o755)
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    values = {
        "host": socket.gethostname(),
        "user": getpass.getuser(),
        "folder": folder,
        "ports": free_ports(2),
        "cores": os.cpu_count(),
    }
    configuration.write_text(CONFIGURATION.format(**values))
    names = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log"}
    munge = [f"--{option}={folder}/munge.{name}" for option, name in names.items()]
    started = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for command in (
            ["munged", "--force", "--foreground", f"--seed-file={folder}/munge.seed", *munge],
            ["slurmctld", "-D"],
            ["slurmd", "-D"],
        )
    ]
    try:
        require_idle(folder)
        yield
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()
        os.environ.clear()
        os.environ.update(before)


def require_idle(folder: Path) -> None:
    """Wait until the node is up; skip where it does not come up."""
    end = time.monotonic() + 300
    while time.monotonic() < end:
        told = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True)
        if told.stdout.strip() == "idle":
            return
        time.sleep(0.3)
    log = (folder / "slurmctld.log").read_text(errors="replace")[-500:]
    pytest.skip(f"Slurm does not start here: {told.stdout}{told.stderr}{log}")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def jobs() -> list[str]:
    """Those that wait or run."""
    told = subprocess.run(["squeue", "-h", "-o", "%i %t"], capture_output=True, text=True)
    return [line.split()[0] for line in told.stdout.splitlines() if line.split()[1] in ("R", "PD")]
