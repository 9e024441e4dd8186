//! What a collection deletes, and why: a pure function of what was read.

use std::collections::{HashMap, HashSet};

use crate::{
    chunk::{ChunkRef, PackId},
    error::{Error, Result},
    limits::PACK_CHUNKS_MAX,
    pack,
};

/// Why a pack stays or goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PackReason {
    /// Stays: a manifest that counts refers to it.
    Needed,
    /// Stays: it was written under this lease or a newer one.
    NotOlderThanLease,
    /// Stays: it was left after the newest recovery point, less than the grace ago. Its backup may be tried again and take
    /// it over, or a writer that lost its lease may still be at work. Only effort is saved by keeping it.
    WithinGrace,
    /// Stays: the repository that this one is a copy of has it, so that it may be copied once more.
    AtSource,
    /// Goes: no manifest that counts refers to it.
    Unreferenced,
    /// Goes: left by an interrupted backup longer than the grace ago.
    Interrupted,
    /// Goes: an earlier collection had announced it and was interrupted.
    Announced,
}

impl PackReason {
    /// Whether the pack is to be deleted.
    #[must_use]
    pub fn deletes(self) -> bool {
        match self {
            Self::Needed | Self::NotOlderThanLease | Self::WithinGrace | Self::AtSource => false,
            Self::Unreferenced | Self::Interrupted | Self::Announced => true,
        }
    }
}

/// What becomes of one pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackDecision {
    /// The pack.
    pub pack: PackId,
    /// Its length.
    pub bytes: u64,
    /// Why it stays or goes.
    pub reason: PackReason,
    /// Of a pack that is needed: so many bytes fewer it would have if it held only the chunks that are. 0 for every other.
    pub idle_bytes: u64,
}

/// What of one pack is needed by manifests that count.
#[derive(Debug, Clone, Default)]
pub(crate) struct NeededPart {
    /// The end of the last chunk that is.
    pub(crate) end: u64,
    /// The bytes of all that are, each counted once.
    bytes: u64,
    count: u64,
    /// A bit for each chunk's number, so that a chunk that many recovery points need is counted once.
    numbers: Vec<u64>,
}

impl NeededPart {
    /// One more chunk, or one that is known already.
    pub(crate) fn add(&mut self, chunk: &ChunkRef) -> Result<()> {
        let number = chunk.number as usize;
        if number >= PACK_CHUNKS_MAX {
            return Err(Error::invalid(format!(
                "a pack has at most {PACK_CHUNKS_MAX} chunks, number {number} is referred to"
            )));
        }
        let stored_bytes = u64::from(chunk.stored_bytes);
        self.end = self.end.max(chunk.offset.saturating_add(stored_bytes));
        let (word, bit) = (number / 64, 1 << (number % 64));
        if self.numbers.len() <= word {
            self.numbers.resize(word + 1, 0);
        }
        if let Some(word) = self.numbers.get_mut(word)
            && *word & bit == 0
        {
            *word |= bit;
            self.count += 1;
            self.bytes = self.bytes.saturating_add(stored_bytes);
        }
        Ok(())
    }

    /// How many chunks are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Whether the chunk of that number is needed.
    pub(crate) fn needs(&self, number: u32) -> bool {
        let (word, bit) = (number as usize / 64, 1_u64 << (number % 64));
        self.numbers.get(word).is_some_and(|word| word & bit != 0)
    }

    /// What a pack of that length would save by holding nothing else.
    fn idle_bytes(&self, pack_bytes: u64) -> u64 {
        pack_bytes.saturating_sub(self.bytes.saturating_add(pack::overhead_bytes(self.count)))
    }
}

/// A pack that is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FoundPack {
    pub(crate) pack: PackId,
    pub(crate) bytes: u64,
    /// When it was stored, in milliseconds since 1970 by the storage's clock.
    pub(crate) stored_ms: u64,
}

/// All that the decision depends on.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    /// Generation of the collector's lease.
    pub(crate) generation: u64,
    /// Highest generation of a manifest that counts, 0 for none.
    pub(crate) newest_sealed: u64,
    /// For each pack that a manifest that counts refers to, what of it is needed.
    pub(crate) needed: &'a HashMap<PackId, NeededPart>,
    /// Packs that earlier collections have announced.
    pub(crate) announced: &'a HashSet<PackId>,
    /// Packs that are on record as damaged.
    pub(crate) damaged: &'a HashSet<PackId>,
    /// By the collector's clock.
    pub(crate) now_ms: u64,
    pub(crate) grace_ms: u64,
}

/// Decides for every pack. Fails if a pack that is needed is missing or too short and nobody knows it yet: what is damaged
/// is not made smaller before it was looked at. One that is on record as damaged stays, since what is left of it may be
/// read, or repaired from a copy.
pub(crate) fn decide(facts: &Facts<'_>, found: &[FoundPack]) -> Result<Vec<PackDecision>> {
    let mut needed = 0;
    let mut decisions = Vec::with_capacity(found.len());
    for FoundPack { pack, bytes, stored_ms } in found.iter().copied() {
        let mut idle_bytes = 0;
        let reason = if let Some(part) = facts.needed.get(&pack) {
            needed += 1;
            idle_bytes = part.idle_bytes(bytes);
            let end = part.end;
            if bytes <= end && !facts.damaged.contains(&pack) {
                return Err(Error::corrupt(
                    format!("pack {pack}"),
                    format!("it has {bytes} bytes, a recovery point needs more than {end}"),
                ));
            }
            PackReason::Needed
        } else if pack.generation() >= facts.generation {
            PackReason::NotOlderThanLease
        } else if facts.announced.contains(&pack) {
            PackReason::Announced
        } else if pack.generation() <= facts.newest_sealed {
            PackReason::Unreferenced
        } else if facts.now_ms.saturating_sub(stored_ms) < facts.grace_ms {
            PackReason::WithinGrace
        } else {
            PackReason::Interrupted
        };
        decisions.push(PackDecision { pack, bytes, reason, idle_bytes });
    }
    if needed < facts.needed.len() {
        let there: HashSet<PackId> = found.iter().map(|found| found.pack).collect();
        let missing = facts.needed.keys().filter(|pack| !there.contains(pack));
        if let Some(pack) = missing.filter(|pack| !facts.damaged.contains(pack)).min() {
            return Err(Error::corrupt(
                format!("pack {pack}"),
                "it is missing, and a recovery point needs it",
            ));
        }
    }
    Ok(decisions)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pack(generation: u64, random: u8) -> PackId {
        PackId::new(generation, [random; 8])
    }

    fn up_to(end: u64) -> NeededPart {
        NeededPart { end, ..NeededPart::default() }
    }

    fn reason_of(facts: &Facts<'_>, pack: PackId, stored_ms: u64) -> PackReason {
        let mut found = vec![FoundPack { pack, bytes: 100, stored_ms }];
        let others = facts.needed.keys().filter(|other| **other != pack);
        found.extend(others.map(|pack| FoundPack { pack: *pack, bytes: 100, stored_ms: 0 }));
        decide(facts, &found).unwrap()[0].reason
    }

    #[test]
    fn every_reason() {
        let needed = HashMap::from([(pack(2, 1), up_to(99))]);
        let announced = HashSet::from([pack(2, 1), pack(6, 1), pack(9, 1)]);
        let damaged = HashSet::new();
        let facts = Facts {
            damaged: &damaged,
            generation: 9,
            newest_sealed: 5,
            needed: &needed,
            announced: &announced,
            now_ms: 1000,
            grace_ms: 100,
        };
        assert_eq!(reason_of(&facts, pack(2, 1), 0), PackReason::Needed, "announced too late");
        assert_eq!(reason_of(&facts, pack(2, 2), 1000), PackReason::Unreferenced);
        assert_eq!(reason_of(&facts, pack(5, 2), 1000), PackReason::Unreferenced);
        assert_eq!(reason_of(&facts, pack(6, 2), 900), PackReason::Interrupted);
        assert_eq!(reason_of(&facts, pack(6, 2), 901), PackReason::WithinGrace);
        assert_eq!(reason_of(&facts, pack(6, 2), 5000), PackReason::WithinGrace, "clocks differ");
        assert_eq!(reason_of(&facts, pack(6, 1), 901), PackReason::Announced);
        assert_eq!(reason_of(&facts, pack(9, 1), 0), PackReason::NotOlderThanLease);
        assert_eq!(reason_of(&facts, pack(10, 2), 0), PackReason::NotOlderThanLease);
        let short = [FoundPack { pack: pack(2, 1), bytes: 99, stored_ms: 0 }];
        assert!(matches!(decide(&facts, &short), Err(Error::Corrupt { .. })), "too short");
        assert!(matches!(decide(&facts, &[]), Err(Error::Corrupt { .. })), "missing");

        let damaged = HashSet::from([pack(2, 1), pack(2, 2)]);
        let facts = Facts { damaged: &damaged, ..facts };
        assert_eq!(decide(&facts, &short).unwrap()[0].reason, PackReason::Needed, "known");
        assert!(decide(&facts, &[]).unwrap().is_empty(), "known to be missing");
        assert_eq!(reason_of(&facts, pack(2, 2), 1000), PackReason::Unreferenced, "worth nothing");
    }

    proptest! {
        #[test]
        fn what_is_needed_or_may_be_needed_stays(
            generations in proptest::collection::vec(0_u64..12, 1..40),
            needed in proptest::collection::vec(any::<bool>(), 40),
            announced in proptest::collection::vec(any::<bool>(), 40),
            generation in 0_u64..12,
            newest_sealed in 0_u64..12,
            grace_ms in 0_u64..10,
        ) {
            let found: Vec<FoundPack> = (0_u8..)
                .zip(&generations)
                .map(|(number, generation)| FoundPack {
                    pack: pack(*generation, number),
                    bytes: 100,
                    stored_ms: u64::from(number),
                })
                .collect();
            let chosen = |of: &[bool]| {
                found.iter().zip(of).filter(|(_, of)| **of).map(|(found, _)| found.pack).collect()
            };
            let needed: HashSet<PackId> = chosen(&needed);
            let needed: HashMap<PackId, NeededPart> =
                needed.into_iter().map(|pack| (pack, up_to(10))).collect();
            let announced: HashSet<PackId> = chosen(&announced);
            let damaged = HashSet::new();
            let facts = Facts {
                damaged: &damaged,
                generation, newest_sealed, needed: &needed, announced: &announced, now_ms: 20, grace_ms,
            };
            let decisions = decide(&facts, &found).unwrap();
            prop_assert_eq!(decisions.len(), found.len());
            for decision in decisions.iter().filter(|decision| decision.reason.deletes()) {
                prop_assert!(!needed.contains_key(&decision.pack));
                prop_assert!(decision.pack.generation() < generation);
            }
        }
    }
}
