//! Endpoints of SIP endpoints: `Endpoint/[{endpoint_id}/]`, as the vendors' SDKs use them.

use axum::{http::StatusCode, response::Response};
use serde_json::{Value, json};

use super::{
    ApiClient, InAccount,
    account::{ListPage, uri},
    params::RequestParams,
    provisioning::{random_digits, warn_of_subaccount},
    warnings::Warnings,
};
use crate::{
    api::{
        context::{PathNames, RequestBody},
        failure::Failure,
        reply,
    },
    base::{ids::Dialect, utc},
    provisioning::{
        Command, EndpointChange, EndpointEntry, EndpointPassword, ProvisioningTable, Refusal,
        RegisteredPhone,
    },
};

/// As many as Plivo appends to a username. Nobody guesses them, and they do not clash.
const USERNAME_DIGITS: u32 = 12;

/// As many as Plivo's `endpoint_id` has.
const ID_DIGITS: u32 = 14;

const KNOWN: [&str; 7] =
    ["username", "password", "alias", "app_id", "application", "subaccount", "sub_account"];

/// `GET Endpoint/`
pub(super) async fn list(client: ApiClient) -> Result<Response, Failure> {
    let (page, table) = (ListPage::read(&client)?, client.provisioned());
    let part = page.part(&table.endpoints);
    let phones = client.phones(part.iter().map(|it| it.user.clone()).collect()).await;
    let objects = part.iter().zip(phones);
    let objects = objects.map(|(it, phone)| object(&client, &table, it, phone)).collect();
    Ok(page.answer(&client, "Endpoint/", table.endpoints.len(), objects))
}

/// `GET Endpoint/{endpoint_id}/`
pub(super) async fn show(
    client: ApiClient,
    PathNames([id]): InAccount,
) -> Result<Response, Failure> {
    let table = client.provisioned();
    let entry = table.endpoint(&id).ok_or(Refusal::NoEndpoint)?;
    let phone = client.phones(vec![entry.user.clone()]).await.pop().flatten();
    let mut body = object(&client, &table, entry, phone);
    body["api_id"] = json!(client.api_id);
    Ok(reply::json(StatusCode::OK, &body))
}

/// `POST Endpoint/`
pub(super) async fn create(
    client: ApiClient,
    RequestBody(body): RequestBody,
) -> Result<Response, Failure> {
    let params = read(&client, &body)?;
    let username = params.required("username")?;
    let password = params.verbatim("password")?;
    let password = password.ok_or_else(|| Failure::Bad("password: missing".to_owned()))?;
    let alias = params.required("alias")?;
    let application = application(&params)?.flatten();
    let mut warnings = Warnings::of(&client, &params, &KNOWN);
    warn_of_subaccount(&params, &mut warnings);

    let (id, digits) = (random_digits(ID_DIGITS), random_digits(USERNAME_DIGITS));
    let answer = json!({
        "alias": alias,
        "api_id": client.api_id,
        "endpoint_id": id,
        "message": "created",
        "username": format!("{username}{digits}"),
    });
    let password = EndpointPassword(password);
    let command = Command::CreateEndpoint { id, username, digits, password, alias, application };
    client.provision(command, reply::json(StatusCode::CREATED, &answer), warnings).await
}

/// `POST Endpoint/{endpoint_id}/`
pub(super) async fn update(
    client: ApiClient,
    PathNames([id]): InAccount,
    RequestBody(body): RequestBody,
) -> Result<Response, Failure> {
    let params = read(&client, &body)?;
    let change = EndpointChange {
        password: params.verbatim("password")?.map(EndpointPassword),
        alias: params.text("alias")?,
        application: application(&params)?,
    };
    let mut warnings = Warnings::of(&client, &params, &[&KNOWN[..], &["endpoint_id"]].concat());
    if params.has("username") {
        warnings.ignored("username", "an endpoint keeps its username: make another endpoint");
    }
    warn_of_subaccount(&params, &mut warnings);
    let answer = client.changed();
    client.provision(Command::ChangeEndpoint { id, change }, answer, warnings).await
}

/// `DELETE Endpoint/{endpoint_id}/`
pub(super) async fn delete(
    client: ApiClient,
    PathNames([id]): InAccount,
) -> Result<Response, Failure> {
    let answer = reply::empty(StatusCode::NO_CONTENT);
    client.provision(Command::DeleteEndpoint { id }, answer, Warnings::default()).await
}

/// The parameters of a request that has a password. It is not answered later: the password would be
/// in the state log until then.
fn read(client: &ApiClient, body: &[u8]) -> Result<RequestParams, Failure> {
    let params = client.params(body)?;
    match client.dialect == Dialect::Plivo && params.has("callback_url") {
        true => Err(Failure::Bad(
            "callback_url: this request is answered at once, since its password must not be kept: \
             leave the callback_url out"
                .to_owned(),
        )),
        false => Ok(params),
    }
}

/// `app_id` of Plivo, `application` of Vobiz.
fn application(params: &RequestParams) -> Result<Option<Option<String>>, Failure> {
    match params.change("app_id")? {
        Some(id) => Ok(Some(id)),
        None => params.change("application"),
    }
}

fn object(
    client: &ApiClient,
    table: &ProvisioningTable,
    entry: &EndpointEntry,
    phone: Option<RegisteredPhone>,
) -> Value {
    let EndpointEntry { id, user, alias, application, is_fixed: _ } = entry;
    let application = application.as_ref().and_then(|it| table.application(it));
    let application = application.map(|it| match client.dialect {
        Dialect::Plivo => json!(uri(client, &format!("Application/{}/", it.id))),
        Dialect::Vobiz => json!({
            "answer_method": it.answer_method.text(),
            "answer_url": it.answer_url,
            "app_id": it.id,
            "app_name": it.name,
        }),
    });
    let mut object = json!({
        "alias": alias,
        "application": application,
        "endpoint_id": id,
        "resource_uri": uri(client, &format!("Endpoint/{id}/")),
        "sip_registered": phone.is_some().to_string(),
        "sip_uri": client.sip_uri(user),
        "sub_account": null,
        "username": user,
    });
    if let Some(RegisteredPhone { contact, user_agent, ends_at }) = phone {
        object["sip_contact"] = json!(contact);
        object["sip_expires"] = json!(utc::seconds(ends_at));
        object["sip_user_agent"] = json!(user_agent);
    }
    object
}
