"""The reader that was written from `docs/format.md` against what Coffer wrote: the committed old repository of
crates/store, and backups made by a real server, whose rows must be those that psql copies out.

Every kind of object is damaged in every byte; each time the reader has to say so in one clear line.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "clients")]

import harness  # noqa: E402
import reader  # noqa: E402
import store  # noqa: E402
from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: E402
from postgres import quote  # noqa: E402

FIXTURE = harness.ROOT / "crates" / "store" / "tests" / "fixtures" / "v1"
POINTS = ["0" * 31 + "1", "0" * 31 + "2"]

# What the sample has not: a table of more ranges than a manifest holds inline (a range is some megabytes of heap, so most of
# each page stays empty), and values longer than a chunk.
MORE_TABLES = """
CREATE TABLE shop.many_ranges (n int, t text) WITH (fillfactor = 10);
INSERT INTO shop.many_ranges SELECT i, md5(i::text) FROM generate_series(1, 240000) AS i;
CREATE TABLE shop.long_rows (n int, t text);
INSERT INTO shop.long_rows SELECT i, repeat(md5(i::text) || E'\\t\\n\\\\', 100000) FROM generate_series(1, 3) AS i;
"""
# Between two backups: rows all over a table, so that its text is stored as what differs.
SCATTERED = "UPDATE shop.many_ranges SET t = 'written again ' || n WHERE n % 400 = 7"
# Large objects in more ranges than one, and one of more chunks than a part refers to (most of it a hole).
MORE_OBJECTS = """
SELECT count(lo_from_bytea((5000000 + i)::oid, convert_to('number ' || i, 'UTF8'))) FROM generate_series(1, 5000) AS i;
SELECT lo_create(6000000); SELECT lo_put(6000000, 1100000000, 'the end');
"""
# Bytes that are no UTF-8: the text is kept in the database's encoding.
LATIN = """
CREATE TABLE word (w text);
INSERT INTO word VALUES ('caf' || chr(233)), (chr(255)), (NULL);
"""

# §13: the settings of the COPY text. The last three make psql's order that of the blocks.
SETTINGS = """
SET search_path = ''; SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'postgres'; SET TimeZone = 'UTC';
SET extra_float_digits = 3; SET bytea_output = 'hex'; SET lc_monetary = 'C'; SET xmlbinary = 'base64';
SET xmloption = 'content'; SET row_security = off;
SET synchronize_seqscans = off; SET max_parallel_workers_per_gather = 0; SET enable_indexscan = off;
"""


def run_reader(*arguments):
    """The reader as a program: exit code, standard output, standard error."""
    command = [sys.executable, HERE / "reader.py", *arguments]
    run = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    return run.returncode, run.stdout, run.stderr.decode()


def verify(storage, key_file):
    """All that the reader can check."""
    for _, _, repository in store.list_repositories(store.Storage(storage), store.read_master_key(key_file)):
        repository.verify_packs()
        for manifest in repository.recovery_points().values():
            repository.read_manifest(manifest)


class Copied(unittest.TestCase):
    def copy(self, storage):
        """A storage directory that may be spoiled."""
        directory = Path(tempfile.mkdtemp(prefix="coffer-format-"))
        self.addCleanup(shutil.rmtree, directory)
        return Path(shutil.copytree(storage, directory / "storage"))


class Fixture(Copied):
    """A repository that an older Coffer wrote, small enough to be damaged everywhere."""

    def setUp(self):
        self.storage = self.copy(FIXTURE / "storage")
        self.key_file = FIXTURE / "master.key"
        self.key = store.read_master_key(self.key_file)

    def open(self):
        [(_, _, repository)] = store.list_repositories(store.Storage(self.storage), self.key)
        return repository

    def objects(self):
        return sorted(path for path in self.storage.rglob("*") if path.is_file())

    def seal(self, repository, kind, name, record):
        """Writes an object as a holder of the key does."""
        salt = os.urandom(32)
        header = b"COFFER" + kind + bytes([store.VERSION]) + repository.fingerprint + salt
        key = store.derive("object key", repository.sealing_key + salt)
        path = self.storage / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(header + AESGCM(key).encrypt(bytes(12), json.dumps(record).encode(), header + name.encode()))

    def test_it_is_read(self):
        repository = self.open()
        self.assertEqual(len(repository.verify_packs()), 10)
        points = repository.recovery_points()
        self.assertEqual(sorted(points), POINTS)
        for point, manifest in points.items():
            # The body is no database's here, but a list of lists of references.
            _, body = repository.read_manifest(manifest)
            chunks = (repository.read_chunk(store.reference(value, value[1])) for value in json.loads(body))
            self.assertEqual(b"".join(chunks), (FIXTURE / "expected" / point).read_bytes())

    def test_names_of_another_form_are_ignored(self):
        repository = self.storage / self.open().prefix
        for name in ("packs/README", "manifests/x/1", "leases/7/1", "keys/1", "relocations/1"):
            (repository / name).parent.mkdir(parents=True, exist_ok=True)
            (repository / name).write_bytes(b"?")
        verify(self.storage, self.key_file)

    def test_a_wrapping_that_cannot_be_opened_is_passed_over(self):
        for path in (self.storage / self.open().prefix / "keys", next(self.storage.glob("vaults/*/keys"))):
            for number, text in ((2, b"?"), (3, b"COFFERD\2" + bytes(96)), (4, b"COFFERV\1" + bytes(96))):
                (path / f"{number:010}").write_bytes(text)
        verify(self.storage, self.key_file)

    def test_what_the_newest_acceptance_leaves_out_does_not_count(self):
        repository = self.open()
        self.assertEqual(self.rescue_list(), POINTS)
        claim = {"generation": 3, "number": 0, "holder": "test", "purpose": "backup", "expires_at_ms": 0,
                 "released": False, "accepted": None}  # fmt: skip
        leases = f"{repository.prefix}leases/{3:020}/"
        # A claim alone changes nothing.
        self.seal(repository, b"L", f"{leases}{0:010}", claim)
        self.assertEqual(sorted(repository.recovery_points()), POINTS)
        self.assertEqual(self.rescue_list(), POINTS)
        accepted = {**claim, "number": 1, "accepted": [f"{POINTS[0]}/{1:020}"]}
        self.seal(repository, b"L", f"{leases}{1:010}", accepted)
        self.assertEqual(sorted(repository.recovery_points()), POINTS[:1])
        self.assertEqual(self.rescue_list(), POINTS[:1])

    def rescue_list(self):
        """The recovery points that Coffer itself lists: with a body that is no database's they are named as unreadable."""
        command = [harness.BINARY, "rescue", "list", "--storage", self.storage.as_uri(), "--key-file", self.key_file]
        run = subprocess.run(command, capture_output=True, text=True)
        return [point for point in POINTS if point in run.stdout + run.stderr]

    def test_every_damaged_byte_is_seen(self):
        # Read by everyone: all but the lease records that only a holder needs, and `format`, which is not sealed.
        sealed = [path for path in self.objects() if path.name != "format" and path.read_bytes()[6:7] != b"L"]
        sealed += self.storage.rglob("leases/*/0000000001")
        self.assertGreater(len(sealed), 7)
        for path in sealed:
            good = path.read_bytes()
            for place in range(len(good)):
                path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
                self.refused(f"byte {place} of {path.name}")
            for length in range(0, len(good), 9):
                path.write_bytes(good[:length])
                self.refused(f"{path.name} cut off at {length}")
            path.write_bytes(good + b"\0")
            self.refused(f"{path.name} with a byte more")
            path.write_bytes(good)
        verify(self.storage, self.key_file)

    def refused(self, what):
        with self.assertRaises(store.Damaged, msg=what) as caught:
            verify(self.storage, self.key_file)
        self.assertRegex(str(caught.exception), "vaults/", what)

    def test_a_newer_version_is_no_damage(self):
        [path] = self.storage.rglob("manifests/*1/*")
        data = path.read_bytes()
        path.write_bytes(data[:7] + b"\2" + data[8:])
        self.assertRaises(store.Unsupported, verify, self.storage, self.key_file)
        path.write_bytes(data)
        [path] = self.storage.rglob("format")
        for change in ({"version": 2}, {"required_features": ["relocations"]}):
            path.write_text(json.dumps({"magic": "coffer repository", "version": 1, "required_features": [], **change}))
            self.assertRaises(store.Unsupported, verify, self.storage, self.key_file)
        path.write_text('{"magic": "coffer repository", "version": 1, "required_features": [], "of_later": 1}')
        verify(self.storage, self.key_file)
        path.write_text("{}")
        self.assertRaises(store.Damaged, verify, self.storage, self.key_file)

    def test_objects_cannot_change_places(self):
        for places in ("packs/*", "manifests/*/*"):
            first, second = sorted(self.storage.rglob(places))[:2]
            good = first.read_bytes()
            first.write_bytes(second.read_bytes())
            self.refused(places)
            first.write_bytes(good)

    def test_another_key_opens_nothing(self):
        other = bytes(32)
        text = f"coffer-master-key-v1:{other.hex()}:{store.fingerprint(other).hex()}\n"
        key_file = self.storage / "other.key"
        key_file.write_text(text)
        code, rows, said = run_reader(self.storage, key_file)
        self.assertEqual((code, rows), (1, b""))
        self.assertRegex(said, "^error: no key below vaults/.* can be opened: .* is sealed by another key\n$")
        key_file.write_text(text.replace(":0", ":1", 1))
        self.assertRegex(run_reader(self.storage, key_file)[2], "^error: .*fingerprint")


class Backup(Copied):
    """Backups that a real server made of real databases."""

    @classmethod
    def setUpClass(cls):
        cls.world = harness.World()
        cls.addClassCleanup(cls.world.close)
        postgres = cls.world.postgres
        cls.world.create_database("shop", harness.SAMPLE.read_text(), scale=2)
        postgres.psql("shop", MORE_TABLES)
        postgres.psql("shop", MORE_OBJECTS)
        postgres.psql("postgres", "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
        postgres.psql("latin", LATIN)
        cls.storage = cls.world.coffer.data / "storage"
        cls.key_file = cls.world.coffer.data / "master.key"
        day = cls.world.day("format")
        day.create_vault()
        day.create_policy()
        day.grant_vault()
        cls.made = {}
        for database in ("shop", "latin", "shop"):
            if database not in cls.made:
                day.describe_instance(database)
                day.configure()
                cls.made[database] = (day.instance, day.instance_properties)
            else:
                postgres.psql(database, SCATTERED)
            day.instance, day.instance_properties = cls.made[database]
            day.backup()
        cls.listed = {}
        for database, (day.instance, _) in cls.made.items():
            cls.listed[database] = [point["name"] for point in day.recovery_points()]
        cls.world.protect_server(day)
        day.configure()
        day.backup()
        [cls.of_server] = [point["name"] for point in day.recovery_points()]

    def repositories(self):
        return store.list_repositories(store.Storage(self.storage), store.read_master_key(self.key_file))

    def newest(self, database):
        [point] = self.databases_of(self.listed[database][0])
        return point

    def databases_of(self, recovery_point):
        for _, _, repository in self.repositories():
            if recovery_point in repository.recovery_points():
                return reader.recovery_points_of(repository, repository.recovery_points()[recovery_point])
        raise AssertionError(f"no recovery point {recovery_point}")

    def copied_out(self, database, table):
        """The rows as psql has them, in the settings of the format."""
        columns = ", ".join(quote(column["name"]) for column in table["columns"])
        name = f"{quote(table['schema'])}.{quote(table['name'])}"
        encoding = {"shop": "UTF8", "latin": "LATIN1"}[database]
        copy = f"COPY (SELECT {columns} FROM ONLY {name}) TO STDOUT (ENCODING '{encoding}')"
        server = self.world.postgres
        command = [server.programs / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", SETTINGS, "-c", copy]
        run = subprocess.run(command, capture_output=True, check=True, env=server.database(database).environment())
        return run.stdout

    def test_recovery_points_are_those_that_the_service_lists(self):
        found = {}
        for _, _, repository in self.repositories():
            points = repository.recovery_points()
            if self.of_server in points:
                self.assertEqual(list(points), [self.of_server])
                continue
            [database] = {
                point.root["source"]["database"]
                for name in points.values()
                for point in reader.recovery_points_of(repository, name)
            }
            found[database] = sorted(points)
        self.assertEqual(found, {database: sorted(points) for database, points in self.listed.items()})
        self.assertEqual({database: len(points) for database, points in found.items()}, {"shop": 2, "latin": 1})

    def test_every_table_has_the_rows_that_psql_copies_out(self):
        names = set()
        for database in self.made:
            point = self.newest(database)
            for table in point.tables():
                names.add((table["schema"], table["name"]))
                with self.subTest(table["name"]):
                    rows = []
                    content = point.rows(table, rows.append)
                    # Not assertEqual: nobody wants to see millions of bytes that differ.
                    self.assertTrue(b"".join(rows) == self.copied_out(database, table), "other rows than psql's")
                    self.assertEqual(len(rows), content.rows)
        odd = ('Odd "Names"', "Table; DROP")
        self.assertLessEqual({odd, ("shop", "no_rows"), ("shop", "no_columns"), ("public", "word")}, names)

    def figures(self, point):
        """Of each table what does not depend on the repository's keys."""
        contents = {(table["schema"], table["name"]): table["content"] for table in point.tables()}
        return {name: (content["rows"], content["text_bytes"]) for name, content in contents.items()}

    def test_a_server_has_the_rows_of_each_of_its_databases(self):
        databases = {point.root["source"]["database"]: point for point in self.databases_of(self.of_server)}
        self.assertEqual(list(databases), ["latin", "postgres", "shop"])
        for database in ("latin", "shop"):
            self.assertEqual(self.figures(databases[database]), self.figures(self.newest(database)))
        [word] = [table for table in databases["latin"].tables() if table["name"] == "word"]
        rows = []
        databases["latin"].rows(word, rows.append)
        self.assertEqual(b"".join(rows), self.copied_out("latin", word))
        code, said, errors = run_reader(
            self.storage, self.key_file, "rows", self.of_server, "public", "word", "latin"
        )
        self.assertEqual((code, said), (0, b"".join(rows)), errors)

    def test_a_large_table_has_many_ranges(self):
        point = self.newest("shop")
        [table] = [table for table in point.tables() if table["name"] == "many_ranges"]
        self.assertEqual(list(table["ranges"]), ["listed"])
        self.assertGreater(len(list(point.ranges(table))), 16)

    def test_scattered_changes_are_deltas(self):
        point = self.newest("shop")
        self.assertEqual(point.root["engine_format"], 4)
        [table] = [table for table in point.tables() if table["name"] == "many_ranges"]
        chunks = [chunk for one in point.ranges(table) for chunk in one["chunks"]]
        deltas = [chunk for chunk in chunks if isinstance(chunk, dict)]
        self.assertGreater(len(deltas), len(chunks) // 2)
        chunk = deltas[0]
        base = point.repository.read_chunk(store.reference(chunk["base"], reader.TABLE_ROWS))
        delta = point.repository.read_chunk(store.reference(chunk["delta"], reader.ROW_DELTA))
        for wrong in (delta[:3], delta[:-1], delta + b"x", b"\xff" * 12, b"\1\0\0\0\x80" + delta[5:]):
            self.assertRaises(store.Damaged, reader.apply_delta, base, wrong)
        self.assertRaises(store.Damaged, reader.apply_delta, base[:100], delta)

    def test_everything_verifies(self):
        code, said, errors = run_reader(self.storage, self.key_file, "verify")
        self.assertEqual((code, errors), (0, ""))
        self.assertIn("    240000 rows in shop.many_ranges\n", said.decode())
        self.assertIn("    10 rows in Odd \"Names\".Table; DROP\n", said.decode())

    def test_large_objects(self):
        lengths, hashes, point = {}, {}, self.newest("shop")

        def write(oid, piece):
            lengths[oid] = lengths.get(oid, 0) + len(piece)
            hashes.setdefault(oid, hashlib.md5()).update(piece)

        point.large_objects(write)
        found = [f"{oid} {length} {hashes[oid].hexdigest()}" for oid, length in lengths.items()]
        # The server itself reads no object of more than a gigabyte at once.
        expected = self.world.postgres.psql(
            "shop",
            "SELECT concat_ws(' ', oid, length(lo_get(oid)), md5(lo_get(oid))) FROM pg_largeobject_metadata"
            " WHERE oid <> 6000000 ORDER BY oid",
        ).split("\n")
        hole = hashlib.md5()
        for _ in range(1100):
            hole.update(bytes(1000000))
        hole.update(b"the end")
        expected.append(f"6000000 1100000007 {hole.hexdigest()}")
        self.assertEqual(found, sorted(expected, key=lambda line: int(line.split()[0])))
        self.assertGreater(len(found), 5009)
        objects = point.root["large_objects"]
        ranges = list(point._lines_of(objects["ranges"], reader.RANGE_LIST))
        self.assertGreater(len(ranges), 1)
        self.assertEqual([one["data"].get("depth", 0) for one in ranges][-1], 1)

    def test_rows_by_the_program_and_damage(self):
        point, names = self.listed["shop"][0], ('Odd "Names"', "Table; DROP")
        [table] = [table for table in self.newest("shop").tables() if (table["schema"], table["name"]) == names]
        code, rows, said = run_reader(self.storage, self.key_file, "rows", point, *names)
        self.assertEqual((code, rows), (0, self.copied_out("shop", table)))
        self.assertEqual(said, f"10 rows, hash {table['content']['hash']}, {len(rows)} bytes\n")
        code, rows, said = run_reader(self.storage, self.key_file, "rows", point, "shop", "absent")
        self.assertEqual((code, rows, said), (1, b"", "error: the recovery point has no table shop.absent\n"))

        storage = self.copy(self.storage)
        chunk = store.reference(table["ranges"]["inline"][0]["chunks"][0], reader.TABLE_ROWS)
        [pack] = storage.rglob(f"packs/{chunk.pack}")
        good = pack.read_bytes()
        middle = chunk.offset + chunk.stored // 2
        pack.write_bytes(good[:middle] + bytes([good[middle] ^ 128]) + good[middle + 1 :])
        for verb in (("rows", point, *names), ("verify",)):
            code, rows, said = run_reader(storage, self.key_file, *verb)
            self.assertEqual(code, 1)
            self.assertRegex(said, f"^error: chunk {chunk.number} of vaults/.*/packs/{chunk.pack} is not authentic\n$")
        pack.unlink()
        code, rows, said = run_reader(storage, self.key_file, "rows", point, *names)
        self.assertEqual((code, rows), (1, b""))
        self.assertRegex(said, f"^error: vaults/.*/packs/{chunk.pack} is missing\n$")


if __name__ == "__main__":
    unittest.main()
