//! Numbers and times, as the server receives them.

use super::Unusual;

/// Digits of one "digit" of a `numeric`, whose base is ten thousand.
const NUMERIC_DIGITS: usize = 4;

/// The sign of a negative `numeric`.
const NUMERIC_NEGATIVE: u16 = 0x4000;

/// Longest `numeric` that is converted; there are longer ones, which the server may read itself.
const NUMERIC_TEXT_MAX: usize = 10_000;

/// Days from the first of March of the year 0 to the first of January 2000, where the server's count begins.
const EPOCH_DAYS: i64 = 730_425;

const DAYS_PER_ERA: i64 = 146_097;
const MICROSECONDS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Latest year that is converted: within what dates and times can hold.
const YEAR_MAX: u64 = 200_000;

/// An unsigned number.
pub(super) fn digits(text: &[u8]) -> Result<u64, Unusual> {
    // Twenty digits may be more than fit.
    if text.is_empty() || text.len() > 19 {
        return Err(Unusual);
    }
    let mut value = 0_u64;
    for byte in text {
        value = value * 10 + digit(*byte)?;
    }
    Ok(value)
}

fn digit(byte: u8) -> Result<u64, Unusual> {
    if byte.is_ascii_digit() { Ok(u64::from(byte - b'0')) } else { Err(Unusual) }
}

/// Puts a `numeric` with its length: how many digits of base ten thousand, the weight of the first, the sign, how many decimal
/// places are shown, the digits. Zeros at both ends are allowed; the server drops them.
pub(super) fn numeric(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unusual> {
    let (sign, text) = match text.strip_prefix(b"-") {
        Some(text) => (NUMERIC_NEGATIVE, text),
        None => (0, text),
    };
    let point = memchr::memchr(b'.', text);
    let (whole, fraction) = match point {
        Some(point) => (&text[..point], &text[point + 1..]),
        None => (text, &[][..]),
    };
    let no_fraction = point.is_some() && fraction.is_empty();
    if whole.is_empty() || no_fraction || text.len() > NUMERIC_TEXT_MAX {
        return Err(Unusual);
    }
    let (first, full) = whole.split_at(whole.len() % NUMERIC_DIGITS);
    let before = full.len() / NUMERIC_DIGITS + usize::from(!first.is_empty());
    let groups = before + fraction.len().div_ceil(NUMERIC_DIGITS);
    let words = [small(groups)?, small(before)?.wrapping_sub(1), sign, small(fraction.len())?];
    let bytes = u32::try_from(8 + 2 * groups).map_err(|_| Unusual)?;
    out.extend_from_slice(&bytes.to_be_bytes());
    let mut put = |word: u16| out.extend_from_slice(&word.to_be_bytes());
    words.into_iter().for_each(&mut put);
    let whole = (!first.is_empty()).then_some(first).into_iter();
    for group in whole.chain(full.chunks(NUMERIC_DIGITS)) {
        put(number(group)?);
    }
    for group in fraction.chunks(NUMERIC_DIGITS) {
        let scale = [1000, 100, 10, 1][group.len() - 1];
        put(number(group)? * scale);
    }
    Ok(())
}

/// Both are far below what a word holds: [`NUMERIC_TEXT_MAX`].
fn small(number: usize) -> Result<u16, Unusual> {
    u16::try_from(number).map_err(|_| Unusual)
}

/// Up to four digits.
fn number(text: &[u8]) -> Result<u16, Unusual> {
    let mut value = 0_u16;
    for byte in text {
        if !byte.is_ascii_digit() {
            return Err(Unusual);
        }
        value = value * 10 + u16::from(byte - b'0');
    }
    Ok(value)
}

/// Days since 2000.
pub(super) fn date(text: &[u8]) -> Result<i32, Unusual> {
    match text {
        b"infinity" => Ok(i32::MAX),
        b"-infinity" => Ok(i32::MIN),
        _ => i32::try_from(days(text)?).map_err(|_| Unusual),
    }
}

/// Microseconds since 2000. Sessions that read rows have UTC as their time zone.
pub(super) fn timestamp(text: &[u8], zone: bool) -> Result<i64, Unusual> {
    match text {
        b"infinity" => return Ok(i64::MAX),
        b"-infinity" => return Ok(i64::MIN),
        _ => {}
    }
    let text = if zone { text.strip_suffix(b"+00").ok_or(Unusual)? } else { text };
    let blank = memchr::memchr(b' ', text).ok_or(Unusual)?;
    let (day, time) = (days(&text[..blank])?, &text[blank + 1..]);
    let (clock, fraction) = time.split_at_checked(8).ok_or(Unusual)?;
    let [h1, h2, b':', m1, m2, b':', s1, s2] = *clock else { return Err(Unusual) };
    let two = |high, low| Ok::<_, Unusual>(digit(high)? * 10 + digit(low)?);
    let (hours, minutes, seconds) = (two(h1, h2)?, two(m1, m2)?, two(s1, s2)?);
    if hours > 23 || minutes > 59 || seconds > 59 {
        return Err(Unusual);
    }
    let fraction = match fraction {
        [] => 0,
        [b'.', places @ ..] if places.len() <= 6 => places
            .iter()
            .chain(std::iter::repeat_n(&b'0', 6 - places.len()))
            .try_fold(0, |value, byte| Ok::<_, Unusual>(value * 10 + digit(*byte)?))?,
        _ => return Err(Unusual),
    };
    let seconds = signed((hours * 60 + minutes) * 60 + seconds)?;
    Ok((day * SECONDS_PER_DAY + seconds) * MICROSECONDS_PER_SECOND + signed(fraction)?)
}

/// Days since 2000 of a day of our era, as `YYYY-MM-DD` with at least four digits for the year.
fn days(text: &[u8]) -> Result<i64, Unusual> {
    let (year, day) = text.split_at_checked(text.len().wrapping_sub(6)).ok_or(Unusual)?;
    let [b'-', m1, m2, b'-', d1, d2] = *day else { return Err(Unusual) };
    let (year, month) = (digits(year)?, digit(m1)? * 10 + digit(m2)?);
    let day = digit(d1)? * 10 + digit(d2)?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u64::from(leap),
        _ => return Err(Unusual),
    };
    if year == 0 || year > YEAR_MAX || day == 0 || day > longest {
        return Err(Unusual);
    }
    // Years that begin in March have their leap day at the end, and 153 days in any five months from then on.
    let (year, month, day) = (signed(year)?, signed(month)?, signed(day)?);
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Ok(era * DAYS_PER_ERA + year * 365 + year / 4 - year / 100 + of_year - EPOCH_DAYS)
}

fn signed(number: u64) -> Result<i64, Unusual> {
    i64::try_from(number).map_err(|_| Unusual)
}
