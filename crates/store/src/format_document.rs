//! `docs/format.md` is normative: whatever the code writes stands there.

use crate::{chunk::ChunkKind, crypto, limits, local, manifest, master_key, pack, repository};

const DOCUMENT: &str = include_str!("../../../docs/format.md");

fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let (head, tail) = digits.split_at(digits.len().saturating_sub(3));
    if head.is_empty() { tail.to_owned() } else { format!("{head},{tail}") }
}

#[test]
fn every_constant_of_the_format_stands_in_the_document() {
    let text = |bytes: &'static [u8]| std::str::from_utf8(bytes).unwrap().to_owned();
    let mib = |bytes: u64| format!("{} MiB", bytes / 1024 / 1024);
    let constants = [
        text(crypto::MAGIC),
        text(pack::FOOTER_END),
        text(pack::PACK_END),
        text(manifest::END),
        crypto::FINGERPRINT_CONTEXT.to_owned(),
        crypto::OBJECT_KEY_CONTEXT.to_owned(),
        crypto::ENCRYPTION_CONTEXT.to_owned(),
        crypto::CHUNK_ID_CONTEXT.to_owned(),
        crypto::ROW_HASH_CONTEXT.to_owned(),
        repository::MAGIC.to_owned(),
        master_key::PREFIX.to_owned(),
        local::STAGING.to_owned(),
        format!("the same {} bytes", crypto::HEADER_BYTES),
        format!("| {} each |", pack::ENTRY_BYTES),
        format!("1 to {}", grouped(limits::PACK_CHUNKS_MAX)),
        format!("A plain chunk has at most {}", mib(limits::CHUNK_BYTES_MAX as u64)),
        format!("a pack at most {}", mib(limits::PACK_BYTES_MAX)),
        format!("A body has at most {}", mib(limits::MANIFEST_BODY_BYTES_MAX as u64)),
        format!("At most {} KiB", limits::FORMAT_OBJECT_BYTES_MAX / 1024),
        format!("at most {} packs each", grouped(limits::COLLECTION_LIST_PACKS_MAX)),
    ];
    for constant in constants {
        assert!(DOCUMENT.contains(&constant), "{constant}");
    }
    for kind in ChunkKind::ALL {
        assert!(DOCUMENT.contains(&format!("{} ", kind.code())), "{kind:?}");
    }
}
