//! Golden files: every outcome of a kick in every dialect (contract 6), whole responses.
//!
//! `GOLDEN=write cargo test --test it golden` rewrites them: review the changes.

use std::{env, fs, path::Path, sync::atomic::Ordering};

use axum::{body::Body, http::Response};
use conflow::api::groups::Settings;
use http_body_util::BodyExt;

use super::dialects::{TestGroups, UNLIMITED};

/// The outcomes of a kick.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    Removed,
    NoCredential,
    MissingScope,
    BadParams,
    NoGroup,
    ActorNotMember,
    RankTooLow,
    TargetUnknown,
    TargetNotMember,
    LastOwner,
    SelfTarget,
    GroupClosed,
    RateLimited,
    Crash,
    NoRoute,
    WrongMethod,
}

impl Outcome {
    const ALL: [Self; 16] = [
        Self::Removed,
        Self::NoCredential,
        Self::MissingScope,
        Self::BadParams,
        Self::NoGroup,
        Self::ActorNotMember,
        Self::RankTooLow,
        Self::TargetUnknown,
        Self::TargetNotMember,
        Self::LastOwner,
        Self::SelfTarget,
        Self::GroupClosed,
        Self::RateLimited,
        Self::Crash,
        Self::NoRoute,
        Self::WrongMethod,
    ];
}

/// The requests that lead to an outcome in a dialect.
enum Cell {
    /// One request.
    Line(String),
    /// This many equal requests before it.
    After(usize, String),
    /// Two equal requests at once; the response to the second counts.
    Twice(String),
    /// The dialect does not have this outcome.
    Never,
}

use Cell::{After, Line, Never, Twice};

fn bungie(outcome: Outcome) -> Cell {
    let kick = |group: &str, member: &str, who: &str| {
        format!("POST /Platform/GroupV2/{group}/Members/{member}/Kick/ {who}")
    };
    let (clan, member) = ("6000001", "3/505");
    match outcome {
        Outcome::Removed | Outcome::Crash => Line(kick(clan, member, "[as 3]")),
        Outcome::NoCredential => Line(kick(clan, member, "[X-API-Key: KEY]")),
        Outcome::MissingScope => Line(kick(clan, member, "[as 4]")),
        Outcome::BadParams => Line(kick(clan, "-1/505", "[as 3]")),
        Outcome::NoGroup => Line(kick("5", member, "[as 3]")),
        Outcome::ActorNotMember => Line(kick(clan, member, "[as 7]")),
        Outcome::RankTooLow => Line(kick(clan, member, "[as 6]")),
        Outcome::TargetUnknown => Line(kick(clan, "3/999", "[as 3]")),
        Outcome::TargetNotMember => Line(kick(clan, "3/507", "[as 3]")),
        Outcome::LastOwner => Line(kick(clan, "3/501", "[as 3]")),
        Outcome::SelfTarget => Line(kick(clan, "3/503", "[as 3]")),
        Outcome::GroupClosed => Line(kick("6000002", member, "[as 1]")),
        Outcome::RateLimited => After(250, kick(clan, member, "[as 3]")),
        Outcome::NoRoute => Line("POST /Platform/GroupV2/6000001/Nothing/ [as 3]".to_owned()),
        Outcome::WrongMethod => Line(kick(clan, member, "[as 3]").replace("POST", "GET")),
    }
}

fn rocket_chat(outcome: Outcome) -> Cell {
    let kick = |who: &str, room: &str, user: &str| {
        format!(r#"POST /api/v1/groups.kick {who} {{"roomId":"{room}","userId":"{user}"}}"#)
    };
    let room = "6000001";
    match outcome {
        Outcome::Removed | Outcome::Crash => Line(kick("[as 3]", room, "5")),
        Outcome::NoCredential => {
            Line(r#"POST /api/v1/groups.kick {"roomId":"6000001","userId":"5"}"#.to_owned())
        }
        Outcome::MissingScope => Never,
        Outcome::BadParams => Line(r#"POST /api/v1/groups.kick [as 3] {"userId":"5"}"#.to_owned()),
        Outcome::NoGroup => Line(kick("[as 3]", "5", "5")),
        Outcome::ActorNotMember => Line(kick("[as 7]", room, "5")),
        Outcome::RankTooLow => Line(kick("[as 6]", room, "5")),
        Outcome::TargetUnknown => Line(kick("[as 3]", room, "99")),
        Outcome::TargetNotMember => Line(kick("[as 3]", room, "7")),
        Outcome::LastOwner => Line(kick("[as 3]", room, "1")),
        Outcome::SelfTarget => Line(kick("[as 3]", room, "3")),
        Outcome::GroupClosed => Line(kick("[as 1]", "6000002", "5")),
        Outcome::RateLimited => After(10, kick("[as 3]", room, "5")),
        Outcome::NoRoute => Line("POST /api/v1/groups.nothing [as 3] {}".to_owned()),
        Outcome::WrongMethod => Line("GET /api/v1/groups.kick [as 3]".to_owned()),
    }
}

fn kirimin(outcome: Outcome) -> Cell {
    let kick = |group: &str, user: &str, who: &str| {
        format!("POST /x/group/kick/{group}/{user} {who} {{}}")
    };
    let group = "6000001";
    match outcome {
        Outcome::Removed | Outcome::Crash => Line(kick(group, "5", "[as 1]")),
        Outcome::NoCredential => Line("POST /x/group/kick/6000001/5 {}".to_owned()),
        Outcome::MissingScope => Never,
        Outcome::BadParams => Line(kick("x", "5", "[as 1]")),
        Outcome::NoGroup => Line(kick("5", "5", "[as 1]")),
        Outcome::ActorNotMember => Line(kick(group, "5", "[as 7]")),
        Outcome::RankTooLow => Line(kick(group, "5", "[as 3]")),
        Outcome::TargetUnknown => Line(kick(group, "99", "[as 1]")),
        Outcome::TargetNotMember => Line(kick(group, "7", "[as 1]")),
        // Only the owner may kick, so the target is the owner.
        Outcome::LastOwner | Outcome::SelfTarget => Line(kick(group, "1", "[as 1]")),
        Outcome::GroupClosed => Line(kick("6000002", "5", "[as 1]")),
        Outcome::RateLimited => After(1, kick(group, "5", "[as 1]")),
        Outcome::NoRoute => Line("POST /x/group/nothing/6000001 [as 1] {}".to_owned()),
        Outcome::WrongMethod => Line(kick(group, "5", "[as 1]").replace("POST", "GET")),
    }
}

fn capillary(outcome: Outcome) -> Cell {
    let leave = |group: &str, mobile: &str| {
        format!(
            "DELETE /v2/userGroup2/{group}/leave?source=INSTORE&identifierName=mobile\
             &identifierValue={mobile} [till]"
        )
    };
    let group = "6000001";
    match outcome {
        Outcome::Removed | Outcome::Crash => Line(leave(group, "885")),
        Outcome::NoCredential => Line(leave(group, "885").replace(" [till]", "")),
        Outcome::MissingScope => {
            Line(leave(group, "885").replace("[till]", "[X-CAP-API-OAUTH-TOKEN: KEY]"))
        }
        Outcome::BadParams => Line(leave(group, "885").replace("mobile", "shoe")),
        Outcome::NoGroup => Line(leave("5", "885")),
        // A till has no rank and is not a person.
        Outcome::ActorNotMember | Outcome::RankTooLow | Outcome::SelfTarget => Never,
        Outcome::TargetUnknown => Line(leave(group, "9")),
        Outcome::TargetNotMember => Line(leave(group, "887")),
        Outcome::LastOwner => Line(leave(group, "881")),
        Outcome::GroupClosed => Line(leave("6000002", "885")),
        Outcome::RateLimited => Twice(leave(group, "885")),
        Outcome::NoRoute => Line("DELETE /v2/userGroup2/6000001/nothing [till]".to_owned()),
        Outcome::WrongMethod => Line(leave(group, "885").replace("DELETE", "PUT")),
    }
}

async fn check(name: &str, dialect: fn(Outcome) -> Cell, settings: Settings) {
    let mut text = String::new();
    for outcome in Outcome::ALL {
        let is_unlimited = !matches!(outcome, Outcome::RateLimited);
        let groups = TestGroups::open(Settings { is_unlimited, ..settings }).await;
        groups.rows.fails.store(matches!(outcome, Outcome::Crash), Ordering::Relaxed);
        let (line, response) = match dialect(outcome) {
            Never => {
                text += &format!("== {outcome:?}\nnever\n\n");
                groups.engine.close().await;
                continue;
            }
            Line(line) => (line.clone(), groups.answer(&line).await),
            After(count, line) => {
                for _ in 0..count {
                    drop(groups.answer(&line).await);
                }
                (line.clone(), groups.answer(&line).await)
            }
            Twice(line) => {
                let (_, second) = tokio::join!(groups.answer(&line), groups.answer(&line));
                (line, second)
            }
        };
        text += &format!("== {outcome:?}\n{line}\n{}\n\n", whole(response).await);
        groups.engine.close().await;
    }

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/api/groups/golden");
    let path = path.join(format!("{name}.txt"));
    if env::var_os("GOLDEN").is_some_and(|it| it == "write") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &text).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap();
    for (found, expected) in text.split("== ").zip(golden.split("== ")) {
        assert_eq!(found, expected, "{}", path.display());
    }
    assert_eq!(text.len(), golden.len(), "{}", path.display());
}

/// Status, headers and body, as sent.
async fn whole(response: Response<Body>) -> String {
    let (head, body) = response.into_parts();
    let mut text = head.status.as_u16().to_string();
    for (name, value) in &head.headers {
        text += &format!("\n{name}: {}", value.to_str().unwrap());
    }
    let body = body.collect().await.unwrap().to_bytes();
    format!("{text}\n{}", String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn every_outcome_is_answered_as_by_bungie() {
    check("bungie", bungie, UNLIMITED).await;
    check("bungie_realistic", bungie, Settings { is_bungie_realistic: true, ..UNLIMITED }).await;
}

#[tokio::test(start_paused = true)]
async fn every_outcome_is_answered_as_by_rocket_chat() {
    check("rocketchat", rocket_chat, UNLIMITED).await;
}

#[tokio::test(start_paused = true)]
async fn every_outcome_is_answered_as_by_kirimin() {
    check("kirimin", kirimin, UNLIMITED).await;
}

#[tokio::test(start_paused = true)]
async fn every_outcome_is_answered_as_by_capillary() {
    check("capillary", capillary, UNLIMITED).await;
}
