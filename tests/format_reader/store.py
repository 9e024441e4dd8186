"""Part one of `docs/format.md`: keys, sealed objects, leases, packs, manifests. Section numbers (§) are the document's.

Reads one local directory, trusts nothing in it, and never writes. Like `reader.py` it may know nothing but the document.
"""

import json
import re
from collections import namedtuple
from pathlib import Path

import zstandard
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION = 1
HEADER_BYTES = 56
TAG_BYTES = 16
MAX_PLAIN_BYTES = 64 << 20
MAX_PACK_BYTES = 256 << 20
MAX_PACK_CHUNKS = 65_536
MAX_FORMAT_BYTES = 64 << 10

UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"

Chunk = namedtuple("Chunk", "id kind pack number offset stored plain")


class Damaged(Exception):
    """What was read is not what a holder of the key wrote in this place."""


class Unsupported(Exception):
    """Written by a newer version: not damage, but not for this reader."""


def check(condition, message):
    if not condition:
        raise Damaged(message)


# Keys (§4) -----------------------------------------------------------------------------------------------------------


def derive(context, material):
    return blake3(material, derive_key_context=f"coffer 2026-11 {context} v1").digest()


def fingerprint(key):
    return derive("key fingerprint", key)[:16]


def read_master_key(path):
    line = Path(path).read_text(errors="replace").removesuffix("\n")
    found = re.fullmatch("coffer-master-key-v1:([0-9a-f]{64}):([0-9a-f]{32})", line)
    check(found, f"{path} is no master key")
    key = bytes.fromhex(found[1])
    check(fingerprint(key).hex() == found[2], f"{path}: the key does not have the fingerprint beside it")
    return key


def decrypt(key, nonce_number, data, associated, what):
    """AES-256-GCM; nonces are eight zero bytes and a number."""
    check(len(data) >= TAG_BYTES, f"{what} is cut off")
    try:
        return AESGCM(key).decrypt(bytes(8) + nonce_number.to_bytes(4, "little"), data, associated)
    except InvalidTag:
        raise Damaged(f"{what} is not authentic") from None


def decode(encoding, data, plain_bytes, what):
    """Plain bytes of a chunk or a manifest's body."""
    check(plain_bytes <= MAX_PLAIN_BYTES, f"{what} says it has {plain_bytes} bytes")
    if encoding == 1:
        try:
            data = zstandard.ZstdDecompressor().decompress(data, max_output_size=plain_bytes, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise Damaged(f"{what} does not decompress: {error}") from None
    else:
        check(encoding == 0, f"{what} has the unknown encoding {encoding}")
    check(len(data) == plain_bytes, f"{what} has {len(data)} bytes, not {plain_bytes}")
    return data


class Fields:
    """Reads fixed fields one after the other."""

    def __init__(self, data, what):
        self.data, self.what, self.at = data, what, 0

    def take(self, count):
        check(len(self.data) - self.at >= count, f"{self.what} is cut off")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, count):
        return int.from_bytes(self.take(count), "little")

    def end(self, mark):
        check(self.take(len(mark)) == mark and self.at == len(self.data), f"{self.what} does not end as it should")


# Objects (§2 to §4) --------------------------------------------------------------------------------------------------


class Storage:
    """The objects in a local directory, by their whole names."""

    def __init__(self, directory):
        self.directory = Path(directory)

    def names(self, prefix, pattern):
        """Names below a prefix, each as the match of what follows the prefix. Names of another form are ignored."""
        top = self.directory / prefix
        names = sorted(path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file())
        return [found for found in (re.fullmatch(pattern, name) for name in names) if found]

    def read(self, name):
        return (self.directory / name).read_bytes()

    def read_range(self, name, offset, count):
        try:
            with open(self.directory / name, "rb") as file:
                file.seek(offset)
                return file.read(count)
        except FileNotFoundError:
            raise Damaged(f"{name} is missing") from None


def header(data, kind, name):
    """Checks an object's header; returns the fingerprint of its key and its salt."""
    check(len(data) >= HEADER_BYTES, f"{name} is cut off")
    check(data[:6] == b"COFFER" and data[6:7] == kind, f"{name} is no object of type {kind.decode()}")
    if data[7] > VERSION:
        raise Unsupported(f"{name} has format version {data[7]}")
    check(data[7] == VERSION, f"{name} has format version {data[7]}")
    return data[8:24], data[24:HEADER_BYTES]


def unseal(data, kind, name, key, key_fingerprint=None):
    """Plain bytes of an object that is sealed as one message (V, D, L, M)."""
    sealed_by, salt = header(data, kind, name)
    check(sealed_by == (key_fingerprint or fingerprint(key)), f"{name} is sealed by another key")
    return decrypt(derive("object key", key + salt), 0, data[HEADER_BYTES:], data[:HEADER_BYTES] + name.encode(), name)


def unwrap(storage, prefix, kind, keys):
    """The keys that wrappings below a prefix hold, oldest first; passes over those that cannot be opened."""
    found, errors = [], []
    for match in storage.names(prefix + "keys/", "[0-9]{10}"):
        name = f"{prefix}keys/{match[0]}"
        for key in keys:
            try:
                plain = unseal(storage.read(name), kind, name, key)
                check(len(plain) == 32, f"{name} holds no key")
                found.append(plain)
            except (Damaged, Unsupported) as error:
                errors.append(str(error))
    check(found, f"no key below {prefix} can be opened: {'; '.join(errors) or 'there is none'}")
    return found


# A repository (§5 to §8) ---------------------------------------------------------------------------------------------


def reference(value, kind):
    """A chunk from its JSON; the place where it stands says of which kind it must be."""
    try:
        chunk_id, found, pack, number, offset, stored, plain = value
        chunk = Chunk(bytes.fromhex(chunk_id), found, pack, number, offset, stored, plain)
    except (ValueError, TypeError):
        raise Damaged(f"no reference to a chunk: {value}") from None
    check(found == kind, f"a reference to a chunk of kind {found} in place of {kind}")
    check(re.fullmatch("[0-9a-f]{32}", pack), f"{pack} is no pack")
    return chunk


class Repository:
    """The store's side: recovery points that count, their bodies, chunks."""

    def __init__(self, storage, vault, repository, vault_keys):
        self.storage = storage
        self.prefix = f"vaults/{vault}/repositories/{repository}/"
        self._check_format()
        data_key = unwrap(storage, self.prefix, b"D", vault_keys)[-1]
        self.fingerprint = fingerprint(data_key)
        self.sealing_key = derive("encryption", data_key)
        self.id_key = derive("chunk id", data_key)
        self.row_key = derive("row hash", data_key)

    def _check_format(self):
        name = self.prefix + "format"
        text = self.storage.read_range(name, 0, MAX_FORMAT_BYTES + 1)
        check(len(text) <= MAX_FORMAT_BYTES, f"{name} is too long")
        try:
            found = json.loads(text)
            magic, version, features = found["magic"], found["version"], found["required_features"]
        except (ValueError, KeyError, TypeError):
            raise Damaged(f"{name} cannot be read") from None
        check(magic == "coffer repository", f"{name} is of something else")
        if version > VERSION or features:
            raise Unsupported(f"{name} asks for version {version} and features {features}")

    def _open(self, name, kind):
        return unseal(self.storage.read(name), kind, name, self.sealing_key, self.fingerprint)

    def recovery_points(self):
        """Names of the manifests that count (§6), by recovery point; the highest generation of each."""
        accepting, accepted = None, ()
        leases, manifests = self.prefix + "leases/", self.prefix + "manifests/"
        for found in self.storage.names(leases, "([0-9]{20})/0000000001")[-1:]:
            record = json.loads(self._open(leases + found[0], b"L"))
            accepting, accepted = int(found[1]), set(record["accepted"])
            check((record["generation"], record["number"]) == (accepting, 1), f"{leases}{found[0]} is another record")
        points = {}
        for found in self.storage.names(manifests, "([0-9a-f]{32})/([0-9]{20})"):
            check(accepting is not None, f"no lease says which of {manifests} count")
            if int(found[2]) == accepting or found[0] in accepted:
                points[found[1]] = manifests + found[0]
        return points

    def read_manifest(self, name):
        """Info and body of a manifest (§8)."""
        fields = Fields(self._open(name, b"M"), name)
        info = json.loads(fields.take(fields.number(4)))
        at = f"{info['recovery_point_id']}/{info['generation']:020}"
        check(name == f"{self.prefix}manifests/{at}", f"{name} says that it is {at}")
        encoding, length = fields.number(1), fields.number(8)
        body = decode(encoding, fields.take(length), info["body_bytes"], name)
        fields.end(b"MANIFEND")
        return info, body

    def chunk_id(self, plain):
        """What a chunk of these bytes is named (§7)."""
        return blake3(plain, key=self.id_key).digest()

    def _decrypt_chunk(self, key, chunk, data):
        what = f"chunk {chunk.number} of {self.prefix}packs/{chunk.pack}"
        check(len(data) == chunk.stored, f"{what} is cut off")
        associated = bytes([VERSION, chunk.kind]) + chunk.number.to_bytes(4, "little") + chunk.id
        framed = decrypt(key, chunk.number, data, associated, what)
        check(framed, f"{what} has no encoding")
        plain = decode(framed[0], framed[1:], chunk.plain, what)
        check(self.chunk_id(plain) == chunk.id, f"{what} is not what its id says")
        return plain

    def _pack_key(self, data, name):
        sealed_by, salt = header(data, b"P", name)
        check(sealed_by == self.fingerprint, f"{name} is sealed by another key")
        return derive("object key", self.sealing_key + salt)

    def read_chunk(self, chunk):
        """Plain bytes behind a reference, read and checked (§7)."""
        name = f"{self.prefix}packs/{chunk.pack}"
        key = self._pack_key(self.storage.read_range(name, 0, HEADER_BYTES), name)
        return self._decrypt_chunk(key, chunk, self.storage.read_range(name, chunk.offset, chunk.stored))

    def verify_packs(self):
        """Reads every byte of every pack; returns the chunks that they hold."""
        chunks = set()
        for found in self.storage.names(self.prefix + "packs/", "([0-9a-f]{16})[0-9a-f]{16}"):
            pack, name = found[0], f"{self.prefix}packs/{found[0]}"
            check((self.storage.directory / name).stat().st_size <= MAX_PACK_BYTES, f"{name} is too long")
            data = self.storage.read(name)
            key = self._pack_key(data, name)
            listed = self._footer(key, data, name, int(found[1], 16))
            end = HEADER_BYTES
            for number, (chunk_id, kind, stored, plain) in enumerate(listed):
                chunk = Chunk(chunk_id, kind, pack, number, end, stored, plain)
                self._decrypt_chunk(key, chunk, data[end : end + stored])
                end += stored
                chunks.add(chunk)
        return chunks

    def _footer(self, key, data, name, generation):
        check(data[-8:] == b"COFFPEND" and len(data) >= HEADER_BYTES + 12, f"{name} does not end as a pack does")
        start = len(data) - 12 - int.from_bytes(data[-12:-8], "little")
        check(start >= HEADER_BYTES, f"{name} has a footer longer than itself")
        associated = data[:HEADER_BYTES] + name.encode()
        what = f"footer of {name}"
        fields = Fields(decrypt(key, 0xFFFFFFFF, data[start:-12], associated, what), what)
        check(fields.number(8) == generation, f"{what} is of another generation than its name")
        count = fields.number(4)
        check(1 <= count <= MAX_PACK_CHUNKS, f"{what} lists {count} chunks")
        chunks = [(fields.take(32), fields.number(1), fields.number(4), fields.number(4)) for _ in range(count)]
        fields.end(b"PACK-END")
        check(HEADER_BYTES + sum(stored for _, _, stored, _ in chunks) == start, f"{name}: lengths do not add up")
        return chunks


def list_repositories(storage, master_key):
    """Every repository, with the names of its vault and itself; a `format` without keys is being destroyed (§5)."""
    for found in storage.names("vaults/", f"({UUID})/repositories/({UUID})/format"):
        vault, repository = found.groups()
        if storage.names(f"vaults/{vault}/repositories/{repository}/keys/", "[0-9]{10}"):
            vault_keys = unwrap(storage, f"vaults/{vault}/", b"V", [master_key])
            yield vault, repository, Repository(storage, vault, repository, vault_keys)
