//! Ceiling: a bare axum route for JSON, in a process of its own with one worker, to compare with.

use std::{
    io::{Write, stderr},
    time::Duration,
};

use anyhow::{Context, Result};
use axum::{Json, Router, routing::post};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use uuid::Uuid;

use super::{
    link::{BenchResponse, has},
    load::{LoadPace, Measurement, Workload, drive},
    process::{Process, SERVES, TempFolder, end_with_bench},
};
use crate::cli::CEILING;

#[derive(Deserialize)]
struct CeilingRequest {
    reason: Option<String>,
}

/// About the size of a response to a kick.
#[derive(Serialize)]
struct CeilingResponse {
    message: &'static str,
    member_id: &'static str,
    api_id: Uuid,
}

/// Serves until it is killed or its bench ends; prints its address to standard error.
///
/// # Errors
///
/// The server cannot start.
pub fn serve() -> Result<()> {
    end_with_bench();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("the system has no threads for it")?.block_on(async {
        let answer = async |Json(CeilingRequest { reason }): Json<CeilingRequest>| {
            let message = if reason.is_some() { "kicked for a reason" } else { "kicked" };
            Json(CeilingResponse { message, member_id: "17", api_id: Uuid::new_v4() })
        };
        let app = Router::new().route("/v1/kick/", post(answer));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        writeln!(stderr(), "{SERVES}{}\"", listener.local_addr()?)?;
        Ok(axum::serve(listener, app).await?)
    })
}

/// Measures the ceiling; returns its processor time, too.
pub(super) async fn measure(pace: LoadPace) -> Result<(Measurement, Duration)> {
    let folder = TempFolder::new()?;
    let ceiling = Process::start(&[CEILING], folder.path())?;
    let cpu = ceiling.cpu();
    let measured = drive(ceiling.http, pace, &mut CeilingWorkload).await?;
    Ok((measured, ceiling.cpu() - cpu))
}

struct CeilingWorkload;

const REQUEST: &[u8] = b"POST /v1/kick/ HTTP/1.1\r\nhost: bench\r\n\
    content-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

impl Workload for CeilingWorkload {
    fn next(&mut self, request: &mut Vec<u8>) -> Option<usize> {
        request.extend(REQUEST);
        Some(0)
    }

    fn check(&mut self, _: usize, answer: BenchResponse<'_>) -> Result<(), String> {
        match answer.status == 200 && has(answer.body, b"\"member_id\":\"17\"") {
            true => Ok(()),
            false => Err("wrong".to_owned()),
        }
    }
}
