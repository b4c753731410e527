//! Legs of a request about a call: the call itself, the callee that its `<Dial>` has connected, or both.

use tokio::time::{sleep, timeout};

use super::LOOK_EVERY;
use crate::{
    api::{
        ANSWER_WAIT_MAX,
        failure::Failure,
        voice::{ApiClient, params::RequestParams},
    },
    base::ids::CallId,
    conference::{ConferenceAnswer, Refusal},
    engine::registry::AskError,
};

/// `legs`, or `leg`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NamedLegs {
    Own,
    Callee,
    Both,
}

impl NamedLegs {
    pub(super) fn read(params: &RequestParams, name: &str) -> Result<Self, Failure> {
        Ok(match params.choice(name, &["aleg", "bleg", "both"])? {
            "bleg" => Self::Callee,
            "both" => Self::Both,
            _ => Self::Own,
        })
    }

    pub(super) fn has_own(self) -> bool {
        self != Self::Callee
    }

    pub(super) fn has_callee(self) -> bool {
        self != Self::Own
    }

    /// The calls that are meant; an error if no callee is connected and one is meant.
    pub(super) async fn calls(
        self,
        client: &ApiClient,
        call: CallId,
    ) -> Result<Vec<CallId>, Failure> {
        let mut calls = Vec::new();
        if self.has_own() {
            calls.push(call);
        }
        if self.has_callee() {
            let callee = timeout(ANSWER_WAIT_MAX, callee_of(client, call)).await;
            calls.push(callee.unwrap_or(Err(AskError::Late))?);
        }
        Ok(calls)
    }
}

/// The callee that is connected with a call; asks again while the call moves.
async fn callee_of(client: &ApiClient, call: CallId) -> Result<CallId, AskError> {
    loop {
        if let Some(answer) = client.state.registry.ask_callee(call)? {
            match answer.await {
                Ok(Ok(ConferenceAnswer::Callee(callee))) => return Ok(callee),
                Ok(Ok(
                    ConferenceAnswer::Banned { .. }
                    | ConferenceAnswer::Departures(_)
                    | ConferenceAnswer::Members(_)
                    | ConferenceAnswer::Roster(_),
                )) => unreachable!("a callee was asked for"),
                // It has left that room: ask its next owner.
                Ok(Err(Refusal::NoMember)) | Err(_) => (),
                Ok(Err(refusal)) => return Err(refusal.into()),
            }
        }
        sleep(LOOK_EVERY).await;
    }
}
