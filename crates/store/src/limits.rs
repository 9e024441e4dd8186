//! Every limit of the format and of this implementation, in one place.
//!
//! The values that `docs/format.md` names as part of the format are marked so: changing one is a change of format.

/// Largest plain chunk (format).
pub const CHUNK_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Largest pack object (format): one target size, one chunk that crosses it, and the footer.
pub const PACK_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Smallest and largest target size of a pack that [`crate::WriterOptions`] may ask for.
pub const PACK_TARGET_BYTES_MIN: usize = 64 * 1024;
/// See [`PACK_TARGET_BYTES_MIN`].
pub const PACK_TARGET_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Target size of a pack when nothing else is asked for.
pub const PACK_TARGET_BYTES_DEFAULT: usize = 16 * 1024 * 1024;

/// Most chunks in one pack (format): bounds the footer. A pack of tiny chunks is closed when it is reached.
pub const PACK_CHUNKS_MAX: usize = 65_536;

/// Largest body of a manifest (format). Whatever grows with the database belongs into chunks, not into the body.
pub const MANIFEST_BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Largest manifest, lease or key object that is read.
pub const SEALED_OBJECT_BYTES_MAX: u64 = 80 * 1024 * 1024;

/// Largest `format` object that is read.
pub const FORMAT_OBJECT_BYTES_MAX: u64 = 64 * 1024;

/// Longest name of the holder of a lease or a pin.
pub const HOLDER_BYTES_MAX: usize = 256;

/// Longest time that one record of a pin is in force: so much can a reader that died hold back a collection.
pub const PIN_TTL_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// Records of pins that one repository may have.
pub const PIN_RECORDS_MAX: usize = 16_384;

/// Times that a pin is looked for, or made, anew because it was renewed or its recovery point deleted at that moment.
pub const PIN_ATTEMPTS_MAX: usize = 8;

/// Most manifests that one lease can accept, and so most recovery points of one repository.
pub const MANIFESTS_MAX: usize = 262_144;

/// Generations that a recovery of the lease leaves out: more than were ever claimed without leaving a trace, so that no holder
/// whose records were lost has the recovery's.
pub const LEASE_RECOVERY_GAP: u64 = 1_000_000;

/// Times an acquisition is tried again because another holder took the same generation first.
pub const LEASE_CLAIM_ATTEMPTS_MAX: usize = 8;

/// Chunks that one writer remembers, found again in whole packs or put by this backup, about 100 bytes each. Beyond it
/// further chunks are stored without being remembered: larger, never wrong.
pub const KNOWN_CHUNKS_MAX: usize = 262_144;

/// Packs of interrupted backups whose footers one writer reads.
pub const RESUMED_PACKS_MAX: usize = 16_384;

/// Footers read at the same time.
pub const FOOTER_READS_MAX: usize = 8;

/// Manifests read at the same time by a listing.
pub const MANIFEST_READS_MAX: usize = 8;

/// Packs that one repository may have: a writer keeps their names and sizes, about 24 bytes each.
pub const PACKS_MAX: usize = 4_000_000;

/// Pack keys that a repository keeps for reading.
pub const PACK_KEYS_CACHED_MAX: usize = 1_024;

/// Footers that a verification keeps.
pub const FOOTERS_CACHED_MAX: usize = 64;

/// Damaged chunks that a report names one by one; all are counted.
pub const DAMAGE_LISTED_MAX: usize = 1_000;

/// Bytes of a pack that a verification reads at once; a larger chunk is read alone.
pub const VERIFY_READ_BYTES: u64 = 8 * 1024 * 1024;

/// Packs that a verification reads at the same time.
pub const PACKS_VERIFIED_TOGETHER_MAX: usize = 2;

/// Packs in a row that cannot be checked after which a verification takes the storage for unreachable and ends.
pub const UNCHECKED_IN_A_ROW_MAX: usize = 16;

/// Packs that could not be checked and are named one by one in a report; all are counted.
pub const UNCHECKED_LISTED_MAX: usize = 1_000;

/// Damaged packs of which a report, or a list of what is on record, keeps the details, at most about 1 KiB each.
pub const DAMAGED_PACKS_DETAILED_MAX: usize = 65_536;

/// Damaged chunks of one pack that are told apart; beyond it all of the pack's are taken for damaged.
pub const DAMAGED_CHUNKS_LISTED_MAX: usize = 128;

/// Packs that one list of a collection names.
pub const COLLECTION_LIST_PACKS_MAX: usize = 16_384;

/// Packs that are copied to another location at the same time.
pub const PACKS_COPIED_TOGETHER_MAX: usize = 4;

/// Bytes of all packs that one copying holds in memory; a larger pack is copied alone.
pub const COPIED_BYTES_TOGETHER_MAX: usize = 64 * 1024 * 1024;

/// Objects that are locked at the same time.
pub const LOCKS_TOGETHER_MAX: usize = 16;

/// Times that a request to lock an object is sent while the storage is busy or does not answer.
pub const LOCK_ATTEMPTS_MAX: u32 = 6;

/// Longest answer to a request about a lock that is read.
pub const LOCK_ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long a connection to a remote storage may take to come about.
pub const REMOTE_CONNECT_SECONDS_MAX: u64 = 5;

/// Times that one request to a remote storage is repeated, and the time after which it is not any more.
pub const REMOTE_RETRIES_MAX: usize = 4;
/// See [`REMOTE_RETRIES_MAX`].
pub const REMOTE_RETRY_SECONDS_MAX: u64 = 60;

/// How long a remote storage may take to answer, repetitions included, and between two pieces of what it sends. What is sent
/// to it has [`REMOTE_BYTES_PER_SECOND_MIN`] beside that.
pub const REMOTE_ANSWER_SECONDS_MAX: u64 = 60;

/// The slowest line over which packs are sent; a pack of 64 MiB then takes 17 minutes.
pub const REMOTE_BYTES_PER_SECOND_MIN: u64 = 64 * 1024;

/// Times that an object is sent to a remote storage whose answer was lost, or that asked to try again.
pub const REMOTE_PUT_ATTEMPTS_MAX: u32 = 3;

/// Most of a remote storage's own words that an error repeats.
pub const REMOTE_WORDS_CHARS_MAX: usize = 300;
