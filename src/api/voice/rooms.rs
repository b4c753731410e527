//! Whole conferences: list, show, hang up.

use axum::{http::StatusCode, response::Response};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::{Asker, bodies};
use crate::{
    api::{ANSWER_WAIT_MAX, failure::Failure, reply},
    base::ids::{AccountId, RoomKey},
    conference::{Answer, Ask, Refusal, Who},
    engine::registry::{AskError, House},
};

/// `GET Conference/`
pub(super) fn list(asker: &Asker<'_>) -> Response {
    let conferences = asker.desk.house.conferences(asker.account);
    reply::json(StatusCode::OK, &bodies::Rooms { api_id: asker.api_id, conferences })
}

/// `GET Conference/{name}/`
pub(super) async fn show(asker: &Asker<'_>, name: &str) -> Result<Response, Failure> {
    let key = asker.key(name)?;
    match asker.desk.ask(asker.api_id, &key, Ask::Roster).await? {
        Answer::Roster(roster) => {
            let body = bodies::Room::new(&key.name, &roster, asker.api_id);
            Ok(reply::json(StatusCode::OK, &body))
        }
        Answer::Banned { .. } | Answer::Departures(_) | Answer::Members(_) => {
            unreachable!("a roster was asked for")
        }
    }
}

/// `DELETE Conference/{name}/`
pub(super) async fn hang_up(asker: &Asker<'_>, name: &str) -> Result<Response, Failure> {
    match asker.desk.ask(asker.api_id, &asker.key(name)?, Ask::HangUp { who: Who::All }).await {
        Ok(_) => Ok(reply::empty(StatusCode::NO_CONTENT)),
        // Nobody has come in yet: there is no conference.
        Err(AskError::Refused(Refusal::NoMember)) => Err(AskError::Gone.into()),
        Err(error @ (AskError::Busy | AskError::Gone | AskError::Late)) => Err(error.into()),
        Err(error @ AskError::Refused(Refusal::Fault | Refusal::NoElement { .. })) => {
            Err(error.into())
        }
    }
}

/// `DELETE Conference/`
///
/// Whoever asks may go: once begun, all are hung up.
pub(super) async fn hang_up_all(asker: &Asker<'_>) -> Result<Response, Failure> {
    let (house, account) = (asker.desk.house.clone(), asker.account.clone());
    let api_id = asker.api_id;
    let task = tokio::spawn(async move { hang_up_rooms(&house, &account, api_id).await });
    task.await.map_err(|_| Failure::Fault)??;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// All are asked before any is waited for. A room that is gone by then is as it should be.
async fn hang_up_rooms(house: &House, account: &AccountId, api_id: Uuid) -> Result<(), AskError> {
    let names = house.conferences(account).into_iter();
    let ask = |name| {
        house.ask_for(Some(api_id), &RoomKey { account: account.clone(), name }, hang_up_members())
    };
    let asked: Vec<_> = names.map(ask).collect();

    let (deadline, mut worst) = (Instant::now() + ANSWER_WAIT_MAX, Ok(()));
    for answer in asked {
        let outcome = match answer {
            Ok(answer) => timeout_at(deadline, answer).await,
            Err(AskError::Gone) => continue,
            Err(error @ (AskError::Busy | AskError::Late | AskError::Refused(_))) => {
                worst = Err(error);
                continue;
            }
        };
        match outcome {
            Ok(Ok(Ok(_) | Err(Refusal::NoMember)) | Err(_)) => (),
            Ok(Ok(Err(refusal @ (Refusal::Fault | Refusal::NoElement { .. })))) => {
                worst = Err(refusal.into());
            }
            Err(_) => worst = Err(AskError::Late),
        }
    }
    worst
}

fn hang_up_members() -> Ask {
    Ask::HangUp { who: Who::All }
}
