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
    let page = ListPage::read(&client)?;
    let objects = page.part(&numbers).iter().map(|it| object(it)).collect();
    Ok(page.answer(&client, "Number/", numbers.len(), objects))
}

/// The page of a list that a query asks for.
pub(super) struct ListPage {
    params: RequestParams,
    limit: usize,
    offset: usize,
}

impl ListPage {
    pub(super) fn read(client: &ApiClient) -> Result<Self, Failure> {
        let params = RequestParams::of_query(client.context.query());
        let limit = params.number("limit", 1..=LIMIT_MAX)?.unwrap_or(LIMIT_MAX) as usize;
        let offset = params.number("offset", 0..=u32::MAX)?.unwrap_or(0) as usize;
        Ok(Self { params, limit, offset })
    }

    /// The part of all that is on the page.
    pub(super) fn part<'a, T>(&self, all: &'a [T]) -> &'a [T] {
        let from = self.offset.min(all.len());
        &all[from..(from + self.limit).min(all.len())]
    }

    /// The response with the objects of the page.
    pub(super) fn answer(
        self,
        client: &ApiClient,
        path: &str,
        total_count: usize,
        objects: Vec<Value>,
    ) -> Response {
        let Self { params, limit, offset } = self;
        let page =
            |at| format!("{}?{}", uri(client, path), page_query(client.context.query(), limit, at));
        let meta = Meta {
            limit,
            next: (offset + limit < total_count).then(|| page(offset + limit)),
            offset,
            previous: (0 < offset).then(|| page(offset.saturating_sub(limit))),
            total_count,
        };
        let body = json!({ "api_id": client.api_id, "meta": meta, "objects": objects });
        let warnings = Warnings::of(client, &params, &["limit", "offset"]);
        warnings.add_to(client, reply::json(StatusCode::OK, &body))
    }
}

/// The path of something below the account.
pub(super) fn uri(client: &ApiClient, rest: &str) -> String {
    let root = match client.dialect {
        Dialect::Plivo => "/v1",
        Dialect::Vobiz => "/api/v1",
    };
    format!("{root}/Account/{}/{rest}", client.account)
}
