//! Owners in the archive that can't be set in the target are taken out of it beforehand: `pg_restore` would else report one
//! error for every object, and real losses would drown among them.

use std::collections::BTreeMap;

use super::context::Context;
use super::roles::Roles;
use crate::files::toc::Toc;

impl Context {
    /// Takes out what can't be set, with one warning per role.
    pub(super) fn adapt_owners(&self, toc: &mut Toc, roles: &Roles) {
        if roles.ignored {
            return;
        }
        for (owner, objects) in take_out(toc, roles) {
            let message = format!(
                "{objects} object(s) of role {owner:?} belong to {:?}: the role is missing or this one may not give to it",
                self.target.user
            );
            self.warn("OwnerNotSet", message);
        }
    }
}

/// Empties owners that can't be set; their names, with the number of objects.
fn take_out(toc: &mut Toc, roles: &Roles) -> BTreeMap<String, u64> {
    let mut taken = BTreeMap::new();
    for entry in &mut toc.entries {
        // Only what pg_restore would set the owner of; comments and grants carry one too, for the listing.
        let Some(owner) = entry.owner.as_ref().filter(|owner| !owner.is_empty()) else { continue };
        let owner = String::from_utf8_lossy(owner).into_owned();
        if !roles.can_own(&owner) {
            if entry.drop_statement.as_ref().is_some_and(|drop| !drop.is_empty()) {
                *taken.entry(owner).or_insert(0) += 1;
            }
            entry.owner = Some(Vec::new());
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::toc::Toc;

    #[test]
    fn owners_out_of_reach_are_taken_out_and_counted() {
        let mut toc = Toc::read(include_bytes!("../files/toc/fixtures/toc-1.14.dat")).unwrap();
        let mut roles = Roles::default();
        roles.assignable.insert("postgres".to_owned());
        let before = toc.clone();
        assert!(take_out(&mut toc, &roles).is_empty());
        assert_eq!(toc, before);
        roles.assignable.clear();
        let taken = take_out(&mut toc, &roles);
        assert!(taken.get("postgres").is_some_and(|count| *count > 3), "{taken:?}");
        assert!(toc.entries.iter().all(|entry| entry.owner.as_ref().is_none_or(Vec::is_empty)));
    }
}
