"""Wall time, processor time of everybody who took part, peak memory, and bytes."""

import os
import subprocess
import threading
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


class Sample:
    """One piece of work, measured."""

    def __init__(self, wall, cpu, memory=None, stored=None, files=None):
        self.wall = wall
        self.cpu = cpu
        self.memory = memory
        self.stored = stored
        self.files = files


def _times(pid):
    """User and system seconds of a process, and of its children that were waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(field) for field in fields[11:15]) / TICK


def tree_seconds(root):
    """Processor seconds of a process and all that came from it, living or waited for."""
    total, pending = 0.0, [root]
    while pending:
        pid = pending.pop()
        total += _times(pid)
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                pending += [int(child) for child in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def reset_peak(pid):
    """From here on the kernel counts the peak of resident memory anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_bytes(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


def on_disk(path):
    """Bytes and number of the files below a directory."""
    total, files = 0, 0
    for directory, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(directory, name)).st_size
                files += 1
            except FileNotFoundError:
                continue
    return total, files


def stored_since(path, before):
    """What came to a directory: bytes and files."""
    total, files = on_disk(path)
    return total - before[0], files - before[1]


class Meter:
    """Measures work of long-lived processes (the database's, Coffer's) and of commands."""

    def __init__(self, server_pid):
        self.server_pid = server_pid

    def of_service(self, pid, work, stored_in):
        """`work` is a function that makes the service of this pid do something."""
        before = tree_seconds(self.server_pid) + tree_seconds(pid)
        disk_before = on_disk(stored_in)
        reset_peak(pid)
        begun = time.monotonic()
        work()
        wall = time.monotonic() - begun
        cpu = tree_seconds(self.server_pid) + tree_seconds(pid) - before
        return Sample(wall, cpu, peak_bytes(pid), *stored_since(stored_in, disk_before))

    def of_command(self, command, environment, stored_in=None, cwd=None, user=None):
        """A shell command in bash, pipes and all. Fails as it does."""
        before = tree_seconds(self.server_pid)
        disk_before = on_disk(stored_in) if stored_in else None
        begun = time.monotonic()
        options = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
        process = subprocess.Popen(
            ["bash", "-c", f"set -euo pipefail\n{command}"],
            env=environment, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options,
        )
        said = []
        reader = threading.Thread(target=lambda: said.append(process.stderr.read()))
        reader.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        reader.join()
        if process.returncode != 0:
            raise RuntimeError(f"{command}\nended with code {process.returncode}: {said[0].decode(errors='replace')[-2000:]}")
        cpu = usage.ru_utime + usage.ru_stime + tree_seconds(self.server_pid) - before
        stored = stored_since(stored_in, disk_before) if stored_in else (None, None)
        return Sample(wall, cpu, usage.ru_maxrss * 1024, *stored)

    def of_function(self, work):
        """Work that the server does for us."""
        before = tree_seconds(self.server_pid)
        begun = time.monotonic()
        work()
        wall = time.monotonic() - begun
        return Sample(wall, tree_seconds(self.server_pid) - before)
