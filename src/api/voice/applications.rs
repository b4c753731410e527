//! Endpoints of applications: `Application/[{app_id}/]`, as the vendors' SDKs use them.

use axum::{http::StatusCode, response::Response};
use serde_json::{Value, json};

use super::{
    ApiClient, InAccount,
    account::{ListPage, uri},
    params::{RequestParams, check_url},
    provisioning::{random_digits, warn_of_subaccount},
    warnings::Warnings,
};
use crate::{
    api::{
        context::{PathNames, RequestBody},
        failure::Failure,
        reply,
    },
    provisioning::{
        ApplicationChange, CallApplication, Command, EndpointsLeft, Refusal, UrlChange,
    },
};

/// Plivo's have 17 or so. With 15, a client that reads them as numbers does not round them.
const ID_DIGITS: u32 = 15;

const KNOWN: [&str; 16] = [
    "app_id",
    "app_name",
    "answer_url",
    "answer_method",
    "fallback_answer_url",
    "fallback_method",
    "hangup_url",
    "hangup_method",
    "message_url",
    "message_method",
    "default_number_app",
    "default_endpoint_app",
    "public_uri",
    "log_incoming_messages",
    "subaccount",
    "sub_account",
];

/// `GET Application/`
pub(super) async fn list(client: ApiClient) -> Result<Response, Failure> {
    let (page, table) = (ListPage::read(&client)?, client.provisioned());
    let objects = page.part(&table.applications).iter().map(|it| object(&client, it)).collect();
    Ok(page.answer(&client, "Application/", table.applications.len(), objects))
}

/// `GET Application/{app_id}/`
pub(super) async fn show(
    client: ApiClient,
    PathNames([id]): InAccount,
) -> Result<Response, Failure> {
    let table = client.provisioned();
    let application = table.application(&id).ok_or(Refusal::NoApplication)?;
    let mut body = object(&client, application);
    body["api_id"] = json!(client.api_id);
    Ok(reply::json(StatusCode::OK, &body))
}

/// `POST Application/`
pub(super) async fn create(
    client: ApiClient,
    RequestBody(body): RequestBody,
) -> Result<Response, Failure> {
    let params = client.params(&body)?;
    params.required("app_name")?;
    params.required("answer_url")?;
    let (change, warnings) = (Box::new(change(&params)?), warnings(&client, &params));
    let id = random_digits(ID_DIGITS);
    let answer = json!({ "api_id": client.api_id, "app_id": id, "message": "created" });
    let new = CallApplication::new(id, client.account.clone(), Some(client.dialect));
    let command = Command::CreateApplication { application: Box::new(new), change };
    client.provision(command, reply::json(StatusCode::CREATED, &answer), warnings).await
}

/// `POST Application/{app_id}/`
pub(super) async fn update(
    client: ApiClient,
    PathNames([id]): InAccount,
    RequestBody(body): RequestBody,
) -> Result<Response, Failure> {
    let params = client.params(&body)?;
    let (change, warnings) = (Box::new(change(&params)?), warnings(&client, &params));
    let answer = client.changed();
    client.provision(Command::ChangeApplication { id, change }, answer, warnings).await
}

/// `DELETE Application/{app_id}/`: the parameters are in the body or in the query.
pub(super) async fn delete(
    client: ApiClient,
    PathNames([id]): InAccount,
    RequestBody(body): RequestBody,
) -> Result<Response, Failure> {
    let query = RequestParams::of_query(client.context.query());
    let params = client.params(&body)?.or(query);
    let to = params.text("new_endpoint_application")?;
    let endpoints = match params.flag("cascade", true)? {
        true => EndpointsLeft::Deleted,
        false => EndpointsLeft::Moved(to.clone()),
    };
    let known = ["cascade", "new_endpoint_application", "app_id"];
    let mut warnings = Warnings::of(&client, &params, &known);
    if to.is_some() && endpoints == EndpointsLeft::Deleted {
        let why = "the endpoints are deleted: send cascade=false to move them";
        warnings.ignored("new_endpoint_application", why);
    }
    let answer = reply::empty(StatusCode::NO_CONTENT);
    client.provision(Command::DeleteApplication { id, endpoints }, answer, warnings).await
}

fn change(params: &RequestParams) -> Result<ApplicationChange, Failure> {
    let flag = |name: &str| params.has(name).then(|| params.flag(name, false)).transpose();
    Ok(ApplicationChange {
        name: params.text("app_name")?,
        answer: url(params, "answer_url", "answer_method", true)?,
        fallback: url(params, "fallback_answer_url", "fallback_method", true)?,
        hangup: url(params, "hangup_url", "hangup_method", false)?,
        message: url(params, "message_url", "message_method", false)?,
        is_number_default: flag("default_number_app")?,
        is_endpoint_default: flag("default_endpoint_app")?,
        is_public: flag("public_uri")?,
        logs_messages: flag("log_incoming_messages")?,
    })
}

/// A URL, or a local flow if it is that of a document.
fn url(
    params: &RequestParams,
    name: &str,
    method: &str,
    is_document: bool,
) -> Result<UrlChange, Failure> {
    let url = params.change(name)?;
    let is_flow = |it: &&String| is_document && it.starts_with("flow:");
    if let Some(url) = url.iter().flatten().find(|it| !is_flow(it)) {
        check_url(name, url)?;
    }
    let method = params.has(method).then(|| params.method(method)).transpose()?;
    Ok(UrlChange { url, method })
}

/// Warns about parameters without effect.
fn warnings(client: &ApiClient, params: &RequestParams) -> Warnings {
    let mut warnings = Warnings::of(client, params, &KNOWN);
    let has_message = params.text("message_url").is_ok_and(|it| it.is_some());
    if has_message {
        warnings.ignored("message_url", "there are no messages, so it is shown and never called");
    }
    if params.flag("default_number_app", false).unwrap_or_default() {
        let why = "numbers are not made by the API, so it is shown and has no effect";
        warnings.ignored("default_number_app", why);
    }
    warn_of_subaccount(params, &mut warnings);
    warnings
}

fn object(client: &ApiClient, it: &CallApplication) -> Value {
    json!({
        "answer_method": it.answer_method.text(),
        "answer_url": it.answer_url,
        "app_id": it.id,
        "app_name": it.name,
        "application_type": "XML",
        "default_app": it.is_number_default,
        "default_endpoint_app": it.is_endpoint_default,
        "default_number_app": it.is_number_default,
        "enabled": true,
        "fallback_answer_url": it.fallback_url.as_deref().unwrap_or_default(),
        "fallback_method": it.fallback_method.text(),
        "hangup_method": it.hangup_method.text(),
        "hangup_url": it.hangup(),
        "log_incoming_message": it.logs_messages,
        "message_method": it.message_method.text(),
        "message_url": it.message_url.as_deref().unwrap_or_default(),
        "public_uri": it.is_public,
        "resource_uri": uri(client, &format!("Application/{}/", it.id)),
        "sip_uri": client.sip_uri(&it.id),
        "sub_account": null,
    })
}
