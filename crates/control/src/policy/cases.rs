//! Property tests that say what they have tried, and can be repeated.
//!
//! `COFFER_TEST_SEED` repeats the cases of an earlier run, `COFFER_TEST_CASES` asks for another number of them.

use std::str::FromStr;

use proptest::strategy::Strategy;
use proptest::test_runner::{
    Config, RngAlgorithm, TestCaseError, TestCaseResult, TestError, TestRng, TestRunner,
};
use uuid::Uuid;

fn asked<T: FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

/// Runs `test` with so many values of the strategy. Prints the seed before, and the number of cases behind.
///
/// # Panics
/// A case fails; the message has the smallest such case that was found, and the seed.
pub(super) fn check<S: Strategy>(
    cases: u32,
    values: &S,
    test: impl Fn(S::Value) -> TestCaseResult,
) {
    let seed = asked("COFFER_TEST_SEED").unwrap_or_else(|| Uuid::new_v4().as_u64_pair().1);
    let cases = asked("COFFER_TEST_CASES").unwrap_or(cases);
    println!("seed {seed}: run again with COFFER_TEST_SEED={seed}");
    match run(seed, cases, values, test) {
        Ok(()) => println!("{cases} cases passed"),
        Err(TestError::Fail(why, value)) => {
            panic!(
                "COFFER_TEST_SEED={seed} COFFER_TEST_CASES={cases}: {why}; smallest case: {value:#?}"
            )
        }
        Err(TestError::Abort(why)) => panic!("COFFER_TEST_SEED={seed}: {why}"),
    }
}

fn run<S: Strategy>(
    seed: u64,
    cases: u32,
    values: &S,
    test: impl Fn(S::Value) -> TestCaseResult,
) -> Result<(), TestError<S::Value>> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    TestRunner::new_with_rng(config, rng).run(values, test)
}

#[test]
fn a_seed_repeats_its_cases_and_its_failure() {
    let tried = |seed, cases| {
        let tried = std::cell::RefCell::new(Vec::new());
        let done = run(seed, cases, &(0..1_000_000_u32), |value| {
            tried.borrow_mut().push(value);
            Ok(())
        });
        assert!(done.is_ok());
        tried.into_inner()
    };
    assert_eq!(tried(7, 20), tried(7, 20));
    assert_eq!(tried(7, 20).len(), 20);
    assert_ne!(tried(7, 20), tried(8, 20));
    let fails = |seed| {
        run(seed, 200, &(0..1000_u32), |value| {
            if value > 600 { Err(TestCaseError::fail("too large")) } else { Ok(()) }
        })
    };
    assert!(matches!(fails(7), Err(TestError::Fail(_, 601))), "{:?}", fails(7));
}
