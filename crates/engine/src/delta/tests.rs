use proptest::prelude::*;

use super::*;

fn diff(base: &str, text: &str) -> Option<Vec<u8>> {
    Differ::default().diff(base.as_bytes(), text.as_bytes(), usize::MAX).map(<[u8]>::to_vec)
}

fn rows(numbers: impl IntoIterator<Item = u32>) -> String {
    numbers.into_iter().map(|n| format!("{n}\tsome text of row {n}, and more of it\n")).collect()
}

#[test]
fn scattered_rows_cost_their_own_bytes() {
    let base = rows(0..10_000);
    let written = |n: u32| n % 100 == 7;
    let text: String =
        (0..10_000).map(|n| if written(n) { rows([n + 50_000]) } else { rows([n]) }).collect();
    let delta = diff(&base, &text).unwrap();
    let literals: usize =
        (0..10_000).filter(|n| written(*n)).map(|n| rows([n + 50_000]).len()).sum();
    assert!(delta.len() < literals + 100 * 10, "{} bytes for {literals}", delta.len());

    let gone = rows((0..10_000).filter(|n| !written(*n)));
    let delta = diff(&base, &gone).unwrap();
    assert!(delta.len() < 100 * 10, "{} bytes for rows that are gone", delta.len());
}

#[test]
fn long_runs_of_other_rows_are_passed_over_by_the_index() {
    let base = rows(0..5_000);
    let text = rows((0..1_000).chain(10_000..12_000).chain(3_500..5_000));
    let delta = diff(&base, &text).unwrap();
    let literals = rows(10_000..12_000).len();
    assert!((literals..literals + 100).contains(&delta.len()), "{} for {literals}", delta.len());
}

#[test]
fn what_does_not_pay_is_none() {
    let (base, text) = (rows(0..1_000), rows(5_000..6_000));
    let most = text.len() / 4;
    assert_eq!(Differ::default().diff(base.as_bytes(), text.as_bytes(), most), None);
    let mut differ = Differ::default();
    assert!(
        differ.diff(base.as_bytes(), base.as_bytes(), 16).is_some_and(|delta| delta.len() < 16)
    );
}

#[test]
fn what_is_no_delta_of_the_base_is_refused() {
    let (base, text) = (rows(0..100), rows((0..50).chain(60..100)));
    let delta = diff(&base, &text).unwrap();
    assert_eq!(apply(base.as_bytes(), &delta, text.len()).unwrap(), text.as_bytes());
    for length in 0..delta.len() {
        assert_eq!(apply(base.as_bytes(), &delta[..length], text.len()), Err(Misfit), "{length}");
    }
    assert_eq!(apply(base.as_bytes(), &delta, text.len() + 1), Err(Misfit));
    assert_eq!(apply(base.as_bytes(), &delta, text.len() - 1), Err(Misfit));
    assert_eq!(apply(&base.as_bytes()[..100], &delta, text.len()), Err(Misfit));
    let endless = [&6_u32.to_le_bytes()[..], &[0xff; 6]].concat();
    assert_eq!(apply(base.as_bytes(), &endless, text.len()), Err(Misfit));
    let unused = [&delta[..], b"x"].concat();
    assert_eq!(apply(base.as_bytes(), &unused, text.len()), Err(Misfit));
}

proptest! {
    #[test]
    fn any_text_comes_back_from_any_base(
        base in "[ab\n]{0,200}", text in "[ab\n]{0,200}", more in any::<Vec<u8>>(),
    ) {
        let delta = diff(&base, &text).unwrap();
        prop_assert_eq!(apply(base.as_bytes(), &delta, text.len()).unwrap(), text.as_bytes());
        let other = Differ::default().diff(base.as_bytes(), &more, usize::MAX).unwrap().to_vec();
        prop_assert_eq!(apply(base.as_bytes(), &other, more.len()).unwrap(), more);
    }

    #[test]
    fn foreign_bytes_are_refused_or_make_text_of_that_length(
        base in any::<Vec<u8>>(), delta in any::<Vec<u8>>(), length in 0_usize..300,
    ) {
        if let Ok(text) = apply(&base, &delta, length) {
            prop_assert_eq!(text.len(), length);
        }
    }
}
