//! Dial events of an events file: reads them, and says which calls they make.

use std::{sync::Arc, time::SystemTime};

use serde_json::{Map, Value as Json};
use toml::Value;

use super::{
    Script, ScriptAction, ScriptCaller, ScriptInvitation, fields::ScriptFields, report::id,
};
use crate::{
    api::voice::member_terms,
    base::ids::Trusted,
    call::{CallDirection, CallSession, Party},
    engine::invite::InvitedCallee,
    flow::DESTINATIONS_MAX,
};

/// The parameters of the request that an events file may give as they are.
const PARAMS: [&str; 15] = [
    "ring_timeout",
    "time_limit",
    "confirm_key",
    "confirm_sound",
    "confirm_timeout",
    "muted",
    "stay_alone",
    "start_conference_on_enter",
    "end_conference_on_exit",
    "hangup_on_star",
    "enter_sound",
    "exit_sound",
    "digits_match",
    "on_exit_action_url",
    "on_exit_action_method",
];

/// The number that is shown as the caller, if the row gives none.
const FROM: &str = "15550009999";

impl Script {
    /// Reads `dial = "NAME"` or `dial = ["NAME", …]`, and adds them to the callers.
    pub(super) fn dial(&mut self, fields: &mut ScriptFields) -> Result<ScriptAction, String> {
        let names = names(fields)?;
        let room = fields.room("room")?.ok_or("room: say into which conference")?;
        let from: Arc<str> = fields.text("from")?.map_or_else(|| FROM.into(), Arc::from);
        let to = per_name(fields, "to", names.len())?;
        let users = per_name(fields, "user", names.len())?;
        let digits = fields.text("send_digits")?;
        let is_key = |it: char| matches!(it, '0'..='9' | '*' | '#' | 'w' | 'W');
        if digits.as_ref().is_some_and(|it| !it.chars().all(is_key)) {
            return Err("send_digits: write 0-9 * # w W".to_owned());
        }
        let caller_name = fields.text("caller_name")?.map(Arc::from);
        let mut params = Map::new();
        for name in PARAMS {
            let Some(value) = fields.take(name) else { continue };
            let value: Json = serde_json::to_value(value).map_err(|it| format!("{name}: {it}"))?;
            params.insert(name.to_owned(), value);
        }
        let (terms, flow) = member_terms(params, &room, self.dialect)?;
        let mut callees = Vec::new();
        for (n, name) in names.into_iter().enumerate() {
            self.check_new(&name, "dial")?;
            callees.push(self.callers.len());
            // Somebody without a phone of their own rings for two seconds and answers.
            let to = to.get(n).cloned().unwrap_or_else(|| name.clone());
            let user = users.get(n).cloned();
            let caller = ScriptCaller {
                name,
                from: Some(from.clone()),
                to: Some(to),
                user,
                ..ScriptCaller::default()
            };
            self.callers.push(ScriptCaller {
                caller_name: caller_name.clone(),
                is_dialled: true,
                ..caller
            });
        }
        let (terms, flow, digits) = (Arc::new(terms), Arc::new(flow), digits.map(Arc::from));
        let invitation = ScriptInvitation { room, callees, terms, flow, digits };
        Ok(ScriptAction::Dial(Box::new(invitation)))
    }
}

fn names(fields: &mut ScriptFields) -> Result<Vec<Arc<str>>, String> {
    let names: Option<Vec<Arc<str>>> = match fields.take("dial") {
        Some(Value::String(name)) => Some(vec![name.into()]),
        Some(Value::Array(names)) => names.iter().map(|it| it.as_str().map(Arc::from)).collect(),
        Some(_) | None => None,
    };
    let wanted = || format!("dial: give a new name, or [several], {DESTINATIONS_MAX} at most");
    let is_good = |it: &Vec<Arc<str>>| {
        (1..=DESTINATIONS_MAX).contains(&it.len()) && it.iter().all(|it| !it.is_empty())
    };
    names.filter(is_good).ok_or_else(wanted)
}

/// A text with a part for each name, with `<` between them, as in the API.
fn per_name(fields: &mut ScriptFields, name: &str, names: usize) -> Result<Vec<Arc<str>>, String> {
    let Some(text) = fields.text(name)? else { return Ok(Vec::new()) };
    let parts: Vec<Arc<str>> = text.split('<').map(|it| it.trim().into()).collect();
    match parts.len() == names && parts.iter().all(|it| !it.is_empty()) {
        true => Ok(parts),
        false => Err(format!("{name}: give one for each who is dialled, with < between them")),
    }
}

/// The calls that an invitation makes.
pub(super) fn calls(invitation: &ScriptInvitation, script: &Script) -> Vec<InvitedCallee> {
    let call = |n: &usize| {
        let ScriptCaller { from, to, user, caller_name, .. } = script.callers[*n].clone();
        let party = Party {
            from: from.unwrap_or_default(),
            to: to.unwrap_or_default(),
            caller_name: caller_name.unwrap_or_default(),
            direction: CallDirection::Outbound,
            dialect: script.dialect,
            trusted: user.as_deref().and_then(Trusted::user).map(Box::new),
            session: CallSession::at(SystemTime::UNIX_EPOCH),
        };
        InvitedCallee { call: id(*n), party, digits: invitation.digits.clone() }
    };
    invitation.callees.iter().map(call).collect()
}
