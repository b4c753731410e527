//! Causes: what a SIP response to our INVITE means, in the words of the vendors (contract 12).

use super::{
    attempt::TargetKind,
    message::SipMessage,
    name::HeaderName,
    uri::{SipParams, split_unquoted},
};
use crate::media::{DialFailure, DialFailureSource, HangupCause};

/// The failure that a final response is. A Q.850 cause in its Reason header wins over the status.
pub(super) fn failure(status: u16, response: &SipMessage, kind: TargetKind) -> DialFailure {
    let by_reason = q850(response).and_then(cause_of_q850);
    let cause = by_reason.unwrap_or_else(|| cause_of_status(status, kind));
    DialFailure { cause, source: source(kind), sip_status: Some(status) }
}

/// The failure of a target that has not answered in time.
pub(super) fn silence(kind: TargetKind, had_password: bool) -> DialFailure {
    let cause = match had_password {
        true => HangupCause::SipAuthTimeout,
        false => HangupCause::RequestTimeout,
    };
    DialFailure::new(cause, source(kind))
}

/// Whether `new` is reported rather than `old` when all targets have failed: a 6xx, else a 486, else
/// the last one.
pub(super) fn outweighs(new: DialFailure, old: DialFailure) -> bool {
    let weight = |it: DialFailure| match it.sip_status {
        Some(600..=699) => 2,
        Some(486) => 1,
        Some(_) | None => 0,
    };
    weight(old) <= weight(new)
}

fn source(kind: TargetKind) -> DialFailureSource {
    match kind {
        TargetKind::Endpoint => DialFailureSource::Callee,
        TargetKind::Trunk => DialFailureSource::Carrier,
    }
}

fn cause_of_status(status: u16, kind: TargetKind) -> HangupCause {
    match status {
        401 | 407 => HangupCause::SipAuthFailed,
        403 => HangupCause::Forbidden,
        404 => HangupCause::Unallocated,
        408 | 504 => HangupCause::RequestTimeout,
        410 => HangupCause::DestinationOut,
        414 | 416 | 484 => HangupCause::DestinationInvalid,
        428 | 436 | 437 | 438 => HangupCause::CallerUnknown,
        480 => HangupCause::NoAnswer,
        482 | 483 => HangupCause::LoopDetected,
        486 => HangupCause::Busy,
        500 | 502 | 505 | 513 | 580 => HangupCause::CarrierError,
        503 => HangupCause::CarrierCongestion,
        600 => HangupCause::BusyEverywhere,
        603 if kind == TargetKind::Endpoint => HangupCause::Rejected,
        603 => HangupCause::Declined,
        604 => HangupCause::NobodyThere,
        607 | 608 => HangupCause::SpamBlock,
        _ => HangupCause::RoutingError,
    }
}

fn cause_of_q850(number: u8) -> Option<HangupCause> {
    Some(match number {
        1 => HangupCause::Unallocated,
        16 => HangupCause::Normal,
        17 => HangupCause::Busy,
        18 | 19 => HangupCause::NoAnswer,
        21 => HangupCause::Rejected,
        22 => HangupCause::DestinationOut,
        28 => HangupCause::DestinationInvalid,
        34 | 38 | 41 | 42 => HangupCause::CarrierCongestion,
        _ => return None,
    })
}

/// The Q.850 cause in a Reason header (RFC 3326).
fn q850(message: &SipMessage) -> Option<u8> {
    let mut reasons = message
        .all(&HeaderName::Reason)
        .flat_map(|value| split_unquoted(value, b',').unwrap_or_default());
    reasons.find_map(|reason| {
        let (protocol, params) = reason.split_once(';')?;
        if !protocol.trim().eq_ignore_ascii_case("Q.850") {
            return None;
        }
        SipParams::parse_some(params).get("cause")?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, reason: &str, kind: TargetKind) -> (u16, DialFailureSource) {
        let reason = match reason {
            "" => String::new(),
            reason => format!("Reason: {reason}\r\n"),
        };
        let text = format!("SIP/2.0 {status} x\r\nVia: SIP/2.0/UDP x\r\n{reason}\r\n");
        let response = SipMessage::parse(text.as_bytes()).unwrap().unwrap();
        let failure = failure(status, &response, kind);
        assert_eq!(failure.sip_status, Some(status));
        (failure.cause.code(), failure.source)
    }

    /// A row for each row of contract 12.
    #[test]
    fn each_status_has_the_cause_of_the_contract() {
        for (statuses, code) in [
            (&[401, 407][..], 4240),
            (&[403], 3040),
            (&[428, 436, 437, 438], 3030),
            (&[404], 3050),
            (&[604], 3120),
            (&[408, 504], 3070),
            (&[410], 2010),
            (&[414, 416, 484], 2000),
            (&[480], 3000),
            (&[482, 483], 2060),
            (&[607, 608], 3130),
            (&[486], 3010),
            (&[600], 3100),
            (&[500, 502, 505, 513, 580], 3080),
            (&[503], 3090),
            (
                &[300, 301, 302, 305, 380, 400, 402, 405, 406, 415, 420, 421, 481, 488, 501, 606],
                5020,
            ),
        ] {
            for status in statuses {
                assert_eq!(
                    of(*status, "", TargetKind::Endpoint),
                    (code, DialFailureSource::Callee)
                );
                assert_eq!(of(*status, "", TargetKind::Trunk), (code, DialFailureSource::Carrier));
            }
        }
        assert_eq!(of(603, "", TargetKind::Endpoint), (3020, DialFailureSource::Callee));
        assert_eq!(of(603, "", TargetKind::Trunk), (3110, DialFailureSource::Carrier));
        assert_eq!(silence(TargetKind::Endpoint, false).cause.code(), 3070);
        assert_eq!(silence(TargetKind::Trunk, true).cause.code(), 4250);
    }

    #[test]
    fn a_q850_cause_wins_over_the_status() {
        for (numbers, code) in [
            (&[1][..], 3050),
            (&[16], 4000),
            (&[17], 3010),
            (&[18, 19], 3000),
            (&[21], 3020),
            (&[22], 2010),
            (&[28], 2000),
            (&[34, 38, 41, 42], 3090),
            (&[2, 127], 3040),
        ] {
            for number in numbers {
                let reason = format!("SIP;cause=1, q.850 ;cause={number};text=\"a, b\"");
                assert_eq!(of(403, &reason, TargetKind::Trunk).0, code, "{reason}");
            }
        }
        assert_eq!(of(403, "Q.850;cause=x", TargetKind::Trunk).0, 3040);
    }

    #[test]
    fn the_weightiest_failure_is_reported() {
        let of = |status| DialFailure {
            cause: HangupCause::Busy,
            source: DialFailureSource::Callee,
            sip_status: status,
        };
        for (new, old, expected) in [
            (Some(480), Some(404), true),
            (None, Some(404), true),
            (Some(480), Some(486), false),
            (Some(486), Some(480), true),
            (Some(486), Some(603), false),
            (Some(600), Some(486), true),
            (Some(604), Some(603), true),
        ] {
            assert_eq!(outweighs(of(new), of(old)), expected, "{new:?} {old:?}");
        }
    }
}
