//! What the engine is compared with: a bare axum route that takes and gives JSON, as a process of
//! its own with one worker.

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
    link::{Answer, has},
    load::{Pace, Taken, Work, drive},
    process::{Folder, Process, SERVES, end_with_bench},
};
use crate::cli::CEILING;

#[derive(Deserialize)]
struct Asked {
    reason: Option<String>,
}

/// As much as an answer to a kick has.
#[derive(Serialize)]
struct Done {
    message: &'static str,
    member_id: &'static str,
    api_id: Uuid,
}

/// Serves until it is killed, or its bench is gone; says where on the standard error.
///
/// # Errors
///
/// It cannot be served.
pub fn serve() -> Result<()> {
    end_with_bench();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("the system has no threads for it")?.block_on(async {
        let answer = async |Json(Asked { reason }): Json<Asked>| {
            let message = if reason.is_some() { "kicked for a reason" } else { "kicked" };
            Json(Done { message, member_id: "17", api_id: Uuid::new_v4() })
        };
        let app = Router::new().route("/v1/kick/", post(answer));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        writeln!(stderr(), "{SERVES}{}\"", listener.local_addr()?)?;
        Ok(axum::serve(listener, app).await?)
    })
}

/// Asks it as the engine is asked; tells the processor time it took as well.
pub(super) async fn measure(pace: Pace) -> Result<(Taken, Duration)> {
    let folder = Folder::new()?;
    let ceiling = Process::start(&[CEILING], folder.path())?;
    let cpu = ceiling.cpu();
    let taken = drive(ceiling.http, pace, &mut Bare).await?;
    Ok((taken, ceiling.cpu() - cpu))
}

struct Bare;

const REQUEST: &[u8] = b"POST /v1/kick/ HTTP/1.1\r\nhost: bench\r\n\
    content-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

impl Work for Bare {
    fn next(&mut self, request: &mut Vec<u8>) -> Option<usize> {
        request.extend(REQUEST);
        Some(0)
    }

    fn check(&mut self, _: usize, answer: Answer<'_>) -> Result<(), String> {
        match answer.status == 200 && has(answer.body, b"\"member_id\":\"17\"") {
            true => Ok(()),
            false => Err("wrong".to_owned()),
        }
    }
}
