//! The voice API in the document: an operation for every endpoint, in both dialects.
//!
//! [`endpoints::PATHS`] and [`Place::allow`] say which there are; [`describe`] has no way to leave one
//! out.

mod calls;
mod kick;
mod rooms;
mod terms;
mod trace;

use axum::http::Method;
use serde_json::{Value, json};

use super::{
    Settings, bodies, calls as calls_served,
    endpoints::{self, CallWish, Endpoint, Place},
};
use crate::{
    api::openapi::{Answer, Operation, Schemas, header, methods, query, uuid},
    base::ids::Dialect,
};

/// How one dialect speaks.
#[derive(Clone, Copy)]
struct Speaker {
    dialect: Dialect,
    settings: Settings,
}

/// What any of them may be refused for.
const ALWAYS: [u16; 7] = [401, 404, 408, 413, 429, 500, 503];

/// Every operation, with its method and path.
pub(in crate::api) fn list(settings: Settings) -> Vec<(Method, String, Operation)> {
    let mut listed = Vec::new();
    for dialect in [Dialect::Plivo, Dialect::Vobiz] {
        let speaker = Speaker { dialect, settings };
        let root = speaker.by("/v1/Account/{auth_id}/", "/api/v1/Account/{auth_id}/");
        for path in endpoints::PATHS {
            let segments: Vec<_> = path.split_terminator('/').collect();
            let place = Place::find(&segments).expect("the paths of the table are found");
            for method in methods(place.allow()) {
                let endpoint = place.endpoint(&method).expect("it is allowed");
                let operation = speaker.describe(endpoint, &method, path);
                listed.push((method, format!("{root}{path}"), operation));
            }
        }
    }
    listed
}

/// What they write.
pub(in crate::api) fn schemas(schemas: &mut Schemas) {
    bodies::schemas(schemas);
    calls_served::schemas(schemas);
    schemas.put_written(
        "Spawned",
        object(&[("message", one("async api spawned")), ("api_id", uuid())]),
    );
}

impl Speaker {
    fn by<T>(self, plivo: T, vobiz: T) -> T {
        match self.dialect {
            Dialect::Plivo => plivo,
            Dialect::Vobiz => vobiz,
        }
    }

    fn describe(self, endpoint: Endpoint<'_>, method: &Method, path: &str) -> Operation {
        let described = match endpoint {
            Endpoint::Bans { id, .. } => self.bans(id.is_some()),
            Endpoint::Call { wish, .. } => self.call(wish, method, path),
            Endpoint::Cancel { .. } => self.cancel(),
            Endpoint::Events => self.events(),
            Endpoint::HangUpAll => self.hang_up_all(),
            Endpoint::HangUpRoom { .. } => self.hang_up_room(),
            Endpoint::LiftBans { id, .. } => self.lift_bans(id.is_some()),
            Endpoint::List => self.list_rooms(),
            Endpoint::ListCalls => self.list_calls(),
            Endpoint::MakeCall => self.make_call(),
            Endpoint::Members { wish, .. } => self.members(wish),
            Endpoint::Record => self.record_room(method),
            Endpoint::Show { .. } => self.show_room(),
        };
        let described = described.refuses(&ALWAYS);
        let described = match *method == Method::GET {
            true => described,
            false => self.changes(described),
        };
        // As the handlers have it: these answer for themselves.
        match endpoint {
            Endpoint::Call { wish: CallWish::Record, .. } | Endpoint::Events | Endpoint::Record => {
                described
            }
            Endpoint::Bans { .. }
            | Endpoint::Call { .. }
            | Endpoint::Cancel { .. }
            | Endpoint::HangUpAll
            | Endpoint::HangUpRoom { .. }
            | Endpoint::LiftBans { .. }
            | Endpoint::List
            | Endpoint::ListCalls
            | Endpoint::MakeCall
            | Endpoint::Members { .. }
            | Endpoint::Show { .. } => self.may_answer_later(described, method),
        }
    }

    /// What all that changes something has in common.
    fn changes(self, operation: Operation) -> Operation {
        let key = json!({ "type": "string", "pattern": "^[!-~]{1,255}$" });
        let about = "Made up by the client: a request that comes again with it is done once, and \
                     has the same answer again.";
        operation.takes([header("Idempotency-Key", key, about)]).refuses(&[400, 403, 409, 504])
    }

    /// Contract 1.3: parameters in the body, or in the query of a GET.
    fn may_answer_later(self, mut operation: Operation, method: &Method) -> Operation {
        if self.dialect == Dialect::Vobiz {
            return operation;
        }
        let about = "The answer is sent there later, and this one is 202 `async api spawned`.";
        let (url, how) = (terms::url(about), terms::method());
        if *method == Method::GET {
            operation.parameters.push(query("callback_url", url, ""));
            operation.parameters.push(query("callback_method", how, ""));
        } else {
            let (mut schema, is_required) =
                operation.body.unwrap_or_else(|| (json!({ "type": "object" }), false));
            schema["properties"]["callback_url"] = url;
            schema["properties"]["callback_method"] = how;
            operation.body = Some((schema, is_required));
        }
        operation.spawns().refuses(&[400])
    }

    /// Its id, and what it stands under.
    fn operation(self, id: &str, tag: Tag, summary: &'static str) -> Operation {
        let (plivo, vobiz) = match tag {
            Tag::Calls => ("Plivo: calls", "Vobiz: calls"),
            Tag::Events => ("Plivo: events", "Vobiz: events"),
            Tag::Members => ("Plivo: members", "Vobiz: members"),
            Tag::Rooms => ("Plivo: conferences", "Vobiz: conferences"),
        };
        Operation::new(format!("{}_{id}", self.dialect), self.by(plivo, vobiz), summary)
    }
}

/// What an operation is about.
#[derive(Clone, Copy)]
enum Tag {
    Calls,
    Events,
    Members,
    Rooms,
}

/// A component.
fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// A text that is always the same.
fn one(text: &str) -> Value {
    json!({ "const": text })
}

/// An object with these keys, and no others.
fn object(keys: &[(&str, Value)]) -> Value {
    let required: Vec<_> = keys.iter().map(|(name, _)| *name).collect();
    let mut object = parameters(keys);
    object["required"] = required.into();
    object["additionalProperties"] = false.into();
    object
}

/// An object that may have these keys.
fn parameters(keys: &[(&str, Value)]) -> Value {
    let properties = keys.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone()));
    json!({ "type": "object", "properties": Value::Object(properties.collect()) })
}

/// A component whose message is known.
fn says(name: &str, message: &str) -> Value {
    let mut schema = reference(name);
    schema["properties"] = json!({ "message": one(message) });
    schema
}

fn empty() -> Answer {
    Answer::nothing("Done.")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a path can be made of: every word in the source that tells paths apart, and an id.
    fn words() -> Vec<&'static str> {
        let source = include_str!("../endpoints.rs").split("#[cfg(test)]").next().unwrap();
        let literals = source.split('"').skip(1).step_by(2);
        let is_word = |it: &&str| it.chars().all(|it| it.is_ascii_alphanumeric());
        let mut words: Vec<_> = literals.filter(is_word).chain(["1"]).collect();
        words.sort_unstable();
        words.dedup();
        words
    }

    fn fits(path: &str, below: &[&str]) -> bool {
        let shape: Vec<_> = path.split_terminator('/').collect();
        shape.len() == below.len()
            && shape.iter().zip(below).all(|(it, word)| it.starts_with('{') || it == word)
    }

    #[test]
    fn no_path_is_found_that_is_not_in_the_table() {
        /// One more than the longest has would take a minute, and find nothing.
        const SEGMENTS_MAX: u32 = 5;

        let (words, mut found) = (words(), 0);
        assert!(["Kick", "DTMF", "Stream"].iter().all(|it| words.contains(it)), "{words:?}");
        for length in 0..=SEGMENTS_MAX {
            for mut n in 0..words.len().pow(length) {
                let mut below = [""; SEGMENTS_MAX as usize];
                let below = &mut below[..length as usize];
                for segment in below.iter_mut() {
                    *segment = words[n % words.len()];
                    n /= words.len();
                }
                if Place::find(below).is_some() {
                    assert!(endpoints::PATHS.iter().any(|path| fits(path, below)), "{below:?}");
                    found += 1;
                }
            }
        }
        assert!(endpoints::PATHS.len() <= found, "{found}");
    }

    #[test]
    fn every_operation_has_a_body_that_is_described_where_one_is_read() {
        let reads = |it: &Operation| it.body.as_ref().is_some_and(|(_, is_required)| *is_required);
        let listed = list(Settings::default());
        let ids = listed.iter().filter(|(.., it)| reads(it)).map(|(.., it)| it.id.as_str());
        let expected = ["play_to_member", "speak_to_member", "make_call", "transfer_call"];
        let expected = expected.into_iter().chain(["send_digits", "play_to_call", "speak_to_call"]);
        let expected = ["plivo", "vobiz"].map(|it| {
            let ids = expected.clone().map(move |id| format!("{it}_{id}"));
            ids.collect::<std::collections::BTreeSet<_>>()
        });
        let ids: std::collections::BTreeSet<_> = ids.map(str::to_owned).collect();
        assert_eq!(ids, expected.into_iter().flatten().collect());
    }
}
