//! Operations of SIP endpoints and applications.

use serde_json::{Value, json};

use super::{Tag, empty, object, one, parameters, terms};
use crate::{
    api::openapi::{DialectDescriber, DocumentedAnswer, Operation, uuid},
    base::ids::Dialect,
};

/// The errors of operations with a body.
const BODY: [u16; 2] = [400, 415];

impl DialectDescriber {
    pub(in crate::api::voice) fn list_endpoints(self) -> Operation {
        self.page_of("list_endpoints", "Lists the SIP endpoints.", self.endpoint(false))
    }

    pub(in crate::api::voice) fn show_endpoint(self) -> Operation {
        let answer = DocumentedAnswer::json(200, "The endpoint.", self.endpoint(true));
        self.operation("show_endpoint", Tag::Account, "Shows a SIP endpoint.").answers(answer)
    }

    pub(in crate::api::voice) fn create_endpoint(self) -> Operation {
        let username = json!({
            "type": "string",
            "pattern": "^[A-Za-z][A-Za-z0-9]{0,24}$",
            "description": "12 digits are appended, which the answer has.",
        });
        let mut keys = vec![("username", username)];
        keys.extend(self.endpoint_parameters());
        let mut body = parameters(&keys);
        body["required"] = json!(["username", "password", "alias"]);
        let created = object(&[
            ("alias", text()),
            ("api_id", uuid()),
            ("endpoint_id", text()),
            ("message", one("created")),
            ("username", text()),
        ]);
        self.operation("create_endpoint", Tag::Account, "Makes a SIP endpoint.")
            .about(
                "It may register as soon as the answer is there. The password is not shown again.",
            )
            .reads(body)
            .answers(DocumentedAnswer::json(201, "It is made.", created).with_warnings())
            .refuses(&BODY)
    }

    pub(in crate::api::voice) fn update_endpoint(self) -> Operation {
        let about = "With a new password, phones have to register again. Calls continue.";
        self.operation("update_endpoint", Tag::Account, "Changes a SIP endpoint.")
            .about(about)
            .reads(parameters(&self.endpoint_parameters()))
            .answers(self.changed())
            .refuses(&BODY)
    }

    pub(in crate::api::voice) fn delete_endpoint(self) -> Operation {
        let summary = "Removes a SIP endpoint. Its calls continue.";
        self.operation("delete_endpoint", Tag::Account, summary).answers(empty())
    }

    pub(in crate::api::voice) fn list_applications(self) -> Operation {
        self.page_of("list_applications", "Lists the applications.", application(false))
    }

    pub(in crate::api::voice) fn show_application(self) -> Operation {
        let answer = DocumentedAnswer::json(200, "The application.", application(true));
        self.operation("show_application", Tag::Account, "Shows an application.").answers(answer)
    }

    pub(in crate::api::voice) fn create_application(self) -> Operation {
        let mut body = parameters(&application_parameters());
        body["required"] = json!(["app_name", "answer_url"]);
        let created =
            object(&[("api_id", uuid()), ("app_id", text()), ("message", one("created"))]);
        let summary = "Makes an application: what the calls of endpoints run.";
        self.operation("create_application", Tag::Account, summary)
            .reads(body)
            .answers(DocumentedAnswer::json(201, "It is made.", created).with_warnings())
            .refuses(&BODY)
    }

    pub(in crate::api::voice) fn update_application(self) -> Operation {
        let about = "What is not given stays; an empty URL is taken away. Calls continue.";
        self.operation("update_application", Tag::Account, "Changes an application.")
            .about(about)
            .reads(parameters(&application_parameters()))
            .answers(self.changed())
            .refuses(&BODY)
    }

    pub(in crate::api::voice) fn delete_application(self) -> Operation {
        let cascade = terms::flag(true, "Whether its endpoints are removed, too.");
        let about = "The application that its endpoints get, without `cascade`.";
        let body = parameters(&[
            ("cascade", cascade),
            ("new_endpoint_application", described(text(), about)),
        ]);
        let summary = "Removes an application. Its calls continue.";
        self.operation("delete_application", Tag::Account, summary)
            .reads(body)
            .answers(empty().with_warnings())
            .refuses(&BODY)
    }

    fn changed(self) -> DocumentedAnswer {
        let changed = object(&[("api_id", uuid()), ("message", one("changed"))]);
        DocumentedAnswer::json(self.by_dialect(202, 200), "It is changed.", changed).with_warnings()
    }

    fn endpoint_parameters(self) -> [(&'static str, Value); 3] {
        let password = json!({ "type": "string", "pattern": "^[!-~]{5,128}$" });
        let about = "An `app_id` of the account: what the endpoint's calls run.";
        let application = described(text(), about);
        [
            ("password", password),
            ("alias", name()),
            (self.by_dialect("app_id", "application"), application),
        ]
    }

    fn endpoint(self, is_alone: bool) -> Value {
        let application = match self.dialect {
            Dialect::Plivo => json!({ "type": ["string", "null"] }),
            Dialect::Vobiz => json!({ "type": ["object", "null"] }),
        };
        let keys = [
            ("alias", text()),
            ("application", application),
            ("endpoint_id", text()),
            ("resource_uri", text()),
            ("sip_registered", json!({ "enum": ["true", "false"] })),
            ("sip_uri", text()),
            ("sub_account", json!({ "type": "null" })),
            ("username", text()),
        ];
        let mut endpoint = object(&with_api_id(keys, is_alone));
        for name in ["sip_contact", "sip_expires", "sip_user_agent"] {
            endpoint["properties"][name] = described(text(), "Of a registered phone.");
        }
        endpoint
    }
}

fn application(is_alone: bool) -> Value {
    let flag = || json!({ "type": "boolean" });
    let method = || json!({ "enum": ["GET", "POST"] });
    let keys = [
        ("answer_method", method()),
        ("answer_url", text()),
        ("app_id", text()),
        ("app_name", text()),
        ("application_type", one("XML")),
        ("default_app", flag()),
        ("default_endpoint_app", flag()),
        ("default_number_app", flag()),
        ("enabled", flag()),
        ("fallback_answer_url", text()),
        ("fallback_method", method()),
        ("hangup_method", method()),
        ("hangup_url", text()),
        ("log_incoming_message", flag()),
        ("message_method", method()),
        ("message_url", text()),
        ("public_uri", flag()),
        ("resource_uri", text()),
        ("sip_uri", text()),
        ("sub_account", json!({ "type": "null" })),
    ];
    object(&with_api_id(keys, is_alone))
}

fn application_parameters() -> [(&'static str, Value); 13] {
    let shown = "Shown, and without effect.";
    let default = "Endpoints that are made without an application get it.";
    [
        ("app_name", name()),
        ("answer_url", terms::document("The first document of its calls.")),
        ("answer_method", terms::method()),
        ("fallback_answer_url", terms::document("The document if the first cannot be had.")),
        ("fallback_method", terms::method()),
        ("hangup_url", terms::url("It is called when a call has ended; `answer_url` by default.")),
        ("hangup_method", terms::method()),
        ("message_url", terms::url(shown)),
        ("message_method", terms::method()),
        ("default_number_app", terms::flag(false, shown)),
        ("default_endpoint_app", terms::flag(false, default)),
        ("public_uri", terms::flag(false, "Whether trunks may call it by its SIP URI.")),
        ("log_incoming_messages", terms::flag(true, shown)),
    ]
}

fn with_api_id<const N: usize>(
    keys: [(&'static str, Value); N],
    is_alone: bool,
) -> Vec<(&'static str, Value)> {
    let id = is_alone.then(|| ("api_id", uuid()));
    keys.into_iter().chain(id).collect()
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn name() -> Value {
    json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{1,100}$" })
}

fn described(mut schema: Value, about: &str) -> Value {
    schema["description"] = about.into();
    schema
}
