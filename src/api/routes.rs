//! Routes: the endpoint table, and its rows by path.
//!
//! `matchit` finds the row of a path: the router inside axum's `Router`. That one would add, to each
//! request, copies of its parameters in its extensions, a clone of the route and two boxed futures:
//! together a tenth of the instructions of a kick.

use std::sync::LazyLock;

use super::{
    console,
    context::NameRanges,
    dialect::ApiDialect,
    endpoint::Endpoint,
    groups, ops,
    path_row::{PathRow, UNKNOWN},
    sim, voice,
};

/// The endpoint table: each dialect with the root of its paths and its endpoints.
pub(super) const TABLE: [(ApiDialect, &str, &[Endpoint]); 10] = [
    (ApiDialect::Plivo, "/v1/Account/{auth_id}", voice::ENDPOINTS),
    (ApiDialect::Vobiz, "/api/v1/Account/{auth_id}", voice::ENDPOINTS),
    (ApiDialect::Sim, "/sim/v1/Account/{auth_id}/Phone", sim::ENDPOINTS),
    (ApiDialect::Console, "/console", console::ENDPOINTS),
    (ApiDialect::Ops, "", ops::ENDPOINTS),
    (ApiDialect::Groups, "/groups/v1/Account/{auth_id}", groups::admin::ENDPOINTS),
    (ApiDialect::Bungie, "/Platform", groups::bungie::ENDPOINTS),
    (ApiDialect::RocketChat, "/api", groups::rocketchat::ENDPOINTS),
    (ApiDialect::Kirimin, "", groups::kirimin::ENDPOINTS),
    (ApiDialect::Capillary, "", groups::capillary::ENDPOINTS),
];

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

/// The rows of each dialect by path, in the order of [`ApiDialect::ALL`].
static ROUTERS: LazyLock<Vec<matchit::Router<&'static PathRow>>> =
    LazyLock::new(|| ApiDialect::ALL.iter().map(|it| router(*it)).collect());

fn router(dialect: ApiDialect) -> matchit::Router<&'static PathRow> {
    let mut router = matchit::Router::new();
    for path in PATHS.iter().filter(|it| it.dialect == Some(dialect)) {
        router
            .insert(path.route(), path)
            .expect("no two patterns of a dialect match the same path");
    }
    router
}

/// The row of a canonical path, or that of [`UNKNOWN`] paths, and where the path has what it names.
pub(super) fn find(dialect: ApiDialect, path: &str) -> (&'static PathRow, NameRanges) {
    let mut names = NameRanges::default();
    let Ok(found) = ROUTERS[dialect as usize].at(path) else { return (&PATHS[UNKNOWN], names) };
    let given = found.params.iter().filter(|(name, _)| *name != "auth_id");
    for (range, (_, name)) in names.iter_mut().zip(given) {
        let begin = name.as_ptr().addr() - path.as_ptr().addr();
        *range = begin..begin + name.len();
    }
    (found.value, names)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::http::{HeaderMap, Method};

    use super::*;
    use crate::api::{
        endpoint::Documented,
        openapi::Operation,
        path::{Path, TAILS},
        path_row::is_read,
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
            let is_file = pattern.ends_with(".wav") || pattern.ends_with(".mp3");
            assert_eq!(path.is_audited(method), is_file || !is_read(method), "{method} {pattern}");
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
            // The console and the groups' admin API have guides, and the vendors have documents.
            let has_own = match path.dialect {
                Some(ApiDialect::Plivo | ApiDialect::Vobiz | ApiDialect::Sim | ApiDialect::Ops)
                | None => false,
                Some(
                    ApiDialect::Console
                    | ApiDialect::Groups
                    | ApiDialect::Bungie
                    | ApiDialect::RocketChat
                    | ApiDialect::Kirimin
                    | ApiDialect::Capillary,
                ) => true,
            };
            assert_eq!(is_described, !has_own, "{method} {pattern}");
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
            if path.pattern == "/" && expected == ApiDialect::Kirimin {
                headers.insert("upgrade", "websocket".parse().unwrap());
            }
            let dialect = ApiDialect::of(&split, &headers);
            assert_eq!(dialect, expected, "{filled}");
            assert_eq!(dialect.canonical(&split, &Method::POST), filled);
            let (row, names) = find(dialect, &filled);
            assert_eq!(row.number, number, "{filled}");
            let names = names.iter().map(|it| &filled[it.clone()]).filter(|it| !it.is_empty());
            let words = path.pattern.split('/').filter_map(|it| it.strip_prefix('{'));
            let words = words.map(|it| it.split('}').next().unwrap_or_default());
            let words = words.filter(|it| *it != "auth_id");
            assert!(names.eq(words), "{filled}");
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
        let audio = row("/api/v1/Account/{auth_id}/Recording/{recording}.wav");
        let path = "/api/v1/Account/MA1/Recording/7/ wav/";
        assert_eq!(audio.names(path).to_string(), "recording=7");
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
        check("/v1/Account/{auth_id}/Recording/{recording}", "GET, HEAD, DELETE");
        check("/api/v1/Account/{auth_id}/Recording/{recording}.wav", "GET, HEAD");
        check("/sim/v1/Account/{auth_id}/Phone", "POST");
        check("/v2/userGroup2", "GET, POST");
        let calls = row("/v1/Account/{auth_id}/Call");
        let by = |method| calls.endpoint(&method).map(|it| it.method);
        assert_eq!(by(Method::HEAD), Some(&Method::GET));
        assert_eq!(by(Method::DELETE), None);
        assert!(row("/api/v1/me").endpoint(&Method::HEAD).is_none(), "that server refuses it");
    }

    #[test]
    fn every_operation_has_a_body_that_is_described_where_one_is_read() {
        let reads = |it: &Operation| it.body.as_ref().is_some_and(|(_, is_required)| *is_required);
        let listed: Vec<_> = PATHS
            .iter()
            .flat_map(|path| voice::openapi::describe(path, voice::Settings::default()))
            .collect();
        let is_voice = |it: &&(Method, String, Operation)| !it.2.id.starts_with("sim_");
        let ids = listed
            .iter()
            .filter(is_voice)
            .filter(|(.., it)| reads(it))
            .map(|(.., it)| it.id.as_str());
        let expected = ["play_to_member", "speak_to_member", "make_call", "dial_member"];
        let of_calls = ["send_digits", "play_to_call", "speak_to_call", "transfer_call"];
        let of_accounts = ["create_application", "create_endpoint"];
        let expected = expected.into_iter().chain(of_calls).chain(of_accounts);
        let expected = ["plivo", "vobiz"].map(|it| {
            let ids = expected.clone().map(move |id| format!("{it}_{id}"));
            ids.collect::<BTreeSet<_>>()
        });
        let ids: BTreeSet<_> = ids.map(str::to_owned).collect();
        assert_eq!(ids, expected.into_iter().flatten().collect());
    }
}
