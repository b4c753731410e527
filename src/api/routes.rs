//! What a path is called where paths are too many: in metrics and audit lines.

use std::{
    array,
    borrow::Cow,
    fmt::{self, Display},
    sync::LazyLock,
};

use super::path::{Path, SEGMENTS_MAX};

/// An endpoint, of one API.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Route {
    /// Whose manners it has.
    pub(super) api: &'static str,
    /// The path; `{name}` stands for what differs.
    pub(super) pattern: &'static str,
}

/// What no row has: it was answered with 404, or this table lacks something.
pub(super) const UNKNOWN: usize = 0;

/// By API; the patterns of the voice API are the same in both dialects.
const TABLE: &[(&str, &str, &[&str])] = &[
    ("none", "", &["unknown"]),
    ("plivo", "/v1/Account/{auth_id}", VOICE),
    ("vobiz", "/api/v1/Account/{auth_id}", VOICE),
    (
        "sim",
        "/sim/v1/Account/{auth_id}/Phone",
        &["", "/{call_uuid}", "/{call_uuid}/Hold", "/{call_uuid}/Press", "/{call_uuid}/Talk"],
    ),
    ("ops", "", &["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"]),
    (
        "groups",
        "/groups/v1/Account/{auth_id}",
        &[
            "/Person",
            "/Person/{person}",
            "/Person/{person}/Password",
            "/Person/{person}/Token",
            "/Person/{person}/Code",
            "/Application",
            "/Till",
            "/Group",
            "/Group/{group}",
            "/Group/{group}/Member",
            "/Group/{group}/Member/{person}",
        ],
    ),
    ("bungie", "/Platform/App/OAuth", &["/Token"]),
    (
        "bungie",
        "/Platform/GroupV2/{group}",
        &[
            "",
            "/Members",
            "/AdminsAndFounder",
            "/Banned",
            "/Members/{type}/{member}/Kick",
            "/Members/{type}/{member}/Ban",
            "/Members/{type}/{member}/Unban",
            "/Members/{type}/{member}/SetMembershipType/{rank}",
            "/Members/Apply/{type}",
            "/Members/Approve/{type}/{member}",
            "/Members/DenyList",
        ],
    ),
    (
        "rocketchat",
        "/api",
        &[
            "/info",
            "/v1/info",
            "/v1/login",
            "/v1/logout",
            "/v1/me",
            "/v1/groups.info",
            "/v1/groups.members",
            "/v1/groups.list",
            "/v1/groups.create",
            "/v1/groups.invite",
            "/v1/groups.kick",
            "/v1/groups.leave",
            "/v1/groups.addOwner",
            "/v1/groups.addModerator",
            "/v1/groups.removeOwner",
            "/v1/groups.removeModerator",
        ],
    ),
    (
        "kirimin",
        "",
        &[
            "/socket",
            "/invite/{secret}",
            "/x/auth/isUser",
            "/x/auth/logout",
            "/x/auth/sign-in",
            "/x/auth/verify",
            "/x/group/kick/{group}/{member}",
            "/x/group/join/{group}",
            "/x/group/leave/{group}",
            "/x/group/reset-link",
            "/x/group/create",
        ],
    ),
    ("capillary", "/v3/oauth/token", &["/generate"]),
    ("capillary", "/v2/userGroup2", CAPILLARY),
    ("capillary", "/v2/organization/userGroup2", CAPILLARY),
];

const VOICE: &[&str] = &[
    "/Call",
    "/Call/{call_uuid}",
    "/Call/{call_uuid}/DTMF",
    "/Call/{call_uuid}/Play",
    "/Call/{call_uuid}/Record",
    "/Call/{call_uuid}/Speak",
    "/Call/{call_uuid}/Stream",
    "/Call/{call_uuid}/Stream/{stream}",
    "/Events",
    "/Request/{request_uuid}",
    "/Conference",
    "/Conference/{name}",
    "/Conference/{name}/Record",
    "/Conference/{name}/Ban",
    "/Conference/{name}/Ban/{ban}",
    "/Conference/{name}/Member/{members}",
    "/Conference/{name}/Member/{members}/Deaf",
    "/Conference/{name}/Member/{members}/Kick",
    "/Conference/{name}/Member/{members}/Mute",
    "/Conference/{name}/Member/{members}/Play",
    "/Conference/{name}/Member/{members}/Speak",
];

const CAPILLARY: &[&str] = &["", "/join", "/{group}/leave"];

struct Row {
    route: Route,
    segments: Vec<&'static str>,
}

static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let row = |api, pattern: String| {
        let pattern: &'static str = pattern.leak();
        Row { route: Route { api, pattern }, segments: segments(pattern).collect() }
    };
    let rows = |&(api, base, below): &(&'static str, &str, &[&str])| {
        below.iter().map(|it| row(api, format!("{base}{it}"))).collect::<Vec<_>>()
    };
    TABLE.iter().flat_map(rows).collect()
});

/// The numbers of the rows that have so many segments, in order: a few for each path.
static BY_LENGTH: LazyLock<[Vec<usize>; SEGMENTS_MAX + 1]> = LazyLock::new(|| {
    let of_length = |length| {
        let rows = ROWS.iter().zip(0..).skip(1).filter(|(row, _)| row.segments.len() == length);
        rows.map(|(_, number)| number).collect()
    };
    array::from_fn(of_length)
});

/// How many there are.
pub(super) fn count() -> usize {
    ROWS.len()
}

/// The one of this number.
pub(super) fn route(number: usize) -> Route {
    ROWS[number].route
}

/// The number of a path's row, or [`UNKNOWN`].
pub(super) fn find(path: Option<&Path<'_>>) -> usize {
    let Some(path) = path else { return UNKNOWN };
    let given = path.segments();
    let fits = |number: &&usize| {
        let row = &ROWS[**number];
        // What differs is mostly at the end.
        row.segments.iter().zip(given).rev().all(|(it, given)| is_same(it, given))
    };
    BY_LENGTH[given.len()].iter().find(fits).copied().unwrap_or(UNKNOWN)
}

fn is_same(segment: &str, given: &str) -> bool {
    is_param(segment) || segment.eq_ignore_ascii_case(given)
}

/// What a path names, but for the account and what is secret: `name=weekly members=1,4`.
pub(super) fn names<'a>(number: usize, path: &'a str) -> impl Display + use<'a> {
    fmt::from_fn(move |f| {
        let mut gap = "";
        for (segment, given) in ROWS[number].segments.iter().zip(segments(path)) {
            if is_param(segment) && *segment != "{auth_id}" && *segment != SECRET {
                let name = segment.trim_matches(['{', '}']);
                [gap, name, "=", given].into_iter().try_for_each(|it| f.write_str(it))?;
                gap = " ";
            }
        }
        Ok(())
    })
}

/// A path as it may stand in a log.
pub(super) fn shown(number: usize, path: &str) -> Cow<'_, str> {
    match ROWS[number].segments.contains(&SECRET) {
        true => ROWS[number].route.pattern.into(),
        false => path.into(),
    }
}

/// Whoever has it is let in.
const SECRET: &str = "{secret}";

fn is_param(segment: &str) -> bool {
    segment.starts_with('{')
}

/// As [`super::path`] has them.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|it| !it.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(path: &str) -> usize {
        find(Path::split(path).as_ref())
    }

    #[test]
    fn a_path_has_one_pattern_whatever_it_names() {
        let check = |path: &str, api: &str, pattern: &str, named: &str| {
            let number = number(path);
            let found = route(number);
            assert_eq!((found.api, found.pattern), (api, pattern), "{path}");
            assert_eq!(names(number, path).to_string(), named, "{path}");
        };
        let kick = "/Account/{auth_id}/Conference/{name}/Member/{members}/Kick";
        let named = "name=a%20b members=1,4";
        let path = "/Account/MA1/Conference/a%20b/Member/1,4/Kick";
        check(&format!("/v1{path}/"), "plivo", &format!("/v1{kick}"), named);
        check(&format!("//api/v1{path}"), "vobiz", &format!("/api/v1{kick}"), named);
        check("/v1/Account/MA1/Call/", "plivo", "/v1/Account/{auth_id}/Call", "");
        check("/sim/v1/Account/MA1/Phone/", "sim", "/sim/v1/Account/{auth_id}/Phone", "");
        check("/metrics", "ops", "/metrics", "");
        check("/platform/GroupV2/7/", "bungie", "/Platform/GroupV2/{group}", "group=7");
        check("/api/v1/groups.kick", "rocketchat", "/api/v1/groups.kick", "");
        check("/v2/userGroup2/7/leave", "capillary", "/v2/userGroup2/{group}/leave", "group=7");
        check("/", "none", "unknown", "");
        check("/v1/Account/MA1/Conference/a/b/c", "none", "unknown", "");
    }

    #[test]
    fn a_link_that_lets_in_is_shown_nowhere() {
        let path = "/invite/let-me-in";
        let number = number(path);
        assert_eq!(names(number, path).to_string(), "");
        assert_eq!(shown(number, path), "/invite/{secret}");
        assert_eq!(shown(UNKNOWN, "/a"), "/a");
    }

    #[test]
    fn no_pattern_hides_another() {
        for (place, row) in ROWS.iter().enumerate() {
            assert_eq!(number(row.route.pattern), place, "{}", row.route.pattern);
        }
    }
}
