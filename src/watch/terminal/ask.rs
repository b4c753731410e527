//! Queries of the watch, as requests to the API.

use anyhow::{Context, Result};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    client::server::ServerClient,
    watch::{Query, QueryResult, answers::WatchedPhone},
};

/// Sends a query and waits for its response.
pub(super) async fn ask(client: &ServerClient, query: &Query) -> Result<QueryResult> {
    let account = &client.account;
    let voice = format!("/api/v1/Account/{account}/Conference/");
    Ok(match query {
        Query::Rooms => {
            let rooms = client.get(&voice).await?;
            QueryResult::Rooms(rooms.context("the server knows no such API: is it a conflow?")?)
        }
        Query::Roster(name) => {
            let name = utf8_percent_encode(name.as_str(), NON_ALPHANUMERIC);
            QueryResult::Roster(client.get(&format!("{voice}{name}/")).await?)
        }
        Query::Phone(call) => {
            let path = format!("/sim/v1/Account/{account}/Phone/{call}/");
            QueryResult::Phone(client.get::<WatchedPhone>(&path).await?)
        }
    })
}
