"""A SLURM of this machine: ``sbatch`` starts the script of a job as a process, or holds it while there is a file ``hold``."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

SBATCH = """#!/bin/sh
cd "$SLURM_HERE" || exit 1
id=101
until mkdir $id 2>/dev/null; do id=$((id + 1)); done
[ -e refuse ] && [ $id != 101 ] && { rmdir $id; cat refuse >&2; exit 1; }  # all but the first
for script; do :; done
cp "$script" $id/script
echo "Submitted batch job $id"
[ -e hold ] && exit 0
SLURM_JOB_ID=$id setsid sh $id/script < /dev/null > slurm-$id.out 2>&1 &
echo $! > $id/pid
"""

SCANCEL = """#!/bin/sh
cd "$SLURM_HERE" || exit 1
for id; do
    touch $id/cancelled
    [ -e $id/pid ] || continue
    kill -TERM -$(cat $id/pid)
    setsid sh -c "sleep 3; kill -KILL -$(cat $id/pid)" < /dev/null > /dev/null 2>&1 &  # SLURM waits 30 s
done
exit 0
"""

SQUEUE = """#!/bin/sh
cd "$SLURM_HERE" || exit 1
for word; do case $word in --jobs=*) ids=$(echo ${word#--jobs=} | tr , ' ');; esac; done
for id in $ids; do
    [ -e $id/cancelled ] && continue
    if [ ! -e $id/pid ]; then echo "PENDING Resources"
    elif kill -0 $(cat $id/pid) 2>/dev/null; then echo "RUNNING None"
    fi
done
"""


class Slurm:
    """Its commands stand in ``bin``, and what it knows of each job in a folder named after the job."""

    def __init__(self, folder: Path):
        self.folder, self.bin = folder, folder / "bin"
        self.bin.mkdir(parents=True)
        for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL), ("squeue", SQUEUE)):
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(0o755)

    @property
    def env(self) -> dict[str, str]:
        return {"SLURM_HERE": str(self.folder), "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}"}

    @property
    def jobs(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if path.name.isdigit())

    @property
    def cancelled(self) -> list[str]:
        return [job for job in self.jobs if (self.folder / job / "cancelled").exists()]

    def script(self, job: str = "101") -> str:
        return (self.folder / job / "script").read_text()

    def processes(self) -> set[int]:
        """Those of all jobs that live."""
        groups = {(self.folder / job / "pid") for job in self.jobs}
        return living({int(path.read_text()) for path in groups if path.exists()})

    def gone(self, within: float = 15.0) -> bool:
        """Whether all processes of all jobs end in time."""
        until = time.monotonic() + within
        while self.processes() and time.monotonic() < until:
            time.sleep(0.05)
        return not self.processes()

    def end(self) -> None:
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def living(groups: set[int]) -> set[int]:
    """The processes of these groups, or sessions, that are no zombies."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, group, session = path.read_text().rpartition(")")[2].split()[:4]
            if {int(group), int(session)} & groups and state not in "ZX":
                found.add(int(path.parent.name))
    return found
