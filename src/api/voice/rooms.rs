//! Endpoints of conferences: list, show, hang up.

use axum::{http::StatusCode, response::Response};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::{ApiClient, InAccount, bodies};
use crate::{
    api::{ANSWER_WAIT_MAX, context::PathNames, failure::Failure, reply},
    base::ids::{AccountId, RoomKey},
    conference::{Ask, ConferenceAnswer, MemberSelector, Refusal},
    engine::registry::{AskError, Registry},
};

/// `GET Conference/`
pub(super) async fn list(client: ApiClient) -> Response {
    let conferences = client.state.registry.conferences(&client.account);
    reply::json(StatusCode::OK, &bodies::ConferenceList { api_id: client.api_id, conferences })
}

/// `GET Conference/{name}/`
pub(super) async fn show(
    client: ApiClient,
    PathNames([name]): InAccount,
) -> Result<Response, Failure> {
    let key = client.key(&name)?;
    match client.state.ask(Some(client.api_id).into(), &key, Ask::Roster).await? {
        ConferenceAnswer::Roster(roster) => {
            let body = bodies::ConferenceBody::new(&key.name, &roster, client.api_id);
            Ok(reply::json(StatusCode::OK, &body))
        }
        ConferenceAnswer::Banned { .. }
        | ConferenceAnswer::Callee(_)
        | ConferenceAnswer::Departures(_)
        | ConferenceAnswer::Members(_) => {
            unreachable!("a roster was asked for")
        }
    }
}

/// `DELETE Conference/{name}/`
pub(super) async fn hang_up(
    client: ApiClient,
    PathNames([name]): InAccount,
) -> Result<Response, Failure> {
    let key = client.key(&name)?;
    let by = client.asks(|| |_: &ConferenceAnswer| reply::empty(StatusCode::NO_CONTENT));
    match client.state.ask(by, &key, hang_up_members()).await {
        Ok(_) => Ok(reply::empty(StatusCode::NO_CONTENT)),
        // No member has joined yet, so there is no conference.
        Err(AskError::Refused(Refusal::NoMember)) => Err(AskError::Gone.into()),
        Err(error) => Err(error.into()),
    }
}

/// `DELETE Conference/`
///
/// Once begun, all are hung up, even if the client disconnects.
pub(super) async fn hang_up_all(client: ApiClient) -> Result<Response, Failure> {
    // `Conference//` is one conference with an empty name, not all of them.
    if client.context.ends_nameless {
        return Err(AskError::Gone.into());
    }
    let (registry, account) = (client.state.registry.clone(), client.account.clone());
    let api_id = client.api_id;
    // Before the first room: what a crash leaves of them, it ends itself.
    let (answer, receipt) = client.receipt(reply::empty(StatusCode::NO_CONTENT));
    registry.record_answer(receipt.as_ref());
    let task = tokio::spawn(async move { hang_up_rooms(&registry, &account, api_id).await });
    task.await.map_err(|_| Failure::Internal)??;
    Ok(answer)
}

/// Asks all rooms before it waits for the first answer. A room that has ended counts as a success.
async fn hang_up_rooms(
    registry: &Registry,
    account: &AccountId,
    api_id: Uuid,
) -> Result<(), AskError> {
    let names = registry.conferences(account).into_iter();
    let ask = |name| {
        registry.ask_for(
            Some(api_id).into(),
            &RoomKey { account: account.clone(), name },
            hang_up_members(),
        )
    };
    let asked: Vec<_> = names.map(ask).collect();

    let (deadline, mut worst) = (Instant::now() + ANSWER_WAIT_MAX, Ok(()));
    for answer in asked {
        let outcome = match answer {
            Ok(answer) => timeout_at(deadline, answer).await,
            Err(AskError::Gone) => continue,
            Err(
                error @ (AskError::Busy
                | AskError::Late
                | AskError::NotStored(_)
                | AskError::Refused(_)),
            ) => {
                worst = Err(error);
                continue;
            }
        };
        match outcome {
            Ok(Ok(Ok(_) | Err(Refusal::NoMember)) | Err(_)) => (),
            Ok(Ok(Err(
                refusal @ (Refusal::Fault
                | Refusal::NoCallee
                | Refusal::NoElement { .. }
                | Refusal::TooManyBans { .. }),
            ))) => {
                worst = Err(refusal.into());
            }
            Err(_) => worst = Err(AskError::Late),
        }
    }
    worst
}

fn hang_up_members() -> Ask {
    Ask::HangUp { who: MemberSelector::All }
}
