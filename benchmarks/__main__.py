"""`./benchmark`: Coffer beside the limit and beside others, on one machine, in one run. See docs/benchmarks.md."""

import argparse
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "samples" / "quickstart"), str(Path(__file__).resolve().parent)]

import data  # noqa: E402
import peers  # noqa: E402
import report  # noqa: E402
import service  # noqa: E402
from measure import Meter  # noqa: E402
from postgres import Server, find_programs, unprivileged  # noqa: E402

DATABASE = "bench"
SETTINGS = {
    # What a restore and a backup cost depends on these; they are those of a server that somebody cares for.
    "fsync": "on",
    "full_page_writes": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "maintenance_work_mem": "256MB",
    "autovacuum": "off",
    # For ten thousand tables, each locked by several sessions at once.
    "max_locks_per_transaction": "256",
}


def parse():
    parser = argparse.ArgumentParser(prog="./benchmark", description=__doc__)
    parser.add_argument("what", nargs="*", choices=["main", "small-tables", "small-database", "growth", "minimal", "service", []], help="default: main")
    parser.add_argument("--gigabytes", type=float, default=2.0, help="heap of the three tables together (default 2)")
    parser.add_argument("--rounds", type=int, default=5, help="times that everything is measured (default 5)")
    parser.add_argument("--tables", type=int, default=10_000, help="tables of small-tables")
    parser.add_argument("--growth", default="1,2,4,8", help="gigabytes of growth")
    parser.add_argument("--instances", type=int, default=100_000, help="backup instances of service")
    parser.add_argument("--peers", type=lambda text: text.split(","), help="only these, by comma: coffer,dumpcustom,dumpdirectory,basebackup,pgbackrest,restic")
    parser.add_argument("--no-restore", action="store_true", help="leaves the restores out")
    parser.add_argument("--no-wal-summaries", action="store_true", help="the server writes no WAL summaries (17 and newer)")
    parser.add_argument("--write", action="store_true", help="replaces the part of docs/benchmarks.md that is of this run's kind")
    parser.add_argument("--binary", default=str(ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release" / "coffer"))
    options = parser.parse_args()
    options.what = options.what or ["main"]
    return options


class Bench:
    """A server with data, a directory, and whoever is measured."""

    def __init__(self, options, wal_level="replica"):
        self.options = options
        self.binary = options.binary
        self.workers = os.cpu_count()
        self.major = peers.major_of(find_programs())
        self.database = DATABASE
        self.directory = Path(tempfile.mkdtemp(prefix="coffer-bench-"))
        self.directory.chmod(0o755)
        settings = {**SETTINGS, "wal_level": wal_level}
        self.summaries = wal_level != "minimal" and self.major >= 17 and not options.no_wal_summaries
        if self.summaries:
            settings["summarize_wal"] = "on"
        if wal_level == "minimal":
            settings["max_wal_senders"] = "0"
        # pgBackRest reaches a server of its own machine by a socket alone.
        self.sockets = self.directory / "sockets"
        self.sockets.mkdir()
        if os.geteuid() == 0:
            account = unprivileged()
            os.chown(self.sockets, account.pw_uid, account.pw_gid)
        settings["unix_socket_directories"] = str(self.sockets)
        self.server = Server(settings)
        self.server_account = pwd.getpwuid(self.server._as["user"]) if self.server._as else None
        self.meter = Meter(self.server.process.pid)
        self.peers = []

    def close(self):
        for peer in self.peers:
            peer.close()
        self.server.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


def say(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def measured(samples, scene, peer, work):
    say(f"  {scene}: {peer.name} …")
    sample = work()
    if sample is not None:
        samples.setdefault(scene, {}).setdefault(peer.name, []).append(sample)
        stored = "" if sample.stored is None else f", {sample.stored / 1e6:.1f} MB"
        say(f"  {scene}: {peer.name}: {sample.wall:.2f} s, {sample.cpu:.2f} s of CPU{stored}")


# Of the whole database, which with its catalogs has about eight.
SMALL_GIGABYTES = 0.001

FROM_NOTHING = "validated, protected and backed up"
FIRST, SAME, REGION, RANDOM, RESTORE = (
    "first backup",
    "nothing changed",
    "1 % changed, in one region",
    "1 % changed, at random",
    "restore as a database",
)


def rounds(options):
    for number in range(1, options.rounds + 1):
        say(f"round {number} of {options.rounds}")
        yield number


def first_and_same(bench, samples):
    """A first backup by everybody, and then another with nothing changed."""
    for peer in bench.peers:
        measured(samples, FIRST, peer, peer.first)
    for peer in bench.peers:
        measured(samples, SAME, peer, peer.next)


def run_main(bench, options):
    say(f"loading {options.gigabytes:g} GB into PostgreSQL {bench.major} …")
    data.load(bench.server, DATABASE, options.gigabytes)
    bench.peers = peers.available(bench, options.peers)
    samples = {}
    for round_number in rounds(options):
        first_and_same(bench, samples)
        for scene, kind in ((REGION, "one region"), (RANDOM, "at random")):
            data.change(bench.server, DATABASE, kind, round_number)
            bench.server.psql(DATABASE, "CHECKPOINT")
            for peer in bench.peers:
                measured(samples, scene, peer, peer.next)
        if not options.no_restore:
            for peer in bench.peers:
                if peer.restores:
                    bench.server.psql("postgres", "CHECKPOINT")
                    measured(samples, RESTORE, peer, peer.restore)
        data.tidy(bench.server, DATABASE)
    return samples


def run_minimal(bench, options):
    """Restores where the server need not log what is loaded into a new table."""
    data.load(bench.server, DATABASE, options.gigabytes)
    bench.peers = peers.available(bench, options.peers or ["coffer", "dumpdirectory"])
    samples = {}
    for peer in bench.peers:
        measured(samples, FIRST, peer, peer.first)
    for _ in rounds(options):
        for peer in bench.peers:
            bench.server.psql("postgres", "CHECKPOINT")
            measured(samples, RESTORE, peer, peer.restore if peer.restores else peer.first)
    return {RESTORE: samples[RESTORE]}


def run_small_tables(bench, options):
    say(f"making {options.tables} tables …")
    data.load_small_tables(bench.server, DATABASE, options.tables)
    bench.peers = peers.available(bench, options.peers or ["coffer", "dumpdirectory", "dumpcustom"])
    samples = {}
    for _ in rounds(options):
        first_and_same(bench, samples)
    return samples


def run_small_database(bench, options):
    data.load(bench.server, DATABASE, SMALL_GIGABYTES)
    bench.peers = peers.available(bench, ["coffer"])
    limit, coffer = bench.peers
    samples = {}
    for _ in rounds(options):
        measured(samples, FROM_NOTHING, limit, limit.first)
        measured(samples, FROM_NOTHING, coffer, coffer.from_nothing)
    return samples


RUNS = {
    "main": (run_main, lambda options: f"{options.gigabytes:g} GB of heap"),
    "minimal": (run_minimal, lambda options: f"{options.gigabytes:g} GB of heap, wal_level = minimal"),
    "small-tables": (run_small_tables, lambda options: f"{options.tables} tables of 100 rows"),
    "small-database": (run_small_database, lambda options: f"{SMALL_GIGABYTES * 1000:g} MB of heap"),
}


def tables(samples, files):
    limits = {scene: next(iter(of.values())) for scene, of in samples.items()}
    limits[RESTORE] = limits.get(SAME, limits.get(RESTORE, []))
    return "\n".join(report.table(scene, of, limits[scene], files) for scene, of in samples.items())


def write(kind, text, plotted=None):
    """Puts a part of the page in the place of its last one."""
    page = ROOT / "docs" / "benchmarks.md"
    content = page.read_text()
    begin, end = f"<!-- {kind}: begin -->", f"<!-- {kind}: end -->"
    before, rest = content.split(begin, 1)
    after = rest.split(end, 1)[1]
    if plotted:
        series, labels = plotted
        picture = f"benchmarks-{kind.split()[-3]}.svg"
        report.plot(ROOT / "docs" / picture, "Median wall time, × limit", series, labels)
        text = f"![Median wall time]({picture})\n\n{text}"
    page.write_text(f"{before}{begin}\n\n{text}\n{end}{after}")


def series_of(samples):
    scenes = [scene for scene in (FIRST, SAME, REGION, RANDOM) if scene in samples]
    names = list(samples[FIRST])
    series = {}
    for name in names:
        values = []
        for scene in scenes:
            limit = next(iter(samples[scene].values()))
            taken = samples[scene].get(name)
            values.append(median(s.wall / base.wall for s, base in zip(taken, limit, strict=False)) if taken else None)
        series[name] = values
    return series, scenes


def head(bench, options, what):
    settings = "WAL summaries on" if bench.summaries else "without WAL summaries"
    return f"{what}, PostgreSQL {bench.major}, {settings}; {report.machine()}; {options.rounds} rounds.\n"


def main():
    options = parse()
    if not Path(options.binary).is_file():
        subprocess.run(["cargo", "build", "--release", "--locked", "--bin", "coffer"], cwd=ROOT, check=True)
    for what in options.what:
        if what in ("growth", "service"):
            {"growth": growth, "service": many_instances}[what](options)
            continue
        bench = Bench(options, "minimal" if what == "minimal" else "replica")
        try:
            run, size = RUNS[what]
            samples = run(bench, options)
            text = head(bench, options, size(options)) + "\n" + tables(samples, files=what == "small-tables")
        finally:
            bench.close()
        print(text)
        if options.write:
            kind = what if what != "main" else f"main, {'with' if 'summaries on' in text else 'without'} WAL summaries"
            write(kind, text, series_of(samples) if what == "main" else None)


def many_instances(options):
    """How the service itself answers and begins, with very many instances."""
    bench = Bench(options)
    try:
        data.load(bench.server, DATABASE, SMALL_GIGABYTES)
        bench.peers = peers.available(bench, ["coffer"])
        _, coffer = bench.peers
        table = service.run(coffer, options.instances, say)
        text = f"{options.instances} backup instances; {report.machine()}.\n\n{table}"
    finally:
        bench.close()
    print(text)
    if options.write:
        write("service", text)


def growth(options):
    """First and next backup at several sizes: time should grow with the data, memory not at all."""
    lines = ["| GB | limit s | first s | × limit | next s | peak MiB |", "|---|---|---|---|---|---|"]
    for size in [float(part) for part in options.growth.split(",")]:
        bench = Bench(options)
        try:
            say(f"loading {size:g} GB …")
            data.load(bench.server, DATABASE, size)
            bench.peers = peers.available(bench, ["coffer"])
            limit, coffer = bench.peers
            samples = {}
            for _ in rounds(options):
                first_and_same(bench, samples)
            base = median(s.wall for s in samples[FIRST][limit.name])
            first = median(s.wall for s in samples[FIRST][coffer.name])
            again = median(s.wall for s in samples[SAME][coffer.name])
            peak = max(s.memory for s in samples[FIRST][coffer.name]) / 2**20
            lines.append(f"| {size:g} | {base:.2f} | {first:.2f} | {first / base:.2f} | {again:.2f} | {peak:.0f} |")
            text = head(bench, options, "Growth") + "\n" + "\n".join(lines) + "\n"
        finally:
            bench.close()
    print(text)
    if options.write:
        write("growth", text)


if __name__ == "__main__":
    main()
