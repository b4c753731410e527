//! Timestamps as the dialects write them: ISO 8601, UTC.

use std::time::{Duration, SystemTime};

use crate::{base::utc, group::UnixMillis};

/// Formats with milliseconds: `2016-12-09T15:08:58.042Z`.
pub(super) fn iso(at: UnixMillis) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(at.0);
    format!("{}.{:03}Z", utc::seconds(time).replace(' ', "T"), at.0 % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_written_as_iso_8601() {
        let check = |ms, expected: &str| assert_eq!(iso(UnixMillis(ms)), expected);
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_782_399_999, "2000-02-28T23:59:59.999Z");
        check(951_782_400_000, "2000-02-29T00:00:00.000Z");
        check(1_481_296_138_042, "2016-12-09T15:08:58.042Z");
        check(1_735_689_599_000, "2024-12-31T23:59:59.000Z");
        check(4_107_542_400_000, "2100-03-01T00:00:00.000Z");
    }
}
