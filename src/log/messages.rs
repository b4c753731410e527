//! What is told of calls, conferences and requests, in words.

use tracing::level_filters::LevelFilter;

use crate::{
    api::Deed,
    base::ids::{AccountId, CallId, Incarnation, RoomKey},
    call::{self, Direction, Party},
    conference::{Being, News, Notice},
    engine::registry::Trace,
    media::Ending,
    trace,
};

/// What is told, before there are words for it.
#[derive(Debug)]
pub(super) enum Told {
    Deed(Deed),
    Trace(Trace),
}

impl Told {
    /// In an event, or more.
    pub(super) fn tell(self) {
        match self {
            Self::Deed(deed) => deed.tell(),
            Self::Trace(trace) => note(trace),
        }
    }
}

/// Of the event that comes of it.
pub(super) fn level(trace: &Trace) -> LevelFilter {
    match trace {
        Trace::Call { news: call::News::Begun | call::News::Ended(_), .. } => LevelFilter::INFO,
        Trace::Notice { .. } | Trace::Refused { .. } => LevelFilter::INFO,
        Trace::Began { .. } | Trace::Call { .. } | Trace::Fetching { .. } => LevelFilter::DEBUG,
        Trace::Left { .. } | Trace::PassedOn { .. } => LevelFilter::DEBUG,
        Trace::Remarked { .. } | Trace::Requested { .. } => LevelFilter::DEBUG,
    }
}

/// Notes what the house tells, with the ids of the calls and conferences it is about.
fn note(trace: Trace) {
    match trace {
        Trace::Began { call, element, .. } => {
            let trace::Element { document, verb, at } = element;
            tracing::debug!(%call, document, element = verb.tag, %at, "an element begins");
        }
        Trace::Fetching { call, url, purpose } => {
            tracing::debug!(%call, %url, ?purpose, "the call asks for a document");
        }
        Trace::Remarked { call, api_id, remark } => {
            tracing::debug!(%call, %api_id, %remark, "a request has asked for something in vain");
        }
        Trace::Requested { call, api_id, command } => {
            tracing::debug!(%call, %api_id, command, "a request is about the call");
        }
        Trace::Call { call, news, account, party } => match news {
            call::News::Answered => tracing::debug!(%call, "the call is answered"),
            call::News::Begun => begun(call, &account, &party),
            call::News::Ended(Ending { cause, source }) => {
                let (cause, code, source) = (cause.name(), cause.code(), source.text());
                tracing::info!(%call, cause, code, source, "the call has ended");
            }
            call::News::Rang => tracing::debug!(%call, "the far end rings"),
        },
        Trace::Left { call, member, exit, .. } => {
            let cause = exit.cause;
            tracing::debug!(%call, %member, cause = cause.text(), "the call goes on");
        }
        Trace::Notice { room, notice } => tell(&room, notice),
        Trace::PassedOn { call } => {
            tracing::debug!(%call, "the conference was over: on to the next");
        }
        Trace::Refused { call, cause } => {
            tracing::info!(%call, cause = cause.text(), "the call was not let into the conference");
        }
    }
}

fn begun(call: CallId, account: &AccountId, party: &Party) {
    let Party { from, to, direction, session, .. } = party;
    let (trace, from, to) = (session.trace(call), &**from, &**to);
    match direction {
        Direction::Inbound => tracing::info!(%call, %trace, %account, from, to, "a call comes in"),
        Direction::Outbound => tracing::info!(%call, %trace, %account, from, to, "a call goes out"),
    }
}

fn tell(room: &Incarnation, notice: Notice) {
    let Incarnation { key: RoomKey { account, name }, id: room } = room;
    let Notice { sequence, news } = notice;
    macro_rules! tell {
        ($($field:tt)*) => {
            tracing::info!(%account, conference = %name, %room, sequence, $($field)*)
        };
    }
    match news {
        News::Entered { who: Being { member, call, .. }, is_first } => {
            tell!(%member, %call, is_first, "entered");
        }
        News::Exited { who: Being { member, call, .. }, cause, is_last, .. } => {
            tell!(%member, %call, cause = cause.text(), is_last, "left");
        }
        News::DigitsMatched { who: Being { member, call, .. }, digits } => {
            tell!(%member, %call, %digits, "typed");
        }
        News::FloorTaken { who: Being { member, call, .. } } => {
            tell!(%member, %call, "has the floor");
        }
        News::Over => tell!("the conference is over"),
        News::Started => tell!("the conference has started"),
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::UNIX_EPOCH};

    use tracing::subscriber::with_default;
    use tracing_subscriber::{Registry, layer::SubscriberExt};
    use uuid::Uuid;

    use super::{
        super::{json::Json, queue::Queue},
        *,
    };
    use crate::{
        base::ids::{Dialect, MemberId, RoomId},
        call::{News, Session},
        conference,
        flow::{Cause, Place, Purpose, verbs::VerbInfo},
        media::{HangupCause, HangupSource},
    };

    /// What is passed over at a level must be what has no line at it.
    fn check(trace: Trace) {
        let (shown, level) = (format!("{trace:?}"), level(&trace));
        let (queue, mut line) = (Queue::default(), Vec::new());
        with_default(Registry::default().with(Json(queue.clone())), || note(trace));
        queue.take_lines(&mut line);
        let line = String::from_utf8(line).unwrap();
        let level = format!("\"level\":\"{}\"", level.to_string().to_uppercase());
        assert!(line.contains(&level), "{level} is not that of {shown}: {line}");
    }

    #[test]
    fn the_level_of_a_trace_is_that_of_its_line() {
        let (call, api_id, at) = (CallId::of(1), Uuid::nil(), Place::default());
        let account: AccountId = "MA1".parse().unwrap();
        let ended = Ending { cause: HangupCause::Normal, source: HangupSource::Caller };
        for news in [News::Answered, News::Begun, News::Ended(ended), News::Rang] {
            let party = Arc::new(Party {
                from: "100".into(),
                to: "200".into(),
                caller_name: "".into(),
                direction: Direction::Inbound,
                dialect: Dialect::Vobiz,
                trusted: None,
                session: Session::at(UNIX_EPOCH),
            });
            check(Trace::Call { account: account.clone(), call, party, news });
        }
        let verb = VerbInfo::of("Speak").unwrap();
        let element = trace::Element { document: 1, verb, at };
        check(Trace::Began { call, step: 0, element });
        check(Trace::Fetching { call, url: "http://a/".into(), purpose: Purpose::Sound });
        let (exit, member) = (Cause::Kicked.into(), MemberId(1));
        check(Trace::Left { call, member, exit, by: None });
        let key = RoomKey { account, name: "weekly".parse().unwrap() };
        let room = Arc::new(Incarnation { key, id: RoomId::of(7) });
        for news in [conference::News::Over, conference::News::Started] {
            let notice = Notice { sequence: 1, news };
            check(Trace::Notice { room: room.clone(), notice });
        }
        check(Trace::PassedOn { call });
        check(Trace::Refused { call, cause: Cause::Full });
        check(Trace::Remarked { call, api_id, remark: "in vain".into() });
        check(Trace::Requested { call, api_id, command: "Kick" });
    }
}
