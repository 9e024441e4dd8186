"""`./quickstart`: the whole of Coffer in one walk, on a throwaway database or on yours.

Started by the script `quickstart`, which installs and builds what is needed first. Nothing but Python's own library is
used here. What this program starts, it stops: the servers by their processes, in any case of failure too.
"""

import argparse
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import compare
from coffer_server import CofferServer, usual_port_or_free
from day import Day
from postgres import Database, Server, find_programs, psql, quote
from rest import Client, describe_error
from terminal import Failure, Steps, complain, duration, say, size

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "samples" / "sample.sql"

# What the real service took for a database of 8 MB, from its recordings.
RECORDED_SECONDS = {"validate": 20, "configure": 1, "backup": 94, "restore": 106}

# Role that reads for the backup in the throwaway server: it may read everything and change nothing.
GRANTS = """
CREATE ROLE coffer_backup LOGIN BYPASSRLS PASSWORD :'password';
GRANT CONNECT ON DATABASE :"database" TO coffer_backup;
GRANT pg_read_all_data TO coffer_backup;
-- Large objects have owners and grants of their own, which pg_read_all_data does not reach.
SELECT format('GRANT SELECT ON LARGE OBJECT %s TO coffer_backup', oid) FROM pg_largeobject_metadata \\gexec
"""


def arguments():
    parser = argparse.ArgumentParser(
        prog="./quickstart",
        description="Protects a database, backs it up, restores it, proves that nothing is missing, and cleans up: "
        "all through the REST API, with every step shown.",
    )
    parser.add_argument(
        "--database",
        metavar="URI",
        help="your own database, as postgres://USER:PASSWORD@HOST:PORT/NAME, in place of a throwaway one; it is only "
        "read, and restored to a new database on the same server",
    )
    parser.add_argument("--no-restore", action="store_true", help="with --database: restore nowhere")
    parser.add_argument(
        "--data-dir", type=Path, default=Path("coffer-data"), help="where Coffer keeps everything (default: coffer-data)"
    )
    parser.add_argument(
        "--key-file",
        type=Path,
        default=Path("coffer-recovery.key"),
        help="where the key is exported to (default: coffer-recovery.key)",
    )
    parser.add_argument(
        "--scale", type=int, default=100, help="size of the sample: 100 is about 310 MB, 1 about 13 MB (default: 100)"
    )
    parser.add_argument("--binary", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.no_restore and not options.database:
        parser.error("--no-restore is for --database")
    if options.scale < 1:
        parser.error("--scale is 1 or more")
    return options


class Source:
    """The database of this walk, and who logs in to it."""

    def __init__(self, programs, reader, admin, throwaway, bytes_):
        self.programs = programs
        self.bytes = bytes_
        # Whose connection string the backup uses, and whose a restore.
        self.reader = reader
        self.admin = admin
        self.throwaway = throwaway

    def ssl_mode(self):
        mode = self.reader.options.get("sslmode", "disable" if self.throwaway else "prefer")
        return "prefer" if mode == "allow" else mode


def prepare_throwaway(steps, stack, scale):
    """A PostgreSQL server with the sample database, and a role that may read it."""
    with steps.step("Starting a throwaway PostgreSQL server") as notes:
        server = Server()
        stack.callback(server.stop)
        notes.detail(f"PostgreSQL {server.psql('postgres', 'SHOW server_version')} on 127.0.0.1:{server.port}")
    with steps.step("Generating the sample database") as notes:
        server.psql("postgres", "CREATE DATABASE shop TEMPLATE template0")
        server.psql("shop", SAMPLE.read_text(), variables={"scale": scale})
        bytes_ = int(server.psql("shop", "SELECT pg_database_size('shop')"))
        notes.detail(f"{size(bytes_)}: many types, foreign keys, partitions, views, large objects, an index of every kind")
    with steps.step("Granting a role of its own all that a backup reads") as notes:
        password = secrets.token_hex(16)
        server.psql("shop", GRANTS, variables={"password": password, "database": "shop"})
        notes.detail("role coffer_backup: member of pg_read_all_data, BYPASSRLS, SELECT on the large objects")
    admin = server.database("shop")
    return Source(server.programs, admin.with_login("coffer_backup", password), admin, throwaway=True, bytes_=bytes_)


def prepare_own(steps, uri):
    """The database that the person named; nothing is written to it."""
    database = Database(uri)
    programs = find_client_programs()
    with steps.step(f"Looking at your database {database.name} on {database.host}:{database.port}") as notes:
        version = psql(programs, database, "SHOW server_version", read_only=True)
        bytes_ = int(psql(programs, database, "SELECT pg_database_size(current_database())", read_only=True))
        notes.detail(f"PostgreSQL {version}, {size(bytes_)}; it is only read")
    return Source(programs, database, database, throwaway=False, bytes_=bytes_)


def find_client_programs():
    """psql and pg_dump, also where no server is installed."""
    try:
        return find_programs()
    except Failure:
        found = shutil.which("psql")
        if found is None:
            raise Failure("psql is not installed; on Debian: apt-get install postgresql-client") from None
        return Path(found).parent


def show_progress(notes):
    """Turns a running job into a line of progress."""
    start = time.monotonic()

    def show(job):
        moved = ((job["properties"].get("extendedInfo") or {}).get("dataTransferredInBytes")) or 0
        seconds = time.monotonic() - start
        notes.progress(f"{size(moved)} in {duration(seconds)}")

    return show


def describe_job(notes, job):
    """What a finished job says of itself."""
    extended = job["properties"].get("extendedInfo") or {}
    if extended.get("dataTransferredInBytes"):
        notes.detail(f"{size(extended['dataTransferredInBytes'])} transferred; job {job['name']}")
    for name, value in (extended.get("additionalDetails") or {}).items():
        notes.detail(f"{name}: {value}")
    for warning in extended.get("warningDetails") or []:
        notes.detail(f"warning: {describe_error(warning.get('warning') or warning)}")


def export_key(steps, env, key_file):
    """Copies the master key out of the data directory, readable by its owner alone."""
    with steps.step("Exporting the key") as notes:
        key = Path(env["COFFER_KEY_FILE"]).read_bytes()
        target = key_file.resolve()
        if target.exists() and target.read_bytes() != key:
            raise Failure(f"{target} holds another key already; choose another place with --key-file")
        if not target.exists():
            # Exclusive and with its mode from the start: at no moment may others read it.
            with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(key)
        notes.detail(f"{target}")
        notes.detail("Keep it elsewhere. Backups are encrypted: with this key and the storage alone everything can be")
        notes.detail("restored; losing the data directory without it loses all.")
    return target


def start_coffer(steps, stack, options):
    binary = options.binary or ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release" / "coffer"
    server = CofferServer(binary, options.data_dir, usual_port_or_free())
    with steps.step("Starting Coffer with its embedded defaults") as notes:
        stack.callback(server.stop)
        env = server.start()
        client = Client(env)
        stack.callback(client.close)
        client.get("/subscriptions", api_version="2022-12-01")
        notes.detail(f"{env['COFFER_ENDPOINT']}, everything in {server.data}")
    return server, client


def second_subscription(server, client):
    """The article's database belongs to another subscription than the vault."""
    name = "Databases"
    for known in client.get("/subscriptions", api_version="2022-12-01")["value"]:
        if known["displayName"] == name:
            return known["subscriptionId"]
    created = json.loads(
        server.command("subscription", "create", "--data-dir", server.data, "--name", name, "--output", "json")
    )
    return created["subscriptionId"]


def set_up(steps, server, client, source, run):
    """What an Azure user has before the article begins."""
    with steps.step("Two subscriptions, two resource groups, a key vault") as notes:
        day = Day(client, client.env["AZURE_SUBSCRIPTION_ID"], second_subscription(server, client), run)
        day.create_groups()
        day.create_key_vault()
        notes.detail("the vault's in one subscription, the database's in the other, as in the article")
    with steps.step("The connection strings, into the key vault: no password stays in the backup service") as notes:
        reader_secret = day.set_secret("backup-login", source.reader.uri)
        admin_secret = day.set_secret("restore-login", source.admin.uri) if source.throwaway else None
        notes.detail(reader_secret)
    with steps.step("Registering the server, and a place for files") as notes:
        day.register_server(source.reader.host, source.reader.port, source.ssl_mode(), reader_secret)
        files = server.data / "files" / run
        day.register_storage(files.as_uri())
        notes.detail(f"{source.reader.host}:{source.reader.port} is {day.server.split('/', 4)[4]}")
    return day, admin_secret, files


def protect(steps, day, source):
    """The article's first half: vault, policy, grants, validation, configuration."""
    with steps.step("Backup vault, with an identity of its own") as notes:
        day.create_vault()
        notes.detail(f"principal {day.principal}")
    with steps.step("Backup policy: weekly, kept three months, the first of a month six"):
        day.create_policy()
    with steps.step("Grants for the vault's identity: Reader, Key Vault Secrets User, Storage Blob Data Contributor"):
        day.grant_vault()
    day.describe_instance(source.reader.name)
    with steps.step("validateForBackup: every check is really made", "validate"):
        day.validate()
    with steps.step("Configuring the backup", "configure") as notes:
        instance = day.configure()
        notes.detail(f"{instance['name']} is {instance['properties']['currentProtectionState']}")


def back_up(steps, day):
    with steps.step("Backup on demand", "backup") as notes:
        describe_job(notes, day.backup(show_progress(notes)))
    with steps.step("The recovery point") as notes:
        points = day.recovery_points()
        if not points:
            raise Failure("the backup ended well, but there is no recovery point")
        point = points[0]["properties"]
        notes.detail(f"{point['recoveryPointId']} of {point['recoveryPointTime']}")
    return point["recoveryPointId"]


def restore_as_database(steps, day, source, recovery_point, admin_secret, run):
    target = source.admin.with_name(f"{source.reader.name}_restored_{run}".replace("-", "_")[:63])
    request = day.restore_request(recovery_point, target.name, admin_secret)
    with steps.step("validateRestore"):
        day.validate_restore(request)
    with steps.step(f"Restoring as a new database, {target.name}", "restore") as notes:
        describe_job(notes, day.restore(request, show_progress(notes)))
    return target


def restore_as_files(steps, day, recovery_point, files, run):
    """Returns the archive's directory."""
    request = day.restore_files_request(recovery_point, "restored", f"archive-{run}")
    with steps.step("Restoring as files: a pg_dump archive in directory format", "restore as files") as notes:
        describe_job(notes, day.restore(request, show_progress(notes)))
        tables = sorted((files / "restored").rglob("toc.dat"))
        if not tables:
            raise Failure(f"no archive was found below {files}")
        notes.detail(str(tables[0].parent))
    return tables[0].parent


def check_copy(steps, source, copy, what, original):
    """The proof that is independent of Coffer. `original` is (content, schema) of the source."""
    with steps.step(f"Proof with psql and pg_dump alone that {what} equals the source") as notes:
        contents = compare.content(source.programs, copy, notes.progress)
        found = compare.differences(original[0], contents)
        found += compare.schema_differences(original[1], compare.schema_text(source.programs, copy))
        if found and source.throwaway:
            raise Failure(f"{what} differs from the source: " + "; ".join(found[:10]))
        if found:
            notes.detail(f"{len(found)} differences, as must be when the source was written to meanwhile, for example:")
            for line in found[:3]:
                notes.detail(f"  {line}")
            notes.detail("The restore's own proof compared with the moment of the backup, and found none.")
            return
        notes.detail(f"{len(contents)} relations, sequences and large objects, {compare.rows(contents)} rows: all equal")
        notes.detail("the definitions, as pg_dump --schema-only prints them: equal")


def load_archive(steps, source, archive):
    """What anyone can do with the files: the stock tool, two jobs, no Coffer."""
    target = source.admin.with_name("shop_from_files")
    with steps.step("pg_restore -j2 of those files, into another new database", "pg_restore -j2"):
        psql(source.programs, source.admin, f"CREATE DATABASE {quote(target.name)} TEMPLATE template0")
        command = [source.programs / "pg_restore", "-j2", "--exit-on-error", "--dbname", target.name, archive]
        run = subprocess.run(command, capture_output=True, text=True, env=target.environment())
        if run.returncode != 0:
            raise Failure(f"pg_restore: {run.stderr.strip()}")
    return target


def remove(steps, day):
    with steps.step("Stopping protection: the data stays, no backup is taken any more"):
        day.stop_protection()
    with steps.step("Deleting the backup instance") as notes:
        info = day.delete_instance()["properties"]["deletionInfo"]
        notes.detail(f"soft delete keeps it until {info['scheduledPurgeTime']}; until then `undelete` brings it back")


def rescue(steps, server, env, key):
    """With the server stopped, from storage and key alone."""
    with steps.step("Without the server: what `coffer rescue` finds with storage and exported key alone") as notes:
        listed = server.command("rescue", "list", "--storage", env["COFFER_STORAGE_URL"], "--key-file", key, "--output", "json")
        points = json.loads(listed)
        for point in points[-3:]:
            notes.detail(f"{point['recoveryPointId']}: {point['database']}, {point['rows']} rows, taken {point['takenAt']}")


def summary(steps, server, env, key, source, target):
    say("")
    say(f"{'what':<16} {'here, ' + size(source.bytes):>16}    the real service, 8 MB")
    for key_ in ("validate", "configure", "backup", "restore", "restore as files", "pg_restore -j2"):
        if key_ in steps.seconds:
            recorded = f"{RECORDED_SECONDS[key_]} s" if key_ in RECORDED_SECONDS else ""
            say(f"{key_:<16} {duration(steps.seconds[key_]):>16}    {recorded}".rstrip())
    say("")
    say("All done. How to go on:")
    say(f"  * Start the server again:  {server.binary} serve --data-dir {server.data}")
    say(f"  * Give any Azure client the endpoint and credentials in {server.data / 'client.env'}")
    say("  * Protect your own database:  ./quickstart --database postgres://USER:PASSWORD@HOST:PORT/NAME")
    say(f"  * Put the key in a safe place, away from the data:  {key}")
    if target is not None and not source.throwaway:
        say(f"  * The restored copy is {target.name} on {target.host}:{target.port}; drop it when you have looked at it")
    say("  * Read docs/quickstart.md: every request of this walk, and what to do next")


def walk(options, stack):
    steps = Steps()
    run = time.strftime("%m%d-%H%M%S")
    steps.heading("Coffer quickstart: a PostgreSQL database is protected, backed up, restored and removed")
    source = prepare_own(steps, options.database) if options.database else prepare_throwaway(steps, stack, options.scale)
    server, client = start_coffer(steps, stack, options)
    key = export_key(steps, client.env, options.key_file)
    day, admin_secret, files = set_up(steps, server, client, source, run)

    steps.heading("The day of the article")
    protect(steps, day, source)
    original = None
    if not options.no_restore:
        original = compare.content(source.programs, source.admin), compare.schema_text(source.programs, source.admin)
    recovery_point = back_up(steps, day)
    target = None
    if not options.no_restore:
        target = restore_as_database(steps, day, source, recovery_point, admin_secret, run)
        check_copy(steps, source, target, "the restored database", original)
        archive = restore_as_files(steps, day, recovery_point, files, run)
        if source.throwaway:
            copy = load_archive(steps, source, archive)
            check_copy(steps, source, copy, "the database made from the files", original)
    remove(steps, day)

    server.stop()
    rescue(steps, server, client.env, key)
    summary(steps, server, client.env, key, source, target)


def main():
    options = arguments()
    # So that a stopped quickstart cleans up as a failed one does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with contextlib.ExitStack() as stack:
            walk(options, stack)
    except Failure as failure:
        complain(str(failure))
        return 1
    except KeyboardInterrupt:
        complain("interrupted; what was started has been stopped")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
