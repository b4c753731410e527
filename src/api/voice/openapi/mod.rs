//! The voice API in the document: an operation for every endpoint, in both dialects.
//!
//! The endpoint table says which there are, and has no row without an operation.

mod calls;
mod kick;
mod rooms;
mod terms;
mod trace;

use axum::http::Method;
use serde_json::{Value, json};

use super::{Settings, bodies, calls as calls_served};
use crate::{
    api::{
        dialect::ApiDialect,
        endpoint::{Action, Documented, Endpoint},
        openapi::{
            DialectDescriber, DocumentedAnswer, Operation, OperationList, Schemas, header, query,
            uuid,
        },
        routes::PathRow,
    },
    base::ids::Dialect,
};

/// What any of them may be refused for.
const ALWAYS: [u16; 7] = [401, 404, 408, 413, 429, 500, 503];

/// The operations of a path of the endpoint table, as far as they are described here.
pub(in crate::api) fn describe(path: &PathRow, settings: Settings) -> OperationList {
    let mut listed = Vec::new();
    for endpoint in &path.endpoints {
        let operation = match endpoint.operation {
            Documented::ByVendor => continue,
            Documented::Here(operation) => operation(),
            Documented::Voice(describe) => {
                let dialect = path.dialect.map_or(Dialect::Plivo, ApiDialect::voice);
                let describer = DialectDescriber { dialect, settings };
                describer.complete(endpoint, describe(describer))
            }
        };
        listed.push((endpoint.method.clone(), documented(path), operation));
    }
    listed
}

/// The path, with the names that its parameters have in the document.
fn documented(path: &PathRow) -> String {
    let names = [
        ("{name}", "{conference_name}"),
        ("{members}", "{member_id}"),
        ("{ban}", "{ban_id}"),
        ("{stream}", "{stream_id}"),
    ];
    let is_open = path.dialect == Some(ApiDialect::Ops);
    let text = if is_open { path.pattern.to_owned() } else { path.route() };
    names.iter().fold(text, |text, (name, shown)| text.replace(name, shown))
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

impl DialectDescriber {
    fn by_dialect<T>(self, plivo: T, vobiz: T) -> T {
        match self.dialect {
            Dialect::Plivo => plivo,
            Dialect::Vobiz => vobiz,
        }
    }

    /// Adds what all operations of the voice API have in common.
    fn complete(self, endpoint: &Endpoint, operation: Operation) -> Operation {
        let described = operation.refuses(&ALWAYS);
        let described = match endpoint.action {
            Action::Reads => described,
            Action::Changes => self.changes(described),
        };
        match endpoint.answers_itself {
            true => described,
            false => self.may_answer_later(described, endpoint.method),
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
        Operation::new(format!("{}_{id}", self.dialect), self.by_dialect(plivo, vobiz), summary)
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

fn empty() -> DocumentedAnswer {
    DocumentedAnswer::nothing("Done.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::routes::PATHS;

    #[test]
    fn every_operation_has_a_body_that_is_described_where_one_is_read() {
        let reads = |it: &Operation| it.body.as_ref().is_some_and(|(_, is_required)| *is_required);
        let listed: Vec<_> =
            PATHS.iter().flat_map(|path| describe(path, Settings::default())).collect();
        let is_voice = |it: &&(Method, String, Operation)| !it.2.id.starts_with("sim_");
        let ids = listed
            .iter()
            .filter(is_voice)
            .filter(|(.., it)| reads(it))
            .map(|(.., it)| it.id.as_str());
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
