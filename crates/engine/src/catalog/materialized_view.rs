//! Materialized views, in an order in which each is refreshed after those it reads.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Client;

use super::{USER_SCHEMA, get, rows};
use crate::error::Result;
use crate::manifest::MaterializedView;

/// All of them, in the order of refreshing. What a view reads through functions is not known to the catalog.
pub(crate) async fn materialized_views(client: &Client) -> Result<Vec<MaterializedView>> {
    let sql = format!(
        "SELECT c.oid, n.nspname::text, c.relname::text, c.relispopulated FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'm' AND {USER_SCHEMA} AND NOT EXISTS (\
           SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') \
         ORDER BY 2, 3"
    );
    let mut views = Vec::new();
    for row in rows(client, "materialized views", &sql, &[]).await? {
        let oid: u32 = get(&row, 0)?;
        views.push((
            oid,
            MaterializedView {
                schema: get(&row, 1)?,
                name: get(&row, 2)?,
                populated: get(&row, 3)?,
            },
        ));
    }
    if views.len() < 2 {
        return Ok(views.into_iter().map(|(_, view)| view).collect());
    }
    let sql = "SELECT DISTINCT r.ev_class, d.refobjid FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid \
         JOIN pg_class c ON c.oid = d.refobjid \
         WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass \
           AND r.ev_class <> d.refobjid AND c.relkind IN ('v', 'm')";
    let mut reads: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for row in rows(client, "dependencies of views", sql, &[]).await? {
        reads.entry(get(&row, 0)?).or_default().insert(get(&row, 1)?);
    }
    let order = in_order(&views.iter().map(|(oid, _)| *oid).collect::<Vec<_>>(), &reads);
    let mut by_oid: BTreeMap<u32, MaterializedView> = views.into_iter().collect();
    Ok(order.into_iter().filter_map(|oid| by_oid.remove(&oid)).collect())
}

/// Depth-first with a stack of its own: what a view reads, also through plain views, comes before it.
fn in_order(wanted: &[u32], reads: &BTreeMap<u32, BTreeSet<u32>>) -> Vec<u32> {
    let mut order = Vec::new();
    let mut seen = BTreeSet::new();
    for start in wanted {
        let mut stack = vec![(*start, false)];
        while let Some((oid, children_done)) = stack.pop() {
            if children_done {
                order.push(oid);
            } else if seen.insert(oid) {
                stack.push((oid, true));
                stack.extend(
                    reads.get(&oid).into_iter().flatten().rev().map(|child| (*child, false)),
                );
            }
        }
    }
    order.retain(|oid| wanted.contains(oid));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_comes_first_also_through_plain_views() {
        // 1 reads view 10, which reads 3; 3 reads 2.
        let reads = BTreeMap::from([
            (1, BTreeSet::from([10])),
            (10, BTreeSet::from([3])),
            (3, BTreeSet::from([2])),
        ]);
        assert_eq!(in_order(&[1, 2, 3, 4], &reads), [2, 3, 1, 4]);
    }

    #[test]
    fn a_cycle_does_not_hang() {
        let reads = BTreeMap::from([(1, BTreeSet::from([2])), (2, BTreeSet::from([1]))]);
        assert_eq!(in_order(&[1, 2], &reads).len(), 2);
    }
}
