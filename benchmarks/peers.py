"""Whoever is measured: the limit, Coffer, and what people use else. Each has its first backup, its next ones, and a restore, where it
can; what it can't is None.
"""

import os
import queue
import shutil
import threading

from coffer_server import CofferServer
from day import Day
from rest import Client
from terminal import Failure

LARGEST_FIRST = """
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY pg_table_size(c.oid) DESC
"""
PASSWORD = "a password of the benchmark"
# Statements of one session of the limit: a session for each of ten thousand tables would measure logins.
LIMIT_BATCH = 200


def major_of(programs):
    version = os.popen(f"{programs}/postgres --version").read().split()
    return int(version[2].split(".")[0])


class Peer:
    """What they share: the server, the database, and a directory of their own that the server's user may write to."""

    name = "?"
    restores = False

    def __init__(self, bench):
        self.bench = bench
        self.server = bench.server
        self.meter = bench.meter
        self.directory = bench.directory / type(self).__name__.lower()
        self.fresh()

    def fresh(self):
        """Forgets all backups."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        if self.server._as:
            os.chown(self.directory, self.server._as["user"], self.server._as["group"])

    def command(self, text, stored_in=True, **options):
        environment = self.server.database(self.bench.database).environment()
        environment.update(options.pop("environment", {}))
        environment["PATH"] = f"{self.server.programs}:{environment['PATH']}"
        return self.meter.of_command(text, environment, self.directory if stored_in else None, cwd=self.directory, **options)

    def first(self):
        return None

    def next(self):
        """After the first, whatever changed."""
        return None

    def restore(self):
        return None

    def close(self):
        pass


class Limit(Peer):
    """The server's own COPY of all tables to nowhere, largest first, in as many sessions as there are workers."""

    name = "limit: COPY TO '/dev/null'"

    def first(self):
        tables = self.server.psql(self.bench.database, LARGEST_FIRST).splitlines()
        waiting, failures = queue.Queue(), []
        batch = LIMIT_BATCH if len(tables) > 20 * self.bench.workers else 1
        for first in range(0, len(tables), batch):
            waiting.put(tables[first : first + batch])

        def work():
            while True:
                try:
                    batch = waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    statements = "".join(f"COPY {table} TO '/dev/null';" for table in batch)
                    self.server.psql(self.bench.database, statements)
                except Failure as failure:
                    failures.append(failure)

        def all_tables():
            threads = [threading.Thread(target=work) for _ in range(self.bench.workers)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        sample = self.meter.of_function(all_tables)
        if failures:
            raise failures[0]
        return sample

    next = first


class Coffer(Peer):
    """Through the service, as its users do: a request for a backup until its job has ended. Encrypted, hashed, synced."""

    name = "Coffer"
    restores = True

    def __init__(self, bench):
        super().__init__(bench)
        # As it comes, but for where the server's own tools are.
        tools = {"COFFER_POSTGRES_TOOL_DIRECTORIES": str(self.server.programs)}
        self.coffer = CofferServer(
            bench.binary, bench.directory / "coffer-data", log_path=bench.directory / "coffer.log", environment=tools
        )
        environment = self.coffer.start()
        self.client = Client(environment)
        # The end of a job is to be seen when it comes, not up to a second later.
        self.client.pause_max_seconds = 0.05
        self.subscription = environment["AZURE_SUBSCRIPTION_ID"]
        self.storage = self.coffer.data / "storage"
        self.day = None
        self.rounds = 0

    def fresh(self):
        super().fresh()
        self.day = None

    def _describe(self):
        """All that comes before a client asks for protection."""
        self.rounds += 1
        day = Day(self.client, self.subscription, self.subscription, f"bench{self.rounds}")
        day.create_groups()
        day.create_key_vault()
        secret = day.set_secret("login", self.server.database("postgres").uri)
        day.register_server("127.0.0.1", self.server.port, "disable", secret)
        day.register_storage((self.coffer.data / "files" / f"bench{self.rounds}").as_uri())
        day.create_vault()
        day.create_policy()
        day.grant_vault()
        day.describe_instance(self.bench.database)
        self.day = day

    def _protect(self):
        self.day.validate()
        self.day.configure()

    def first(self):
        self._describe()
        self._protect()
        return self.next()

    def from_nothing(self):
        """Validation, protection and the first backup, as one."""
        self._describe()

        def work():
            self._protect()
            self.day.backup()

        return self.meter.of_service(self.coffer.process.pid, work, self.storage)

    def next(self):
        return self.meter.of_service(self.coffer.process.pid, self.day.backup, self.storage)

    def restore(self):
        point = self.day.recovery_points()[0]["name"]
        request = self.day.restore_request(point, "bench_restored")
        sample = self.meter.of_service(self.coffer.process.pid, lambda: self.day.restore(request), self.storage)
        self.server.psql("postgres", "DROP DATABASE bench_restored")
        sample.stored = None
        return sample

    def close(self):
        self.client.close()
        self.coffer.stop()


class DumpCustom(Peer):
    """What Azure Backup ran."""

    name = "pg_dump -Fc"

    def first(self):
        self.fresh()
        return self.command("pg_dump -Fc -f dump")

    next = first


class DumpDirectory(Peer):
    """pg_dump at its best: parallel, and with the fast compression where it has it (16 and newer)."""

    restores = True

    def __init__(self, bench):
        super().__init__(bench)
        self.compression = "--compress=zstd:1" if bench.major >= 16 else "-Z1"
        self.name = f"pg_dump -Fd -j{bench.workers} {self.compression}"

    def first(self):
        self.fresh()
        return self.command(f"pg_dump -Fd -j{self.bench.workers} {self.compression} -f dump")

    next = first

    def restore(self):
        self.server.psql("postgres", "CREATE DATABASE bench_restored TEMPLATE template0")
        sample = self.command(f"pg_restore -j{self.bench.workers} -d bench_restored dump", stored_in=False)
        self.server.psql("postgres", "DROP DATABASE bench_restored")
        return sample


class BaseBackup(Peer):
    """All files of the server, indexes included; on 17 and newer its next backups are incremental."""

    def __init__(self, bench):
        super().__init__(bench)
        self.name = "pg_basebackup" + (" (--incremental)" if bench.major >= 17 else "")
        self.taken = 0

    def first(self):
        self.fresh()
        self.taken = 0
        return self._take("")

    def next(self):
        if self.bench.major < 17:
            return self.first()
        return self._take(f"--incremental=backup{self.taken}/backup_manifest")

    def _take(self, options):
        self.taken += 1
        built_with = os.popen(f"{self.server.programs}/pg_config --configure 2>&1").read()
        compression = "--compress=client-zstd:1" if self.bench.major >= 15 and "--with-zstd" in built_with else "-z"
        return self.command(f"pg_basebackup -Ft {compression} -X none -c fast {options} -D backup{self.taken}")


class PgBackRest(Peer):
    """All files of the server, compressed with zstd by as many processes as there are workers."""

    name = "pgBackRest"

    @staticmethod
    def available(bench):
        # Debian's knows servers up to its own time.
        return shutil.which("pgbackrest") and bench.major <= 15

    def fresh(self):
        super().fresh()
        directory = self.server.directory
        (self.directory / "pgbackrest.conf").write_text(
            f"[global]\nrepo1-path={self.directory}/repo\nlog-path={self.directory}\nlock-path={self.directory}\n"
            f"process-max={self.bench.workers}\ncompress-type=zst\ncompress-level=1\nstart-fast=y\narchive-check=n\nlog-level-console=error\n"
            f"log-level-file=off\n[bench]\npg1-path={directory}/data\npg1-port={self.server.port}\npg1-socket-path={self.bench.sockets}\npg1-user=postgres\n"
        )
        self.user = self.bench.server_account
        if self.user:
            os.chown(self.directory / "pgbackrest.conf", self.user.pw_uid, self.user.pw_gid)

    def _run(self, verb):
        return self.command(f"pgbackrest --config={self.directory}/pgbackrest.conf --stanza=bench {verb}", user=self.user)

    def first(self):
        self.fresh()
        self._run("stanza-create")
        return self._run("backup --type=full")

    def next(self):
        return self._run("backup --type=incr")


class Restic(Peer):
    """An uncompressed dump into restic, which cuts, compresses and encrypts."""

    name = "pg_dump -Fc -Z0 into restic"

    @staticmethod
    def available(_bench):
        return shutil.which("restic")

    def first(self):
        self.fresh()
        self._run("restic init -q")
        return self.next()

    def next(self):
        return self._run("pg_dump -Fc -Z0 | restic backup -q --stdin --stdin-filename dump")

    def _run(self, text):
        environment = {
            "RESTIC_REPOSITORY": str(self.directory / "repo"),
            "RESTIC_PASSWORD": PASSWORD,
            "RESTIC_CACHE_DIR": str(self.directory / "cache"),
        }
        return self.command(text, environment=environment)


ALL = [Limit, Coffer, DumpCustom, DumpDirectory, BaseBackup, PgBackRest, Restic]


def available(bench, wanted):
    """Those that can be had here; the limit is always first."""
    kinds = [kind for kind in ALL if not wanted or kind is Limit or kind.__name__.lower() in wanted]
    return [kind(bench) for kind in kinds if getattr(kind, "available", lambda _: True)(bench)]
