//! Two services on one metadata database: what is due is begun by one of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coffer_control::app::App;
use coffer_testkit::PostgresServer;
use serde_json::Value;
use sqlx::Row;

use super::estate::{Estate, fill};
use crate::harness::Harness;

const INSTANCES: usize = 3;
const ROUNDS: u64 = 5;
const SECOND_US: i64 = 1_000_000;

/// What each backup was begun for: the instance and the time of its schedule, and how often.
async fn begun(app: &App) -> BTreeMap<(String, i64), usize> {
    let rows = sqlx::query("SELECT instance_key, input FROM operation WHERE kind = 'backup'")
        .fetch_all(app.db.read())
        .await
        .unwrap();
    let mut found = BTreeMap::new();
    for row in rows {
        let input: Value = serde_json::from_str(row.get("input")).unwrap();
        let scheduled_us = input["scheduledUs"].as_i64().expect("nobody asks for a backup here");
        *found.entry((row.get("instance_key"), scheduled_us)).or_insert(0) += 1;
    }
    found
}

/// As many rounds at once as a random number says, on both, and their clocks differ.
async fn look(apps: &[Arc<App>; 2], random: &mut impl FnMut(u64) -> u64) {
    let mut rounds = Vec::new();
    for app in apps {
        for _ in 0..=random(4) {
            rounds.push((Arc::clone(app), random(20)));
        }
    }
    let rounds = rounds.into_iter().map(|(app, yields)| {
        tokio::spawn(async move {
            for _ in 0..yields {
                tokio::task::yield_now().await;
            }
            coffer_control::background::run_round(&app).await;
        })
    });
    for round in futures::future::join_all(rounds).await {
        round.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_time_of_each_schedule_is_begun_once_by_two_services() {
    let seed = std::env::var("COFFER_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().1);
    println!("seed {seed}: run again with COFFER_TEST_SEED={seed}");
    let mut state = seed;
    // SplitMix64.
    let mut random = move |below: u64| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    };

    let postgres = PostgresServer::start().unwrap();
    fill(&postgres, "shop");
    let mut estate = Estate::on(Harness::start().await, postgres, "On").await;
    estate.grant().await;
    let first = Arc::clone(estate.harness.service().app());
    let other = Harness::start_beside(&first.config).await;
    let apps = [first, Arc::clone(other.service().app())];
    assert_ne!(apps[0].node_name, apps[1].node_name);
    for number in 0..INSTANCES {
        let name = format!("small{number}");
        estate.postgres.create_database(&name).unwrap();
        estate.postgres.psql(&name, "CREATE TABLE t AS SELECT 1 AS a").unwrap();
        estate.protect(&format!("pg-{name}"), &name).await;
    }
    // Rows of operations go after some weeks.
    let (mut expected, mut all, mut missed) = (0, BTreeMap::new(), 0);
    for round in 0..ROUNDS {
        // Of several weeks that nobody has looked, the newest time is made up for.
        let weeks = random(3);
        missed += weeks * INSTANCES as u64;
        let weeks = Duration::from_secs(weeks * 7 * 86_400);
        let until = estate.until_next_sunday() + weeks;
        let sunday_us = apps[0].clock.now_us() + i64::try_from(until.as_micros()).unwrap();
        for app in &apps {
            let skew = Duration::from_millis(1 + random(2000));
            let now_us = app.clock.now_us();
            app.clock
                .advance(Duration::from_micros(u64::try_from(sunday_us - now_us).unwrap()) + skew);
        }
        look(&apps, &mut random).await;
        estate.later(Duration::ZERO).await;
        estate.backups().await;
        look(&apps, &mut random).await;
        expected += INSTANCES;
        let begun = begun(&apps[0]).await;
        assert!(begun.values().all(|times| *times == 1), "seed {seed}, round {round}: {begun:#?}");
        all.extend(begun.clone());
        assert_eq!(all.len(), expected, "seed {seed}, round {round}: {begun:#?}");
        let newest = begun.keys().filter(|(_, at)| (at - sunday_us).abs() <= SECOND_US).count();
        assert_eq!(newest, INSTANCES, "seed {seed}, round {round}: {sunday_us} in {begun:#?}");
        // Nor was any tried twice: while the first runs, the second would count as left out. Both services count together.
        let counted = |name| estate.metric(name);
        assert_eq!(counted("coffer_schedule_begun_total").await, Some(expected as u64));
        let counted_missed = counted("coffer_schedule_missed_total").await.unwrap_or(0);
        assert_eq!(counted_missed, missed, "seed {seed}, round {round}");
    }
    println!("{expected} backups begun in {ROUNDS} rounds, each by one of two services");
    other.stop().await;
}
