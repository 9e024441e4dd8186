//! Readings of secrets. A program may do the same one thousands of times, and the log is not to grow with each.
//!
//! The first reading of a secret by a principal is written before its answer, and so is the first from each of a few addresses. What the
//! same principal reads of the same secret within [`INTERVAL_US`] after it is counted, and one row tells the number when that time is
//! over, or when the service stops. So the log says for certain who has read which secret in which quarter of an hour,
//! and from where; only how often he did it again is lost when the process dies.
//!
//! A principal adds at most `ADDRESSES_MAX + 1` rows for a secret in that time. Where more is going on than can be counted in bounded
//! memory, every reading is written.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::{MutexGuard, PoisonError};

use coffer_azure::duration::format_time;

use super::entry::Repeated;
use super::{Audit, Entry, Trail};
use crate::clock::SECOND_US;
use crate::db::{Db, audit as rows};
use crate::error::Error;

/// Reading a secret's value.
pub(crate) const READ_SECRET: &str = "Microsoft.KeyVault/vaults/secrets/getSecret/action";
/// For how long what is done again is counted.
pub const INTERVAL_US: i64 = 15 * 60 * SECOND_US;
/// Addresses of one principal whose first reading of a secret has its own row within an interval.
pub const ADDRESSES_MAX: usize = 8;
/// Principals and secrets that are counted at once.
const COUNTED_MAX: usize = 10_000;
/// Rows that one transaction writes, so that no request waits for long.
const BATCH_ROWS: usize = 1000;

/// What is counted, in memory.
#[derive(Debug, Default)]
pub(super) struct Readings(HashMap<Who, Again>);

/// Who reads what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Who {
    principal_id: Option<String>,
    application_id: Option<String>,
    issuer: Option<String>,
    resource: String,
}

impl Who {
    fn of(entry: &Entry) -> Self {
        Self {
            principal_id: entry.principal_id.clone(),
            application_id: entry.application_id.clone(),
            issuer: entry.issuer.clone(),
            resource: entry.resource.to_lowercase(),
        }
    }
}

#[derive(Clone, Debug)]
struct Again {
    /// The first reading, as it was written.
    first: Entry,
    begun_us: i64,
    addresses: Vec<Option<String>>,
    count: u64,
    last_us: i64,
}

impl Again {
    fn is_over(&self, now_us: i64) -> bool {
        // Also after the clock was set back.
        !(0..INTERVAL_US).contains(&now_us.saturating_sub(self.begun_us))
    }

    /// The row that tells the number; none where there was nothing more.
    fn row(&self) -> Option<Entry> {
        (self.count > 0).then(|| Entry {
            status: None,
            correlation_id: None,
            address: None,
            repeated: Some(Repeated {
                count: self.count,
                from: format_time(self.begun_us),
                until: format_time(self.last_us),
            }),
            ..self.first.clone()
        })
    }
}

impl Readings {
    /// Counts a reading, if its like was written within the interval. False when it has to be written.
    fn count(&mut self, entry: &Entry, now_us: i64) -> bool {
        let Some(again) = self.0.get_mut(&Who::of(entry)) else { return false };
        let is_known = again.addresses.contains(&entry.address);
        if again.is_over(now_us) || !(is_known || again.addresses.len() >= ADDRESSES_MAX) {
            return false;
        }
        again.count = again.count.saturating_add(1);
        again.last_us = now_us;
        true
    }

    /// Takes out what was counted before a reading, where its time is over.
    fn take_before(&mut self, entry: &Entry, now_us: i64) -> Option<(Who, Again)> {
        let who = Who::of(entry);
        self.0.get(&who)?.is_over(now_us).then(|| self.0.remove_entry(&who))?
    }

    /// A reading was written: what follows it is counted, if there is room.
    fn written(&mut self, entry: Entry, now_us: i64) {
        let has_room = self.0.len() < COUNTED_MAX;
        match self.0.entry(Who::of(&entry)) {
            Slot::Occupied(mut slot) => {
                let addresses = &mut slot.get_mut().addresses;
                if addresses.len() < ADDRESSES_MAX && !addresses.contains(&entry.address) {
                    addresses.push(entry.address);
                }
            }
            Slot::Vacant(slot) if has_room => {
                slot.insert(Again {
                    addresses: vec![entry.address.clone()],
                    first: entry,
                    begun_us: now_us,
                    count: 0,
                    last_us: now_us,
                });
            }
            Slot::Vacant(_) => {}
        }
    }

    /// Takes out what is over, or everything, a bounded number.
    fn take(&mut self, now_us: i64, everything: bool) -> Vec<(Who, Again)> {
        let over: Vec<Who> = self
            .0
            .iter()
            .filter(|(_, again)| everything || again.is_over(now_us))
            .map(|(who, _)| who.clone())
            .take(BATCH_ROWS)
            .collect();
        over.iter().filter_map(|who| self.0.remove_entry(who)).collect()
    }

    /// What was taken out could not be written.
    fn give_back(&mut self, taken: Vec<(Who, Again)>) {
        for (who, again) in taken {
            match self.0.entry(who) {
                Slot::Occupied(mut slot) => {
                    let count = &mut slot.get_mut().count;
                    *count = count.saturating_add(again.count);
                }
                Slot::Vacant(slot) => {
                    slot.insert(again);
                }
            }
        }
    }
}

impl Audit {
    /// Writes a reading, or counts it.
    ///
    /// # Errors
    /// It cannot be written: its answer must not be given then.
    pub(super) async fn reading(&self, db: &Db, trail: &Trail, entry: Entry) -> Result<(), Error> {
        let now_us = trail.now_us();
        let before = {
            let mut readings = self.readings();
            if readings.count(&entry, now_us) {
                return Ok(());
            }
            readings.take_before(&entry, now_us)
        };
        let told = before.as_ref().and_then(|(_, again)| again.row());
        let rows: Vec<&Entry> = told.iter().chain([&entry]).collect();
        let written = self.append_all(db, &rows, now_us).await;
        let mut readings = self.readings();
        match written {
            Ok(()) => readings.written(entry, now_us),
            Err(_) => readings.give_back(before.into_iter().collect()),
        }
        written
    }

    /// Writes how often was read again what is over, or everything.
    ///
    /// # Errors
    /// The database fails; the numbers are kept for the next time.
    pub(crate) async fn tell_readings(
        &self,
        db: &Db,
        now_us: i64,
        everything: bool,
    ) -> Result<(), Error> {
        loop {
            let taken = self.readings().take(now_us, everything);
            if taken.is_empty() {
                return Ok(());
            }
            let told: Vec<Entry> = taken.iter().filter_map(|(_, again)| again.row()).collect();
            let rows: Vec<&Entry> = told.iter().collect();
            if let Err(error) = self.append_all(db, &rows, now_us).await {
                self.readings().give_back(taken);
                return Err(error);
            }
        }
    }

    fn readings(&self) -> MutexGuard<'_, Readings> {
        self.readings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn append_all(&self, db: &Db, entries: &[&Entry], now_us: i64) -> Result<(), Error> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut tx = db.begin().await?;
        for entry in entries {
            rows::append(&mut tx, &self.key, &entry.row(now_us)?).await?;
        }
        tx.commit().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Outcome;

    fn reading(principal: &str, secret: &str, address: &str) -> Entry {
        Entry {
            principal_id: Some(principal.to_owned()),
            address: Some(address.to_owned()),
            ..Entry::new(READ_SECRET, secret, Outcome::Succeeded)
        }
    }

    fn count_told(again: &Again) -> Option<u64> {
        again.row().and_then(|row| row.repeated).map(|repeated| repeated.count)
    }

    /// Whether it was written, and what was told of the time before.
    fn read(readings: &mut Readings, entry: &Entry, now_us: i64) -> (bool, Option<u64>) {
        if readings.count(entry, now_us) {
            return (false, None);
        }
        let before = readings.take_before(entry, now_us);
        readings.written(entry.clone(), now_us);
        (true, before.and_then(|(_, again)| count_told(&again)))
    }

    #[test]
    fn a_day_of_reading_without_pause_is_few_rows_and_nothing_is_left_out() {
        let mut readings = Readings::default();
        let (mut rows, mut told) = (0_u64, 0_u64);
        let seconds = 86_400;
        for second in 0..seconds {
            let (written, before) =
                read(&mut readings, &reading("a", "/s", "192.0.2.1"), second * SECOND_US);
            rows += u64::from(written) + u64::from(before.is_some());
            told += u64::from(written) + before.unwrap_or(0);
        }
        let rest = readings.take(seconds * SECOND_US, true);
        told += rest.iter().filter_map(|(_, again)| count_told(again)).sum::<u64>();
        assert_eq!(told, u64::try_from(seconds).unwrap());
        assert!(rows <= 2 * 96, "{rows}");
        assert!(readings.0.is_empty());
    }

    #[test]
    fn each_principal_secret_and_address_is_told_at_once() {
        let mut readings = Readings::default();
        let first = reading("a", "/s", "192.0.2.1");
        assert_eq!(read(&mut readings, &first, 0), (true, None));
        assert_eq!(read(&mut readings, &first, 1), (false, None));
        for other in [
            reading("b", "/s", "192.0.2.1"),
            reading("a", "/t", "192.0.2.1"),
            reading("a", "/s", "192.0.2.2"),
        ] {
            assert_eq!(read(&mut readings, &other, 2), (true, None), "{other:?}");
            assert_eq!(read(&mut readings, &other, 3), (false, None));
        }
        // Many addresses are no way round the bound.
        let flood = (0..1000).map(|n| reading("a", "/s", &format!("2001:db8::{n}")));
        let written = flood.filter(|entry| read(&mut readings, entry, 4).0).count();
        assert_eq!(written, ADDRESSES_MAX - 2);
        // The next interval begins with a row, and tells of the last one.
        let again = read(&mut readings, &first, INTERVAL_US);
        let counted = 2 + 1000 - u64::try_from(ADDRESSES_MAX - 2).unwrap();
        assert_eq!(again, (true, Some(counted)));
    }

    #[test]
    fn what_could_not_be_written_is_told_later() {
        let mut readings = Readings::default();
        let entry = reading("a", "/s", "192.0.2.1");
        for time in 0..3 {
            read(&mut readings, &entry, time);
        }
        let taken = readings.take(INTERVAL_US, false);
        assert_eq!(taken.len(), 1);
        readings.give_back(taken);
        // Also beside what has begun meanwhile.
        let taken = readings.take(INTERVAL_US, false);
        readings.written(entry.clone(), INTERVAL_US);
        assert!(readings.count(&entry, INTERVAL_US + 1));
        readings.give_back(taken);
        let told = readings.take(0, true);
        assert_eq!(count_told(&told[0].1), Some(3));
    }

    #[test]
    fn what_cannot_be_counted_is_written() {
        let mut readings = Readings::default();
        for number in 0..COUNTED_MAX {
            read(&mut readings, &reading("a", &format!("/{number}"), "192.0.2.1"), 0);
        }
        let late = reading("late", "/s", "192.0.2.1");
        assert_eq!(read(&mut readings, &late, 1), (true, None));
        assert_eq!(read(&mut readings, &late, 2), (true, None));
        assert_eq!(readings.0.len(), COUNTED_MAX);
        // What had no repetition leaves no row, and makes room.
        while !readings.0.is_empty() {
            let taken = readings.take(INTERVAL_US, false);
            assert!(taken.iter().all(|(_, again)| again.row().is_none()));
        }
        assert_eq!(read(&mut readings, &late, INTERVAL_US), (true, None));
        assert_eq!(read(&mut readings, &late, INTERVAL_US + 1), (false, None));
    }
}
