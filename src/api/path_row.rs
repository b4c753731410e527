//! Path rows: the endpoints of one path, its metrics label, and its audit lines.

use std::{
    borrow::Cow,
    fmt::{self, Display},
};

use axum::http::Method;

use super::{
    dialect::ApiDialect,
    endpoint::{AuditRule, Endpoint},
};

/// A path of one dialect, with its endpoints.
#[derive(Debug)]
pub(super) struct PathRow {
    /// Its index in [`PATHS`](super::routes::PATHS).
    pub(super) number: usize,
    /// None in the row for unknown paths.
    pub(super) dialect: Option<ApiDialect>,
    /// The label in metrics and audit lines; `{name}` stands for what differs.
    pub(super) pattern: &'static str,
    /// The methods of the path, as the `Allow` header lists them.
    pub(super) allow: &'static str,
    pub(super) endpoints: Vec<&'static Endpoint>,
}

/// The number of the row for unknown paths.
pub(super) const UNKNOWN: usize = 0;

impl PathRow {
    /// The pattern for the router: canonical, with a slash at the end. The extension of a file is a
    /// segment of its own, as
    /// [`with_extension`](super::path::with_extension) makes it.
    pub(super) fn route(&self) -> String {
        let pattern = self.pattern.trim_end_matches('/');
        match pattern.split_once("}.") {
            Some((name, extension)) => format!("{name}}}/ {extension}/"),
            None => format!("{pattern}/"),
        }
    }

    /// Whether the path is that of a file, whose name has an extension and no slash at the end.
    pub(super) fn is_file(&self) -> bool {
        self.pattern.contains("}.")
    }

    /// Whether a signature in the query is as good as credentials.
    pub(super) fn takes_signature(&self) -> bool {
        self.endpoints.iter().any(|it| it.takes_signature)
    }

    /// The value of the label `api` in metrics.
    pub(super) fn api(&self) -> &'static str {
        self.dialect.map_or("none", ApiDialect::label)
    }

    /// HEAD works wherever GET does, except for the vendors whose servers refuse it.
    pub(super) fn methods(&self) -> Vec<&'static str> {
        let has = |method: &Method| self.endpoints.iter().any(|it| it.method == method);
        let known = [
            ("GET", has(&Method::GET)),
            ("HEAD", has(&Method::GET) && self.takes_head()),
            ("POST", has(&Method::POST)),
            ("DELETE", has(&Method::DELETE)),
        ];
        known.iter().filter(|(_, is_there)| *is_there).map(|(method, _)| *method).collect()
    }

    fn takes_head(&self) -> bool {
        match self.dialect {
            Some(
                ApiDialect::Plivo
                | ApiDialect::Vobiz
                | ApiDialect::Sim
                | ApiDialect::Console
                | ApiDialect::Ops
                | ApiDialect::Groups,
            ) => true,
            Some(
                ApiDialect::Bungie
                | ApiDialect::RocketChat
                | ApiDialect::Kirimin
                | ApiDialect::Capillary,
            )
            | None => false,
        }
    }

    /// The endpoint of a method; None if the path does not have the method.
    pub(super) fn endpoint(&self, method: &Method) -> Option<&'static Endpoint> {
        let is_head = *method == Method::HEAD && self.takes_head();
        let method = if is_head { &Method::GET } else { method };
        self.endpoints.iter().find(|it| it.method == method).copied()
    }

    /// Whether a request has an audit line. A method that the path does not have counts as a change,
    /// unless it only reads.
    pub(super) fn is_audited(&self, method: &Method) -> bool {
        match self.endpoint(method) {
            Some(endpoint) => match endpoint.audit {
                AuditRule::Audited | AuditRule::AuditedRead => true,
                AuditRule::NotAudited => false,
            },
            None => self.number != UNKNOWN && !is_read(method),
        }
    }

    /// What a path names, except the account and secrets: `name=weekly members=1,4`.
    pub(super) fn names<'a>(&'static self, path: &'a str) -> impl Display + use<'a> {
        fmt::from_fn(move |f| {
            let mut gap = "";
            for (segment, given) in segments(self.pattern).zip(segments(path)) {
                if segment.starts_with('{') && segment != "{auth_id}" && segment != SECRET {
                    let name =
                        segment.trim_start_matches('{').split('}').next().unwrap_or_default();
                    [gap, name, "=", given].into_iter().try_for_each(|it| f.write_str(it))?;
                    gap = " ";
                }
            }
            Ok(())
        })
    }

    /// Whether a path, as the client sent it, has more segments than the pattern.
    pub(super) fn is_longer(&self, path: &str) -> bool {
        segments(self.pattern).count() < segments(path).count()
    }

    /// The path for a log line, without secrets.
    pub(super) fn shown<'a>(&self, path: &'a str) -> Cow<'a, str> {
        match segments(self.pattern).any(|it| it == SECRET) {
            true => self.pattern.into(),
            false => path.into(),
        }
    }
}

/// Whether a method only reads.
pub(super) fn is_read(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

/// A parameter that works as a password, so no log shows it.
const SECRET: &str = "{secret}";

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|it| !it.is_empty())
}
