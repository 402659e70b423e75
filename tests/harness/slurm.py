"""A Slurm of several nodes on this machine, with its real daemons, for as long as a test runs."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness.running import free_port

DAEMONS = ("munged", "slurmctld", "slurmd")
SECONDS_TO_START = 60

CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# A credential of a job that is queued again is refused until the first has expired.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0
ReturnToService=2
JobRequeue=1
KillWait=20
MessageTimeout=30
SlurmdTimeout=120
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=30
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""


def reason_to_skip() -> str | None:
    """Returns why no Slurm can be started here; None if it can."""
    missing = [daemon for daemon in DAEMONS if shutil.which(daemon, path=_path()) is None]
    if missing:
        return f"Slurm is not installed: {', '.join(missing)} not found"
    return None


@dataclass
class Slurm:
    """A running Slurm. Each node has two CPUs; a partition `urgent` preempts `main`.

    Args:
        folder: The folder of its configuration, logs and state.
        num_nodes: The number of nodes.
    """

    folder: Path
    num_nodes: int = 2
    _daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables with which Slurm's commands reach it."""
        return {
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": _path(),
            # The names of the nodes are known to Slurm alone.
            "MASTER_ADDR": "127.0.0.1",
        }

    def start(self) -> None:
        """Starts the daemons and waits until the nodes are idle."""
        (self.folder / "state").mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o600)
        self._write_config()
        self._start(
            *("munged", "--foreground", "--force", f"--key-file={key}"),
            *(f"--socket={self.folder}/munge.socket", f"--pid-file={self.folder}/munged.pid"),
            *(f"--log-file={self.folder}/munged.log", f"--seed-file={self.folder}/munge.seed"),
        )
        self._wait_for(lambda: (self.folder / "munge.socket").exists())
        self._start("slurmctld", "-D", "-c")
        for node in self._nodes():
            (self.folder / f"spool.{node}").mkdir()
            self._start("slurmd", "-D", "-N", node)
        self._wait_for(lambda: self.run("sinfo", "-h", "-N", "-t", "idle").count("main") >= 2)

    def stop(self) -> None:
        """Ends all jobs and the daemons."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self.run("scancel", "--user", _user())
            self._wait_for(lambda: not self.run("squeue", "-h"))
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(timeout=10)
            except subprocess.TimeoutExpired:
                daemon.send_signal(signal.SIGKILL)
                daemon.wait()

    def run(self, *command: str, cwd: Path | None = None) -> str:
        """Runs a command of Slurm's and returns its output."""
        finished = subprocess.run(
            command,
            cwd=cwd,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        return finished.stdout

    def state(self, job: str) -> str:
        """Returns the state of a job, such as RUNNING; empty if Slurm has forgotten it."""
        try:
            shown = self.run("scontrol", "show", "job", job)
        except subprocess.CalledProcessError:
            return ""
        return shown.partition("JobState=")[2].split()[0]

    def restarts(self, job: str) -> int:
        """Returns how often a job has been queued again."""
        shown = self.run("scontrol", "show", "job", job)
        return int(shown.partition("Restarts=")[2].split()[0])

    def wait_for_state(self, job: str, states: Sequence[str], seconds: float) -> str:
        """Waits until a job has one of the states, and returns it."""
        self._wait_for(lambda: self.state(job) in states, seconds)
        return self.state(job)

    def _start(self, *command: str) -> None:
        with (self.folder / f"{command[0]}.output").open("ab") as output:
            self._daemons.append(
                subprocess.Popen(
                    command,
                    env=os.environ | self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            )

    def _write_config(self) -> None:
        host = socket.gethostname().partition(".")[0]
        nodes = [
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={free_port()} CPUs=2 "
            "RealMemory=8000"
            for node in self._nodes()
        ]
        config = CONFIG.format(
            host=host,
            controller_port=free_port(),
            user=_user(),
            folder=self.folder,
            nodes="\n".join(nodes),
        )
        (self.folder / "slurm.conf").write_text(config)

    def _nodes(self) -> list[str]:
        return [f"n{number}" for number in range(1, self.num_nodes + 1)]

    def _wait_for(self, condition: Callable[[], bool], seconds: float = SECONDS_TO_START) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                logs = [
                    f"== {path.name}\n{path.read_text(errors='replace')[-2000:]}"
                    for path in sorted(self.folder.glob("*.log"))
                ]
                raise TimeoutError("\n".join(logs))
            time.sleep(0.2)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Slurm]:
    """Starts a Slurm, and stops it at the end."""
    slurm = Slurm(folder)
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
