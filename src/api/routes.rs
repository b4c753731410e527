//! Routes: the endpoint table, and its rows by path.

use std::{
    borrow::Cow,
    fmt::{self, Display},
    sync::LazyLock,
};

use axum::http::Method;

use super::{
    dialect::ApiDialect,
    endpoint::{Action, Endpoint},
    groups, ops, sim, voice,
};

/// The endpoint table: by dialect, with the root of its paths.
pub(super) const TABLE: [(ApiDialect, &str, &[Endpoint]); 9] = [
    (ApiDialect::Plivo, "/v1/Account/{auth_id}", voice::ENDPOINTS),
    (ApiDialect::Vobiz, "/api/v1/Account/{auth_id}", voice::ENDPOINTS),
    (ApiDialect::Sim, "/sim/v1/Account/{auth_id}/Phone", sim::ENDPOINTS),
    (ApiDialect::Ops, "", ops::ENDPOINTS),
    (ApiDialect::Groups, "/groups/v1/Account/{auth_id}", groups::admin::ENDPOINTS),
    (ApiDialect::Bungie, "/Platform", groups::bungie::ENDPOINTS),
    (ApiDialect::RocketChat, "/api", groups::rocketchat::ENDPOINTS),
    (ApiDialect::Kirimin, "", groups::kirimin::ENDPOINTS),
    (ApiDialect::Capillary, "", groups::capillary::ENDPOINTS),
];

/// A path of one dialect, with its endpoints.
#[derive(Debug)]
pub(super) struct PathRow {
    /// Its index in [`PATHS`].
    pub(super) number: usize,
    /// None of the row that stands for all paths that name nothing.
    pub(super) dialect: Option<ApiDialect>,
    /// The label in metrics and audit lines; `{name}` stands for what differs.
    pub(super) pattern: &'static str,
    /// The methods, as `Allow` has them.
    pub(super) allow: &'static str,
    pub(super) endpoints: Vec<&'static Endpoint>,
}

/// The number of the row for paths that name nothing.
pub(super) const UNKNOWN: usize = 0;

/// Every path. The first one is [`UNKNOWN`].
pub(super) static PATHS: LazyLock<Vec<PathRow>> = LazyLock::new(|| {
    let (pattern, allow, endpoints) = ("unknown", "", Vec::new());
    let mut paths = vec![PathRow { number: UNKNOWN, dialect: None, pattern, allow, endpoints }];
    for (dialect, root, endpoints) in &TABLE {
        for endpoint in *endpoints {
            let pattern = format!("{root}{}", endpoint.pattern);
            let is_it = |it: &&mut PathRow| it.dialect == Some(*dialect) && it.pattern == pattern;
            if let Some(path) = paths.iter_mut().find(is_it) {
                path.endpoints.push(endpoint);
                continue;
            }
            let (number, pattern) = (paths.len(), pattern.leak());
            let (dialect, endpoints) = (Some(*dialect), vec![endpoint]);
            paths.push(PathRow { number, dialect, pattern, allow: "", endpoints });
        }
    }
    for path in &mut paths {
        path.allow = path.methods().join(", ").leak();
    }
    paths
});

impl PathRow {
    /// As axum's router has it: the canonical path, with its last slash.
    pub(super) fn route(&self) -> String {
        format!("{}/", self.pattern.trim_end_matches('/'))
    }

    /// As metrics have it.
    pub(super) fn api(&self) -> &'static str {
        self.dialect.map_or("none", ApiDialect::label)
    }

    /// HEAD is good wherever GET is, but for the vendors whose servers refuse it.
    fn methods(&self) -> Vec<&'static str> {
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

    /// The row of the endpoint table that a method means here.
    pub(super) fn endpoint(&self, method: &Method) -> Option<&'static Endpoint> {
        let is_head = *method == Method::HEAD && self.takes_head();
        let method = if is_head { &Method::GET } else { method };
        self.endpoints.iter().find(|it| it.method == method).copied()
    }

    /// Whether a request has a line in the audit. One with a method that the path does not know
    /// was meant to change something, if the method is not for looking.
    pub(super) fn is_audited(&self, method: &Method) -> bool {
        match self.endpoint(method) {
            Some(endpoint) => endpoint.action == Action::Changes,
            None => self.number != UNKNOWN && !is_read(method),
        }
    }

    /// What a path names, except the account and secrets: `name=weekly members=1,4`.
    pub(super) fn names<'a>(&'static self, path: &'a str) -> impl Display + use<'a> {
        fmt::from_fn(move |f| {
            let mut gap = "";
            for (segment, given) in segments(self.pattern).zip(segments(path)) {
                if segment.starts_with('{') && segment != "{auth_id}" && segment != SECRET {
                    let name = segment.trim_matches(['{', '}']);
                    [gap, name, "=", given].into_iter().try_for_each(|it| f.write_str(it))?;
                    gap = " ";
                }
            }
            Ok(())
        })
    }

    /// A path as it may stand in a log.
    pub(super) fn shown<'a>(&self, path: &'a str) -> Cow<'a, str> {
        match segments(self.pattern).any(|it| it == SECRET) {
            true => self.pattern.into(),
            false => path.into(),
        }
    }
}

/// Whether a method of ours changes nothing.
pub(super) fn is_read(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

/// Lets in whoever knows it, so no log has it.
const SECRET: &str = "{secret}";

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|it| !it.is_empty())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::http::HeaderMap;

    use super::*;
    use crate::api::{
        endpoint::Documented,
        path::{Path, TAILS},
    };

    fn endpoints() -> impl Iterator<Item = (&'static PathRow, &'static Endpoint)> {
        PATHS.iter().flat_map(|path| path.endpoints.iter().map(move |it| (path, *it)))
    }

    fn row(pattern: &str) -> &'static PathRow {
        PATHS.iter().find(|it| it.pattern == pattern).unwrap()
    }

    #[test]
    fn every_endpoint_that_may_change_something_is_audited_and_no_other() {
        for (path, endpoint) in endpoints() {
            let (method, pattern) = (endpoint.method, path.pattern);
            assert_eq!(path.is_audited(method), !is_read(method), "{method} {pattern}");
        }
        let kick = row("/v1/Account/{auth_id}/Conference/{name}/Member/{members}/Kick");
        assert!(kick.is_audited(&Method::PATCH) && !kick.is_audited(&Method::OPTIONS));
        assert!(!PATHS[UNKNOWN].is_audited(&Method::POST), "it names nothing");
    }

    #[test]
    fn every_endpoint_of_ours_is_described() {
        for (path, endpoint) in endpoints() {
            let (method, pattern) = (endpoint.method, path.pattern);
            let is_described = match endpoint.operation {
                Documented::ByVendor => false,
                Documented::Here(_) | Documented::Voice(_) => true,
            };
            // The groups' admin API has a guide, and the vendors have documents of their own.
            let is_of_groups = match path.dialect {
                Some(ApiDialect::Plivo | ApiDialect::Vobiz | ApiDialect::Sim | ApiDialect::Ops)
                | None => false,
                Some(
                    ApiDialect::Groups
                    | ApiDialect::Bungie
                    | ApiDialect::RocketChat
                    | ApiDialect::Kirimin
                    | ApiDialect::Capillary,
                ) => true,
            };
            assert_eq!(is_described, !is_of_groups, "{method} {pattern}");
        }
    }

    #[test]
    fn every_path_has_a_label_of_its_own_and_comes_to_its_router() {
        let labels: BTreeSet<_> = PATHS.iter().map(|it| (it.api(), it.pattern)).collect();
        assert_eq!(labels.len(), PATHS.len(), "two paths have one label");
        for (number, path) in PATHS.iter().enumerate() {
            assert_eq!(path.number, number);
            let Some(expected) = path.dialect else { continue };
            assert!(!path.pattern.is_empty() && !path.allow.is_empty());
            let filled = path.route().replace(['{', '}'], "");
            let split = Path::split(&filled).unwrap();
            let mut headers = HeaderMap::new();
            if path.pattern == "/" {
                headers.insert("upgrade", "websocket".parse().unwrap());
            }
            let dialect = ApiDialect::of(&split, &headers);
            assert_eq!(dialect, expected, "{filled}");
            assert_eq!(dialect.canonical(&split), filled);
        }
    }

    #[test]
    fn what_may_follow_the_name_of_a_conference_is_what_the_table_has() {
        let root = "/v1/Account/{auth_id}/Conference/{name}/";
        let tails = PATHS.iter().filter_map(|it| it.pattern.strip_prefix(root));
        let word = |it| if str::starts_with(it, '{') { "" } else { it };
        let tails: BTreeSet<Vec<_>> = tails.map(|it| it.split('/').map(word).collect()).collect();
        assert_eq!(tails, TAILS.iter().map(|it| it.to_vec()).collect());
    }

    #[test]
    fn a_path_is_audited_with_what_it_names_and_without_secrets() {
        let kick = row("/v1/Account/{auth_id}/Conference/{name}/Member/{members}/Kick");
        let path = "//v1/Account/MA1/Conference/a%20b/Member/1,4/Kick/";
        assert_eq!(kick.names(path).to_string(), "name=a%20b members=1,4");
        assert_eq!(kick.shown(path), path);
        let invite = row("/invite/{secret}");
        assert_eq!(invite.names("/invite/let-me-in").to_string(), "");
        assert_eq!(invite.shown("/invite/let-me-in"), "/invite/{secret}");
    }

    #[test]
    fn a_path_allows_the_methods_of_its_rows() {
        let check = |pattern, expected| assert_eq!(row(pattern).allow, expected, "{pattern}");
        check("/v1/Account/{auth_id}/Conference", "GET, HEAD, DELETE");
        check("/api/v1/Account/{auth_id}/Call/{call_uuid}", "GET, HEAD, POST, DELETE");
        check("/v1/Account/{auth_id}/Call/{call_uuid}/Trace", "GET, HEAD");
        check("/sim/v1/Account/{auth_id}/Phone", "POST");
        check("/v2/userGroup2", "GET, POST");
        let calls = row("/v1/Account/{auth_id}/Call");
        let by = |method| calls.endpoint(&method).map(|it| it.method);
        assert_eq!(by(Method::HEAD), Some(&Method::GET));
        assert_eq!(by(Method::DELETE), None);
        assert!(row("/api/v1/me").endpoint(&Method::HEAD).is_none(), "that server refuses it");
    }
}
