"""Starting and stopping `coffer serve`, and its command line."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from terminal import Failure

START_SECONDS = 60
STOP_SECONDS = 60
# The port of the documentation; another free one is taken when it is in use.
USUAL_PORT = 8443


def read_env(path):
    """`client.env`: KEY=VALUE lines, no quotes."""
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)


def usual_port_or_free():
    """The usual port if it can be had, else 0: the system chooses."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", USUAL_PORT))
        except OSError:
            return 0
    return USUAL_PORT


class CofferServer:
    """A `coffer serve` of ours with its data directory."""

    def __init__(self, binary, data_directory, port=0, log_path=None, environment=None, configuration=None):
        self.binary = Path(binary).absolute()
        self.data = Path(data_directory).resolve()
        self.port = port
        self.log_path = Path(log_path) if log_path else self.data / "serve.log"
        self.environment = dict(environment or {})
        self.configuration = configuration
        self.process = None

    def command(self, *arguments):
        """Runs another verb of the same binary and returns its standard output."""
        run = subprocess.run([self.binary, *arguments], capture_output=True, text=True)
        if run.returncode != 0:
            raise Failure(f"coffer {' '.join(map(str, arguments[:2]))}: {run.stderr.strip()}")
        return run.stdout

    def start(self, wait=True):
        """Starts it and waits until it is ready; returns what `client.env` says."""
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        env_path = self.data / "client.env"
        # The server writes it anew at every start, once it listens: the old one must not be taken for it.
        env_path.unlink(missing_ok=True)
        command = [self.binary, "serve", "--data-dir", self.data, "--listen", f"127.0.0.1:{self.port}"]
        if self.configuration:
            command += ["--config", self.configuration]
        if not self.binary.is_file():
            raise Failure(f"there is no program {self.binary}")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **self.environment}
            )
        return self.wait_until_ready() if wait else None

    def wait_until_ready(self):
        env_path = self.data / "client.env"
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if env_path.exists():
                return read_env(env_path)
            if self.process.poll() is not None:
                raise Failure(f"coffer serve ended with code {self.process.returncode}: {self.last_words()}")
            time.sleep(0.02)
        raise Failure(f"coffer serve was not ready after {START_SECONDS} s: {self.last_words()}")

    def last_words(self):
        lines = self.log_path.read_text(errors="replace").strip().splitlines() if self.log_path.exists() else []
        return " | ".join(lines[-3:]) or "it wrote nothing"

    def stop(self):
        """As an operator does: SIGTERM, and it finishes what it is at."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def kill(self):
        """As a power cut does."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        if self.process is not None:
            self.process.wait()
