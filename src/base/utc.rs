//! UTC times in the vendors' text form: `2026-08-31 20:08:21.073308`.

use std::time::{Duration, SystemTime};

use time::{Date, Month, PrimitiveDateTime, Time, UtcDateTime};

/// The text with microseconds (contract 4.2).
pub fn precise(time: SystemTime) -> String {
    format!("{}.{:06}", seconds(time), since_1970(time).subsec_micros())
}

/// The text without a fraction. Precision: one second.
pub fn seconds(time: SystemTime) -> String {
    let seconds = i64::try_from(since_1970(time).as_secs()).unwrap_or(i64::MAX);
    // The last year is 9999.
    let time = UtcDateTime::from_unix_timestamp(seconds).unwrap_or(UtcDateTime::MAX);
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second) = time.as_hms();
    format!("{year:04}-{:02}-{day:02} {hour:02}:{minute:02}:{second:02}", u8::from(month))
}

/// Parses the output of [`seconds`] or [`precise`]. The time of day, or its seconds, may be missing
/// (contract 5.1: `end_time__gt=2026-08-31 20:08`). None if it is invalid.
pub fn parse(text: &str) -> Option<SystemTime> {
    let text = text.trim();
    let (date, time) = text.split_once([' ', 'T']).unwrap_or((text, "00:00:00"));
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let time = time.trim_end_matches('Z');
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut clock = time.split(':');
    let (hour, minute, second) = (clock.next()?, clock.next()?, clock.next().unwrap_or("0"));
    if parts.next().is_some() || clock.next().is_some() {
        return None;
    }
    let digits: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let year = year.parse().ok().filter(|it| (1970..10_000).contains(it))?;
    let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;
    let date = Date::from_calendar_date(year, month, day.parse().ok()?).ok()?;
    let (hour, minute, second) = (hour.parse().ok()?, minute.parse().ok()?, second.parse().ok()?);
    let time = Time::from_hms_micro(hour, minute, second, digits.parse().ok()?).ok()?;
    Some(PrimitiveDateTime::new(date, time).assume_utc().into())
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
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
        check(253_402_300_799_999_999, "9999-12-31 23:59:59.999999");
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
        check("2026-08-31 23:59:60", None);
        check("2026-08-31-01", None);
        check("2026-08-31 20:08:21:00", None);
        check("1969-12-31", None);
        check("10000-01-01", None);
        check("2028-02-29", Some("2028-02-29 00:00:00"));
        check("2026-02-29", None);
        check("2026-04-31", None);
        check("yesterday", None);
        check("", None);
    }
}
