//! UTC times in the vendors' text form: `2026-08-31 20:08:21.073308`.

use std::time::{Duration, SystemTime};

/// The text with microseconds (contract 4.2).
pub fn precise(time: SystemTime) -> String {
    let since = since_1970(time);
    format!("{}.{:06}", date(since.as_secs()), since.subsec_micros())
}

/// The text without a fraction. Precision: one second.
pub fn seconds(time: SystemTime) -> String {
    date(since_1970(time).as_secs())
}

/// Parses the output of [`seconds`] or [`precise`]. The time of day, or its seconds, may be missing
/// (contract 5.1: `end_time__gt=2026-08-31 20:08`). None if it is invalid.
pub fn parse(text: &str) -> Option<SystemTime> {
    let text = text.trim();
    let (date, time) = text.split_once([' ', 'T']).unwrap_or((text, "00:00:00"));
    let mut parts = date.split('-').map(|it| it.parse::<u64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let time = time.trim_end_matches('Z');
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut clock = time.split(':').map(|it| it.parse::<u64>().ok());
    let (hour, minute) = (clock.next()??, clock.next()??);
    let second = clock.next().unwrap_or(Some(0))?;
    let is_time = hour < 24 && minute < 60 && second < 60 && clock.next().is_none();
    let is_date = (1970..10_000).contains(&year) && (1..=12).contains(&month);
    let is_day = (1..=31).contains(&day) && parts.next().is_none();
    if !(is_time && is_date && is_day) {
        return None;
    }
    let digits: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let micros: u64 = digits.parse().ok()?;
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_micros(micros))
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

fn date(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// Years are counted from March, so that a leap day is the last day of its year.
const DAYS_PER_400_YEARS: u64 = 146_097;
/// From 1 March of the year 0 to 1 January 1970.
const DAYS_BEFORE_1970: u64 = 719_468;

/// Year, month and day of a number of days since 1970.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_BEFORE_1970;
    let (era, day) = (days / DAYS_PER_400_YEARS, days % DAYS_PER_400_YEARS);
    let leaps = day / 1_460 - day / 36_524 + day / 146_096;
    let year = (day - leaps) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Each five months from March have 153 days.
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day_of_month)
}

/// The number of days since 1970 of a date: the inverse of [`civil`].
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, of_era) = (year / 400, year % 400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * DAYS_PER_400_YEARS + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year
        - DAYS_BEFORE_1970
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_the_vendors_form_and_parsed_back() {
        let check = |micros: u64, expected: &str| {
            let time = SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
            assert_eq!(precise(time), expected);
            assert_eq!(seconds(time), expected[..19]);
            assert_eq!(parse(expected), Some(time), "{expected}");
        };
        check(0, "1970-01-01 00:00:00.000000");
        check(951_782_399_999_999, "2000-02-28 23:59:59.999999");
        check(951_782_400_000_000, "2000-02-29 00:00:00.000000");
        check(1_788_206_901_073_308, "2026-08-31 20:08:21.073308");
        check(4_107_542_400_000_000, "2100-03-01 00:00:00.000000");
        check(1_735_689_599_000_000, "2024-12-31 23:59:59.000000");
    }

    #[test]
    fn a_time_may_be_short_and_an_invalid_one_is_none() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(parse(text).map(seconds).as_deref(), expected, "{text}");
        };
        check("2026-08-31", Some("2026-08-31 00:00:00"));
        check("2026-08-31 20:08", Some("2026-08-31 20:08:00"));
        check("2026-08-31T20:08:21Z", Some("2026-08-31 20:08:21"));
        check("2026-08-31 20:08:21.5", Some("2026-08-31 20:08:21"));
        check("2026-13-31", None);
        check("2026-08-31 24:00", None);
        check("yesterday", None);
        check("", None);
    }
}
