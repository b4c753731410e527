//! OpenAPI operations of the voice API, for both dialects.
//!
//! The endpoint table says which there are, and has no row without an operation.

mod calls;
mod events;
mod invite;
mod kick;
mod provisioning;
mod record;
mod recordings;
mod rooms;
mod terms;
mod trace;

use axum::http::Method;
use serde_json::{Value, json};

use super::{
    Settings, bodies, calls as calls_served, deliveries, record as recordings_started,
    recordings as recordings_served,
};
use crate::{
    api::{
        dialect::ApiDialect,
        endpoint::{AuditRule, Documented, Endpoint},
        openapi::{
            DialectDescriber, DocumentedAnswer, Operation, OperationList, Schemas, header, query,
            uuid,
        },
        path_row::PathRow,
    },
    base::ids::Dialect,
};

/// The errors of every operation.
const ALWAYS: [u16; 7] = [401, 404, 408, 413, 429, 500, 503];

/// The operations of a path of the endpoint table that this document describes.
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
        ("{recording}", "{recording_id}"),
    ];
    let is_open = path.dialect == Some(ApiDialect::Ops);
    let is_bare = is_open || path.is_file();
    let text = if is_bare { path.pattern.to_owned() } else { path.route() };
    names.iter().fold(text, |text, (name, shown)| text.replace(name, shown))
}

/// Adds the schemas of the answers.
pub(in crate::api) fn schemas(schemas: &mut Schemas) {
    bodies::schemas(schemas);
    calls_served::schemas(schemas);
    deliveries::schemas(schemas);
    recordings_started::schemas(schemas);
    recordings_served::schemas(schemas);
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
        let described = match endpoint.audit {
            AuditRule::AuditedRead | AuditRule::NotAudited => described,
            AuditRule::Audited => self.changes(described),
        };
        match endpoint.answers_itself {
            true => described,
            false => self.may_answer_later(described, endpoint.method),
        }
    }

    /// Adds what all operations that change something have in common.
    fn changes(self, operation: Operation) -> Operation {
        let key = json!({ "type": "string", "pattern": "^[!-~]{1,255}$" });
        let about = "Made up by the client: a request that comes again with it is done once, and \
                     has the same answer again.";
        operation.takes([header("Idempotency-Key", key, about)]).refuses(&[400, 403, 409, 504])
    }

    /// Adds the parameters of a deferred answer (contract 1.3), in the body or the query of a GET.
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

    /// The account itself.
    pub(in crate::api::voice) fn show_account(self) -> Operation {
        let text = || json!({ "type": "string" });
        let names =
            ["account_type", "address", "auth_id", "billing_mode", "cash_credits", "city", "name"];
        let names = names.into_iter().chain(["resource_uri", "state", "timezone"]);
        let mut keys: Vec<_> = names.map(|it| (it, text())).collect();
        keys.extend([("api_id", uuid()), ("auto_recharge", json!({ "type": "boolean" }))]);
        self.operation("show_account", Tag::Account, "Shows the account.")
            .answers(DocumentedAnswer::json(200, "The account.", object(&keys)))
    }

    /// The numbers of the account.
    pub(in crate::api::voice) fn list_numbers(self) -> Operation {
        let summary = "Lists the numbers of the configuration.";
        self.page_of("list_numbers", summary, json!({ "type": "object" }))
    }

    /// A page of a list with such objects.
    fn page_of(self, id: &str, summary: &'static str, item: Value) -> Operation {
        let objects = json!({ "type": "array", "items": item });
        let keys = [("api_id", uuid()), ("meta", reference("Meta")), ("objects", objects)];
        self.operation(id, Tag::Account, summary)
            .takes([
                query("limit", terms::number(1, 20, ""), ""),
                query("offset", terms::number(0, u32::MAX, ""), ""),
            ])
            .answers(DocumentedAnswer::json(200, "A page.", object(&keys)).with_warnings())
            .refuses(&[400])
    }

    /// An operation with the id and the heading of its dialect.
    fn operation(self, id: &str, tag: Tag, summary: &'static str) -> Operation {
        let (plivo, vobiz) = match tag {
            Tag::Account => ("Plivo: account", "Vobiz: account"),
            Tag::Calls => ("Plivo: calls", "Vobiz: calls"),
            Tag::Events => ("Plivo: events", "Vobiz: events"),
            Tag::Members => ("Plivo: members", "Vobiz: members"),
            Tag::Recordings => ("Plivo: recordings", "Vobiz: recordings"),
            Tag::Rooms => ("Plivo: conferences", "Vobiz: conferences"),
        };
        Operation::new(format!("{}_{id}", self.dialect), self.by_dialect(plivo, vobiz), summary)
    }
}

/// The section of an operation.
#[derive(Clone, Copy)]
enum Tag {
    Account,
    Calls,
    Events,
    Members,
    Recordings,
    Rooms,
}

/// A reference to a component.
fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// A constant string.
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

/// A reference to a component with a constant message.
fn says(name: &str, message: &str) -> Value {
    let mut schema = reference(name);
    schema["properties"] = json!({ "message": one(message) });
    schema
}

fn empty() -> DocumentedAnswer {
    DocumentedAnswer::nothing("Done.")
}
