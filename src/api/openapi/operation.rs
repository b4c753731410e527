//! Operations: parameters, body, answers and errors of one method at one path.

use serde_json::{Map, Value, json};

use crate::{api::forms::Settings, base::ids::Dialect};

/// The dialect and forms of the voice operations that are described.
#[derive(Clone, Copy)]
pub(in crate::api) struct DialectDescriber {
    pub(in crate::api) dialect: Dialect,
    pub(in crate::api) settings: Settings,
}

/// A method at a path.
#[derive(Clone, Debug)]
pub(in crate::api) struct Operation {
    /// Unique in the document.
    pub(in crate::api) id: String,
    /// The heading of its section.
    pub(in crate::api) tag: &'static str,
    pub(in crate::api) summary: &'static str,
    /// The longer description; empty: none.
    pub(in crate::api) about: &'static str,
    /// Parameters of the query and the headers. Those of the path come from the path.
    pub(in crate::api) parameters: Vec<Value>,
    /// The schema of a JSON body, and whether there must be one.
    pub(in crate::api) body: Option<(Value, bool)>,
    /// The successful answers.
    pub(in crate::api) answers: Vec<DocumentedAnswer>,
    /// The statuses of the errors, from [`REFUSALS`].
    pub(in crate::api) refusals: Vec<u16>,
    /// True if it takes no credentials.
    pub(in crate::api) is_open: bool,
    /// A security scheme instead of an account's credentials.
    pub(in crate::api) scheme: Option<&'static str>,
}

impl Operation {
    /// An operation without parameters and answers.
    pub(in crate::api) fn new(id: String, tag: &'static str, summary: &'static str) -> Self {
        Self {
            id,
            tag,
            summary,
            about: "",
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            refusals: Vec::new(),
            is_open: false,
            scheme: None,
        }
    }

    /// Sets the longer description.
    pub(in crate::api) fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    /// Adds parameters of the query or the headers.
    pub(in crate::api) fn takes(mut self, parameters: impl IntoIterator<Item = Value>) -> Self {
        self.parameters.extend(parameters);
        self
    }

    /// Sets the body, which is required if one of its parameters is.
    pub(in crate::api) fn reads(self, schema: Value) -> Self {
        let is_required = ["required", "anyOf"].iter().any(|it| schema.get(it).is_some());
        Self { body: Some((schema, is_required)), ..self }
    }

    /// Adds a successful answer.
    pub(in crate::api) fn answers(mut self, answer: DocumentedAnswer) -> Self {
        self.answers.push(answer);
        self
    }

    /// Adds the answer to a deferred request (contract 1.3).
    pub(in crate::api) fn spawns(mut self) -> Self {
        let spawned = json!({ "$ref": "#/components/schemas/Spawned" });
        match self.answers.iter_mut().find(|it| it.status == 202) {
            Some(DocumentedAnswer { body: Some((_, schema)), .. }) => {
                *schema = json!({ "oneOf": [schema.clone(), spawned] });
            }
            Some(DocumentedAnswer { body: None, .. }) | None => {
                self.answers.push(DocumentedAnswer::json(
                    202,
                    "The answer is sent to `callback_url`.",
                    spawned,
                ));
            }
        }
        self
    }

    /// Adds errors by their statuses.
    pub(in crate::api) fn refuses(mut self, statuses: &[u16]) -> Self {
        self.refusals.extend(statuses);
        self
    }

    /// The operation as a JSON object of OpenAPI.
    pub(super) fn write(&self, path: &str) -> Value {
        let mut parameters: Vec<_> = names_in(path).map(path_parameter).collect();
        parameters.extend(self.parameters.iter().cloned());
        let mut responses = Map::new();
        for answer in &self.answers {
            responses.insert(answer.status.to_string(), answer.write());
        }
        for status in &self.refusals {
            let name = REFUSALS.iter().find(|it| it.0 == *status).expect("it is in the table").1;
            let reference = json!({ "$ref": format!("#/components/responses/{name}") });
            responses.insert(status.to_string(), reference);
        }

        let mut written = json!({
            "operationId": self.id,
            "tags": [self.tag],
            "summary": self.summary,
            "parameters": parameters,
            "responses": responses,
        });
        if !self.about.is_empty() {
            written["description"] = self.about.into();
        }
        if let Some((schema, is_required)) = &self.body {
            let content = json!({ "application/json": { "schema": schema } });
            written["requestBody"] = json!({ "required": is_required, "content": content });
        }
        if self.is_open {
            written["security"] = json!([]);
        }
        if let Some(scheme) = self.scheme {
            written["security"] = json!([{ scheme: [] }]);
        }
        written
    }
}

/// A successful answer of an operation.
#[derive(Clone, Debug)]
pub(in crate::api) struct DocumentedAnswer {
    status: u16,
    about: &'static str,
    /// The media type and the schema; None: no body.
    body: Option<(&'static str, Value)>,
    has_warnings: bool,
}

impl DocumentedAnswer {
    /// An answer with a JSON body.
    pub(in crate::api) fn json(status: u16, about: &'static str, schema: Value) -> Self {
        Self { status, about, body: Some(("application/json", schema)), has_warnings: false }
    }

    /// An answer with a text of this media type.
    pub(in crate::api) fn text(status: u16, about: &'static str, media_type: &'static str) -> Self {
        let text = json!({ "type": "string" });
        Self { status, about, body: Some((media_type, text)), has_warnings: false }
    }

    /// A 204 without a body.
    pub(in crate::api) fn nothing(about: &'static str) -> Self {
        Self { status: 204, about, body: None, has_warnings: false }
    }

    /// Adds the header with warnings.
    pub(in crate::api) fn with_warnings(self) -> Self {
        Self { has_warnings: true, ..self }
    }

    fn write(&self) -> Value {
        let mut written = json!({ "description": self.about });
        if let Some((media_type, schema)) = &self.body {
            written["content"] = json!({ *media_type: { "schema": schema } });
        }
        if self.has_warnings {
            let about = "A parameter that had no effect, and why; one header for each.";
            let old = "The old name of `Conflow-Warning`, with the same values.";
            let schema = json!({ "type": "string" });
            written["headers"] = json!({
                "Conflow-Warning": { "description": about, "schema": schema },
                "Conflow-Remark": { "description": old, "deprecated": true, "schema": schema },
            });
        }
        written
    }
}

/// The errors: status, name and description (contracts 1.1 and 1.2).
pub(super) const REFUSALS: [(u16, &str, &str); 14] = [
    (
        400,
        "Bad",
        "A parameter, a header or the body is not as it must be, or it is not implemented yet; the text says which.",
    ),
    (401, "NoCredentials", "There are no credentials, or they are wrong."),
    (
        403,
        "ReadOnly",
        "The token is good for looking only; or the signature of a URL is wrong, or its time is over.",
    ),
    (404, "NotFound", "What the path names is not there, or is another account's."),
    (405, "WrongMethod", "The path is good for other methods, which `Allow` names."),
    (408, "TooSlow", "The body did not come in time."),
    (409, "Conflict", "It is too late for this; or the Idempotency-Key was another request's."),
    (413, "TooLarge", "The body is larger than anything that is meant."),
    (415, "MediaType", "The body is neither JSON nor a form, or it is compressed."),
    (416, "NoRange", "The range begins after the end of the file."),
    (429, "TooFast", "Too many requests of this account, or too many wrong credentials."),
    (500, "Fault", "A fault of the server: the request may have had its effect or not."),
    (503, "Unavailable", "For the moment: the engine is full, or shuts down."),
    (504, "Late", "No answer came in time: the request may have had its effect or not."),
];

/// The errors as components of the document.
pub(super) fn refusals() -> Value {
    let write = |&(status, name, about): &(u16, &str, &str)| {
        let schema = json!({ "$ref": "#/components/schemas/Error" });
        let mut written = json!({
            "description": about,
            "content": { "application/json": { "schema": schema } },
        });
        let header = match status {
            401 => Some(("WWW-Authenticate", "string", "In the Plivo dialect: Basic.")),
            405 => Some(("Allow", "string", "The methods, with commas.")),
            416 => Some(("Content-Range", "string", "The size of the file: `bytes */SIZE`.")),
            429 | 503 => Some(("Retry-After", "integer", "Seconds until it is worth another try.")),
            _ => None,
        };
        if let Some((header, kind, about)) = header {
            let schema = json!({ "type": kind });
            written["headers"] = json!({ header: { "description": about, "schema": schema } });
        }
        (name.to_owned(), written)
    };
    Value::Object(REFUSALS.iter().map(write).collect())
}

/// A parameter of the query.
pub(in crate::api) fn query(name: &str, schema: Value, about: &str) -> Value {
    json!({ "name": name, "in": "query", "description": about, "schema": schema })
}

/// A parameter in a header.
pub(in crate::api) fn header(name: &str, schema: Value, about: &str) -> Value {
    json!({ "name": name, "in": "header", "description": about, "schema": schema })
}

/// The names in braces.
fn names_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|it| it.split('}').next())
}

fn path_parameter(name: &str) -> Value {
    let (schema, about) = match name {
        "auth_id" => (json!({ "type": "string", "minLength": 1 }), "The account: `MA…` or `SA…`."),
        "app_id" => (json!({ "type": "string", "minLength": 1 }), "An application."),
        "endpoint_id" => (json!({ "type": "string", "minLength": 1 }), "A SIP endpoint."),
        "call_uuid" => (uuid(), "A call."),
        "conference_name" => {
            let schema = json!({ "type": "string", "minLength": 1, "maxLength": 256 });
            (schema, "As it stands in `<Conference>`.")
        }
        "member_id" => {
            let schema = json!({ "type": "string", "pattern": "^(all|[0-9]+(,[0-9]+)*)$" });
            (schema, "One member (`10`), some (`10,15,22`), or `all`.")
        }
        "event_id" => {
            let schema = json!({ "type": "string", "pattern": "^[0-9]{1,19}-[0-9]{1,19}$" });
            (
                schema,
                "The id of an event, as `X-Conflow-Event-Id` and the stream of events have it.",
            )
        }
        "recording_id" => (uuid(), "A recording."),
        "request_uuid" => (uuid(), "As it was answered when the call was made."),
        _ => (json!({ "type": "string", "minLength": 1 }), ""),
    };
    json!({ "name": name, "in": "path", "required": true, "description": about, "schema": schema })
}

/// An id of ours.
pub(in crate::api) fn uuid() -> Value {
    json!({ "type": "string", "format": "uuid" })
}
