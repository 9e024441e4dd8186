"""A throwaway PostgreSQL server on 127.0.0.1, and psql.

PostgreSQL refuses to run as root, so when we do, the server runs as the user `postgres`. It ends with us, even when we
are killed: the kernel tells it to (setpriv --pdeathsig).
"""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse
from pathlib import Path

from terminal import Failure

START_SECONDS = 90
STOP_SECONDS = 60
PORT_ATTEMPTS = 20
DEBIAN_ROOT = Path("/usr/lib/postgresql")


def find_programs():
    """The directory of the newest server's programs: Debian's, or where COFFER_TEST_PG_BIN says."""
    named = [Path(part) for part in os.environ.get("COFFER_TEST_PG_BIN", "").split(":") if part]
    debian = sorted(DEBIAN_ROOT.glob("*/bin"), key=lambda path: int(path.parent.name) if path.parent.name.isdigit() else 0)
    for path in named + debian[::-1]:
        if (path / "initdb").exists():
            return path
    raise Failure("no PostgreSQL server is installed; on Debian: apt-get install postgresql")


def quote(name):
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


class Database:
    """Where a database is, and how to log in: a postgres:// URI taken apart."""

    def __init__(self, uri):
        parts = urllib.parse.urlsplit(uri)
        if parts.scheme not in ("postgres", "postgresql") or not parts.hostname:
            raise Failure("a database is named as postgres://USER:PASSWORD@HOST:PORT/DATABASE")
        self.uri = uri
        self.host = parts.hostname
        self.port = parts.port or 5432
        self.user = urllib.parse.unquote(parts.username or "postgres")
        self.password = urllib.parse.unquote(parts.password or "")
        self.name = urllib.parse.unquote(parts.path.lstrip("/")) or self.user
        self.options = dict(urllib.parse.parse_qsl(parts.query))

    def with_name(self, name):
        parts = urllib.parse.urlsplit(self.uri)
        return Database(urllib.parse.urlunsplit(parts._replace(path="/" + urllib.parse.quote(name, safe=""))))

    def with_login(self, user, password):
        parts = urllib.parse.urlsplit(self.uri)
        host = f"[{self.host}]" if ":" in self.host else self.host
        login = f"{urllib.parse.quote(user, safe='')}:{urllib.parse.quote(password, safe='')}@{host}:{self.port}"
        return Database(urllib.parse.urlunsplit(parts._replace(netloc=login)))

    def environment(self):
        """libpq's variables: the password must not stand in an argument list, where every process could read it."""
        variables = {
            **os.environ,
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGDATABASE": self.name,
            "PGPASSWORD": self.password,
            "PGCONNECT_TIMEOUT": "15",
            "PGAPPNAME": "coffer-quickstart",
        }
        for option, variable in (("sslmode", "PGSSLMODE"), ("sslrootcert", "PGSSLROOTCERT")):
            if option in self.options:
                variables[variable] = self.options[option]
        return variables


def psql(programs, database, sql, read_only=False, variables=None):
    """Runs SQL and returns what psql printed, unaligned and without headings."""
    environment = database.environment()
    options = ["-c client_min_messages=warning"]
    if read_only:
        options.append("-c default_transaction_read_only=on")
    environment["PGOPTIONS"] = " ".join(options)
    command = [str(programs / "psql"), "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"]
    command += [f"--set={name}={value}" for name, value in (variables or {}).items()]
    run = subprocess.run(command, input=sql, capture_output=True, text=True, env=environment)
    if run.returncode != 0:
        raise Failure(f"psql on {database.name}: {run.stderr.strip().removeprefix('psql: error: ')}")
    return run.stdout.rstrip("\n")


def unprivileged():
    """Whom to become when we are root: the user of Debian's packages, or where those are not installed, nobody."""
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise Failure("running as root, and there is neither a user `postgres` nor `nobody` to run PostgreSQL")


class Server:
    """A cluster in a directory of its own, running until `stop`."""

    def __init__(self, settings=None):
        self.programs = find_programs()
        self.directory = Path(tempfile.mkdtemp(prefix="coffer-pg-"))
        self.password = secrets.token_hex(16)
        self.process = None
        self.port = None
        self._as = {}
        if os.geteuid() == 0:
            account = unprivileged()
            self._as = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            os.chown(self.directory, account.pw_uid, account.pw_gid)
        try:
            self._init(settings or {})
            self._start_on_free_port()
        except BaseException:
            self.stop()
            raise

    def database(self, name, user="postgres", password=None):
        login = f"{user}:{password or self.password}"
        return Database(f"postgres://{login}@127.0.0.1:{self.port}/{urllib.parse.quote(name, safe='')}")

    def psql(self, name, sql, **options):
        return psql(self.programs, self.database(name), sql, **options)

    def _init(self, settings):
        password_file = self.directory / "password"
        password_file.write_text(self.password)
        if self._as:
            os.chown(password_file, self._as["user"], self._as["group"])
        command = [self.programs / "initdb", "--no-sync", "--auth=scram-sha-256", "--username=postgres"]
        command += ["--encoding=UTF8", "--locale=C.UTF-8", "--pwfile", password_file, "--pgdata", self.directory / "data"]
        run = subprocess.run(command, capture_output=True, text=True, cwd=self.directory, **self._as)
        password_file.unlink()
        if run.returncode != 0:
            raise Failure(f"initdb: {run.stderr.strip()}")
        lines = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            # It is thrown away: what a power cut would take is made again.
            "fsync": "off",
            "full_page_writes": "off",
            "max_wal_size": "4GB",
            **settings,
        }
        configuration = "".join(f"{name} = '{value}'\n" for name, value in lines.items())
        (self.directory / "data" / "postgresql.auto.conf").write_text(configuration)

    def _start_on_free_port(self):
        for _ in range(PORT_ATTEMPTS):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
            if self._start():
                return
        raise Failure("no free port for PostgreSQL")

    def _start(self):
        """False when another process was faster on the port."""
        setpriv = shutil.which("setpriv")
        command = [setpriv, "--pdeathsig", "QUIT", "--"] if setpriv else []
        command += [self.programs / "postgres", "-D", self.directory / "data", "-p", str(self.port)]
        log_path = self.directory / "server.log"
        with open(log_path, "ab") as log:
            before = log.tell()
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory, **self._as
            )
        deadline = time.monotonic() + START_SECONDS
        lock_file = self.directory / "data" / "postmaster.pid"
        while time.monotonic() < deadline:
            lines = lock_file.read_text().splitlines() if lock_file.exists() else []
            if len(lines) > 7 and lines[7].strip() == "ready":
                return True
            if self.process.poll() is not None:
                said = log_path.read_bytes()[before:].decode(errors="replace")
                if "could not bind" in said or "could not create any TCP/IP sockets" in said:
                    return False
                raise Failure(f"PostgreSQL ended at its start: {said}")
            time.sleep(0.02)
        raise Failure(f"PostgreSQL was not ready after {START_SECONDS} s")

    def stop(self):
        """Ends the server that we started, by its process, and removes its files."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
