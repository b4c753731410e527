//! Account endpoints: the account, and lists of what it has. Applications ask for them at their start.

use axum::{http::StatusCode, response::Response};
use serde_json::{Value, json};

use super::{
    ApiClient,
    calls::{Meta, NO_MONEY, page_query},
    params::RequestParams,
    warnings::Warnings,
};
use crate::{
    api::{failure::Failure, reply},
    base::ids::Dialect,
};

/// The largest page of a list, and the default (contract 1).
const LIMIT_MAX: u32 = 20;

/// `GET Account/{auth_id}/`
pub(super) async fn show(client: ApiClient) -> Response {
    let account = json!({
        "account_type": "standard",
        "address": "",
        "api_id": client.api_id,
        "auth_id": client.account.as_str(),
        "auto_recharge": false,
        "billing_mode": "prepaid",
        "cash_credits": NO_MONEY,
        "city": "",
        "name": client.account.as_str(),
        "resource_uri": uri(&client, ""),
        "state": "",
        "timezone": "UTC",
    });
    reply::json(StatusCode::OK, &account)
}

/// `GET Number/`: the rows of `[[number]]`.
pub(super) async fn numbers(client: ApiClient) -> Result<Response, Failure> {
    let numbers = client.state.inbound.numbers_of(&client.account);
    let object = |number: &str| {
        json!({
            "alias": "",
            "application": null,
            "carrier": "",
            "mms_enabled": false,
            "monthly_rental_rate": NO_MONEY,
            "number": number,
            "number_type": "local",
            "region": "",
            "resource_uri": uri(&client, &format!("Number/{number}/")),
            "sms_enabled": false,
            "sub_account": null,
            "voice_enabled": true,
            "voice_rate": NO_MONEY,
        })
    };
    list(&client, "Number/", numbers.iter().map(|it| object(it)).collect())
}

/// `GET Endpoint/`: the rows of `[[endpoint]]`.
pub(super) async fn endpoints(client: ApiClient) -> Result<Response, Failure> {
    let users = (client.state.endpoints.read())(&client.account);
    let object = |user: &String| {
        json!({
            "alias": user,
            "application": null,
            "endpoint_id": user,
            "resource_uri": uri(&client, &format!("Endpoint/{user}/")),
            "sub_account": null,
            "username": user,
        })
    };
    list(&client, "Endpoint/", users.iter().map(object).collect())
}

/// `GET Application/`: there are none.
pub(super) async fn applications(client: ApiClient) -> Result<Response, Failure> {
    list(&client, "Application/", Vec::new())
}

/// A page of a list.
fn list(client: &ApiClient, path: &str, all: Vec<Value>) -> Result<Response, Failure> {
    let query = client.context.query();
    let params = RequestParams::of_query(query);
    let limit = params.number("limit", 1..=LIMIT_MAX)?.unwrap_or(LIMIT_MAX) as usize;
    let offset = params.number("offset", 0..=u32::MAX)?.unwrap_or(0) as usize;
    let page = |at| format!("{}?{}", uri(client, path), page_query(query, limit, at));
    let meta = Meta {
        limit,
        next: (offset + limit < all.len()).then(|| page(offset + limit)),
        offset,
        previous: (0 < offset).then(|| page(offset.saturating_sub(limit))),
        total_count: all.len(),
    };
    let objects: Vec<_> = all.into_iter().skip(offset).take(limit).collect();
    let body = json!({ "api_id": client.api_id, "meta": meta, "objects": objects });
    let warnings = Warnings::of(client, &params, &["limit", "offset"]);
    Ok(warnings.add_to(client, reply::json(StatusCode::OK, &body)))
}

/// The path of something below the account.
fn uri(client: &ApiClient, rest: &str) -> String {
    let root = match client.dialect {
        Dialect::Plivo => "/v1",
        Dialect::Vobiz => "/api/v1",
    };
    format!("{root}/Account/{}/{rest}", client.account)
}
