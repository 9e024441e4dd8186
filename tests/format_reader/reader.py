"""A second reader of Coffer's format: prints the rows of a table from a storage directory and the master key.

Written from `docs/format.md` alone, to show that the document is enough to come by one's data without Coffer. It knows
nothing of the Rust code and must not learn from it: what it lacks, the document lacks. `store.py` reads part one of
that, this module part two, the manifest's body. Section numbers (§) are the document's.

    reader.py STORAGE KEY_FILE                                    vaults, repositories, recovery points, their tables
    reader.py STORAGE KEY_FILE verify                             the same, and reads every byte of them
    reader.py STORAGE KEY_FILE rows RECOVERY_POINT SCHEMA TABLE [DATABASE]
                                                                  COPY text; row count and content hash on stderr;
                                                                  the database is named where the point is a server's
"""

import json
import sys

from blake3 import blake3

from store import Damaged, Storage, Unsupported, check, list_repositories, read_master_key, reference

ENGINE_FORMAT = 4
PART_DEPTH_MAX = 3
TABLE_ROWS, OBJECT_DATA, OBJECT_LIST, TABLE_LIST, RANGE_LIST, DATABASE_LIST, DATABASE_ROOT, ROW_DELTA = 1, 3, 4, 6, 7, 10, 11, 13


def lines(chunks):
    """Lines without their newlines; a line may go over the end of a chunk."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
    check(not rest, "the last line has no end")


def apply_delta(base, delta):
    """The text that a delta makes out of its base (§13)."""
    check(len(delta) >= 4, "a delta is too short")
    end = 4 + int.from_bytes(delta[:4], "little")
    check(end <= len(delta), "the controls of a delta are longer than itself")
    at, literal, text, numbers = 0, end, b"", _numbers(delta[4:end])
    check(len(numbers) % 3 == 0, "the controls of a delta are no triples")
    for copy, skip, insert in zip(numbers[::3], numbers[1::3], numbers[2::3]):
        check(at + copy + skip <= len(base) and literal + insert <= len(delta), "a delta asks for more than there is")
        text += base[at : at + copy] + delta[literal : literal + insert]
        at, literal = at + copy + skip, literal + insert
    check(literal == len(delta), "a delta has more than it uses")
    return text


def _numbers(controls):
    numbers, number, shift = [], 0, 0
    for byte in controls:
        check(shift < 35, "a number of a delta is too long")
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number = shift = 0
    check(shift == 0, "the last number of a delta has no end")
    return numbers


class Content:
    """Number, sum of hashes and length of rows (§14)."""

    def __init__(self, rows=0, hash_sum=0, text_bytes=0):
        self.rows, self.hash, self.text_bytes = rows, hash_sum % 2**128, text_bytes

    def __add__(self, other):
        return Content(self.rows + other.rows, self.hash + other.hash, self.text_bytes + other.text_bytes)

    def __str__(self):
        return f"{self.rows} rows, hash {self.hash:032x}, {self.text_bytes} bytes"

    def must_be(self, said, what):
        """Compares with what was recorded."""
        said = Content(said["rows"], int(said["hash"], 16), said["text_bytes"])
        check(str(self) == str(said), f"{what}: {self} were read, {said} were recorded")


def recovery_points_of(repository, manifest):
    """The databases of a recovery point: the one that it is of, or all of a server's (§12, §17)."""
    info, body = repository.read_manifest(manifest)
    root = read_root(body, info["recovery_point_id"], manifest)
    if "datasource" not in root:
        return [RecoveryPoint(repository, root)]
    if root["datasource"] != "server":
        raise Unsupported(f"{manifest} is that of a {root['datasource']}")
    server, databases = Parts(repository), []
    total, before = Content(), b""
    for entry in server._lines_of(root["databases"], DATABASE_LIST):
        name = entry["name"].encode()
        check(before < name, f"databases of {manifest} are not in order")
        before = name
        content = b"".join(server._content(entry["manifest"], DATABASE_ROOT))
        check(len(content) == entry["manifest"]["plain_bytes"], f"the root of {entry['name']} is cut off")
        database = read_root(content, info["recovery_point_id"], manifest)
        check("datasource" not in database, f"{entry['name']} holds no database")
        check(database["totals"] == entry["totals"], f"the totals of {entry['name']} differ")
        said = database["totals"]["content"]
        total += Content(said["rows"], int(said["hash"], 16), said["text_bytes"])
        databases.append(RecoveryPoint(repository, database))
    total.must_be(root["totals"]["content"], "all databases")
    return databases


def read_root(body, recovery_point, manifest):
    root = json.loads(body)
    check(isinstance(root, dict) and "engine_format" in root, f"{manifest} holds no root")
    if root["engine_format"] > ENGINE_FORMAT:
        raise Unsupported(f"{manifest} has engine format {root['engine_format']}")
    check(root["recovery_point_id"] == recovery_point, f"{manifest} holds another's body")
    return root


class Parts:
    """What is kept in chunks (§11)."""

    def __init__(self, repository):
        self.repository = repository

    def _chunks(self, references, kind):
        return (self.repository.read_chunk(reference(value, kind)) for value in references)

    def _content(self, part, kind):
        """The chunks of a part's content, below its lists of references (§11)."""
        depth = part.get("depth", 0)
        check(depth <= PART_DEPTH_MAX, f"a part has a depth of {depth}")
        references = part["chunks"]
        for _ in range(depth):
            references = map(json.loads, lines(self._chunks(references, kind)))
        return self._chunks(references, kind)

    def _lines_of(self, part, kind):
        """The JSON lines of a part (§11)."""
        count = 0
        for count, line in enumerate(lines(self._content(part, kind)), 1):
            yield json.loads(line)
        check(count == part["items"], f"a part has {count} lines, not {part['items']}")


class RecoveryPoint(Parts):
    """The engine's side: what a root says of a database."""

    def __init__(self, repository, root):
        super().__init__(repository)
        self.root = root

    def tables(self):
        return self._lines_of(self.root["tables"], TABLE_LIST)

    def ranges(self, table):
        """The ranges of a table (§13), which must cover it without gap or overlap."""
        ranges = table["ranges"]
        found = ranges["inline"] if "inline" in ranges else self._lines_of(ranges["listed"], RANGE_LIST)
        end = 0
        for one in found:
            check(one["start_block"] == end, f"ranges of {table['name']} leave a gap or overlap")
            yield one
            end = one["end_block"]
        check(end is None, f"the last range of {table['name']} is not open")

    def _text(self, chunk):
        """The text of a reference or of a delta (§13)."""
        if isinstance(chunk, list):
            return self.repository.read_chunk(reference(chunk, TABLE_ROWS))
        base = self.repository.read_chunk(reference(chunk["base"], TABLE_ROWS))
        text = apply_delta(base, self.repository.read_chunk(reference(chunk["delta"], ROW_DELTA)))
        check(len(text) == chunk["plain_bytes"], "a delta gives text of another length")
        check(self.repository.chunk_id(text).hex() == chunk["id"], "a delta gives other text")
        return text

    def _to_hash(self, row):
        """What of a row is hashed (§14)."""
        if self.root.get("row_hash", "bare") == "bare":
            return row
        return row + b"\n" + bytes(-(len(row) + 1) % 64)

    def _hash(self, data):
        return int.from_bytes(blake3(data, key=self.repository.row_key).digest()[:16], "little")

    def rows(self, table, write=lambda row: None):
        """Hands the COPY text to `write` row by row; checks the content of every range and of the table (§14)."""
        name = f"{table['schema']}.{table['name']}"
        total = Content()
        for one in self.ranges(table):
            rows = hash_sum = text_bytes = 0
            for row in lines(map(self._text, one["chunks"])):
                write(row + b"\n")
                rows += 1
                hash_sum += self._hash(self._to_hash(row))
                text_bytes += len(row) + 1
            content = Content(rows, hash_sum, text_bytes)
            content.must_be(one["content"], f"blocks from {one['start_block']} of {name}")
            total += content
        total.must_be(table["content"], name)
        return total

    def large_objects(self, write=lambda oid, data: None):
        """Hands every large object to `write`, piece by piece, and checks their content (§15)."""
        objects, total = self.root["large_objects"], Content()
        if objects.get("ranges") is None:
            total += self._objects_of(objects, write)
        else:
            check(not objects["list"]["chunks"] and not objects["data"]["chunks"], "large objects are there twice")
            before = -1
            for one in self._lines_of(objects["ranges"], RANGE_LIST):
                check(before < one["first"] <= one["last"], "ranges of large objects overlap")
                before = one["last"]
                content = self._objects_of(one, write)
                content.must_be(one["content"], f"large objects from {one['first']}")
                total += content
        total.must_be(objects["content"], "large objects")
        return total

    def _objects_of(self, objects, write):
        rest, chunks, total = b"", self._content(objects["data"], OBJECT_DATA), Content()
        for one in self._lines_of(objects["list"], OBJECT_LIST):
            oid, left = one["oid"], one["bytes"]
            hasher = blake3(b"large object" + oid.to_bytes(4, "little"), key=self.repository.row_key)
            write(oid, b"")
            while left:
                rest = rest or next(chunks, b"")
                check(rest, f"large object {oid} is cut off")
                piece, rest = rest[:left], rest[left:]
                hasher.update(piece)
                write(oid, piece)
                left -= len(piece)
            total += Content(1, int.from_bytes(hasher.digest()[:16], "little"), one["bytes"])
        check(not rest and next(chunks, None) is None, "there are bytes behind the last large object")
        return total

    def verify(self):
        """Reads every row and every large object."""
        total = Content()
        for table in self.tables():
            total += self.rows(table)
        total.must_be(self.root["totals"]["content"], "all tables")
        self.large_objects()


def find_table(repositories, recovery_point, schema, name, database=None):
    for _, _, repository in repositories:
        manifest = repository.recovery_points().get(recovery_point)
        if manifest is not None:
            points = recovery_points_of(repository, manifest)
            if database is not None:
                points = [point for point in points if point.root["source"]["database"] == database]
            if len(points) != 1:
                sys.exit("error: name one of the recovery point's databases")
            [point] = points
            for table in point.tables():
                if (table["schema"], table["name"]) == (schema, name):
                    return point, table
            sys.exit(f"error: the recovery point has no table {schema}.{name}")
    sys.exit(f"error: there is no recovery point {recovery_point}")


def main(storage, key_file, verb="list", *arguments):
    repositories = list_repositories(Storage(storage), read_master_key(key_file))
    if verb == "rows":
        point, table = find_table(repositories, *arguments)
        print(point.rows(table, sys.stdout.buffer.write), file=sys.stderr)
        return
    for vault, name, repository in repositories:
        print(f"vault {vault} repository {name}")
        if verb == "verify":
            print(f"  {len(repository.verify_packs())} chunks are in order")
        for recovery_point, manifest in repository.recovery_points().items():
            for point in recovery_points_of(repository, manifest):
                print(f"  recovery point {recovery_point} of database {point.root['source']['database']}")
                if verb == "verify":
                    point.verify()
                for table in point.tables():
                    print(f"    {table['content']['rows']} rows in {table['schema']}.{table['name']}")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4, 7, 8) or sys.argv[3:4] not in ([], ["list"], ["verify"], ["rows"]):
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except (Damaged, Unsupported, OSError) as error:
        sys.exit(f"error: {error}")
