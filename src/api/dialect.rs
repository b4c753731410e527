//! API dialects: which vendor's API a request is meant for, by its path.

use std::borrow::Cow;

use axum::http::{HeaderMap, Method, header::UPGRADE};

use super::path::{self, Path};
use crate::base::ids::Dialect;

/// One API of this server. Each has a router of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ApiDialect {
    Plivo,
    Vobiz,
    Sim,
    Console,
    Ops,
    Groups,
    Bungie,
    RocketChat,
    Kirimin,
    Capillary,
}

impl ApiDialect {
    pub(super) const ALL: [Self; 10] = [
        Self::Plivo,
        Self::Vobiz,
        Self::Sim,
        Self::Console,
        Self::Ops,
        Self::Groups,
        Self::Bungie,
        Self::RocketChat,
        Self::Kirimin,
        Self::Capillary,
    ];

    /// Rocket.Chat has everything below `/api/v1/` but `Account/`, which is Vobiz's. Kirimin's
    /// socket is at the root, where nothing else is.
    pub(super) fn of(path: &Path<'_>, headers: &HeaderMap) -> Self {
        match *path.segments() {
            ["v1", ..] => Self::Plivo,
            ["api", "v1", "Account", ..] => Self::Vobiz,
            ["api", "info"] | ["api", "v1", _, ..] => Self::RocketChat,
            ["api", ..] => Self::Vobiz,
            ["sim", ..] => Self::Sim,
            ["console", ..] => Self::Console,
            ["groups", ..] => Self::Groups,
            ["x", ..] | ["invite", _] | ["socket"] => Self::Kirimin,
            [] if headers.contains_key(UPGRADE) => Self::Kirimin,
            ["v2", "userGroup2", ..] | ["v2", "organization", "userGroup2", ..] => Self::Capillary,
            ["v3", "oauth", "token", "generate"] => Self::Capillary,
            [first, ..] if first.eq_ignore_ascii_case("platform") => Self::Bungie,
            _ => Self::Ops,
        }
    }

    /// The dialect of a path that is longer than any of the table.
    pub(super) fn of_nothing(path: &str) -> Self {
        match path.split('/').find(|it| !it.is_empty()) {
            Some("api") => Self::Vobiz,
            Some(_) | None => Self::Ops,
        }
    }

    /// The value of the label `api` in metrics.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Plivo => "plivo",
            Self::Vobiz => "vobiz",
            Self::Sim => "sim",
            Self::Console => "console",
            Self::Ops => "ops",
            Self::Groups => "groups",
            Self::Bungie => "bungie",
            Self::RocketChat => "rocketchat",
            Self::Kirimin => "kirimin",
            Self::Capillary => "capillary",
        }
    }

    /// The index of `auth_id` in a path.
    pub(super) fn account_at(self) -> Option<usize> {
        match self {
            Self::Plivo => Some(2),
            Self::Vobiz | Self::Sim | Self::Groups => Some(3),
            Self::Console
            | Self::Ops
            | Self::Bungie
            | Self::RocketChat
            | Self::Kirimin
            | Self::Capillary => None,
        }
    }

    /// The path that the dialect's router matches.
    ///
    /// The file of a recording has its extension as a last segment.
    /// Bungie's first segment and its `Token` match in upper and lower case.
    /// A conference may be called `…/Member`, and is shown and hung up by that name.
    pub(super) fn canonical<'a>(self, path: &Path<'a>, method: &Method) -> Cow<'a, str> {
        let calls_member = ![Method::DELETE, Method::GET, Method::HEAD].contains(method);
        let canonical = path.canonical(self.conference_at(path), calls_member);
        match (self, path.segments()) {
            (Self::Bungie, [_, "App", "OAuth", last]) if last.eq_ignore_ascii_case("token") => {
                "/Platform/App/OAuth/Token/".to_owned().into()
            }
            (Self::Plivo, ["v1", "Account", _, "Recording", _])
            | (Self::Vobiz, ["api", "v1", "Account", _, "Recording", _]) => {
                path::with_extension(canonical)
            }
            (Self::Bungie, [first, ..]) if *first != "Platform" => {
                format!("/Platform{}", &canonical[1 + first.len()..]).into()
            }
            _ => canonical,
        }
    }

    /// The index at which the name of a conference begins, in a path that has one.
    fn conference_at(self, path: &Path<'_>) -> Option<usize> {
        match (self, path.segments()) {
            (Self::Plivo, ["v1", "Account", _, "Conference", ..]) => Some(4),
            (Self::Vobiz, ["api", "v1", "Account", _, "Conference", ..]) => Some(5),
            _ => None,
        }
    }

    /// The voice dialect of our own error bodies: Vobiz below `/api/`, else Plivo.
    pub(super) fn voice(self) -> Dialect {
        match self {
            Self::Vobiz | Self::RocketChat => Dialect::Vobiz,
            Self::Plivo
            | Self::Sim
            | Self::Console
            | Self::Ops
            | Self::Groups
            | Self::Bungie
            | Self::Kirimin
            | Self::Capillary => Dialect::Plivo,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_words_of_bungie_are_good_in_any_case() {
        let check = |text, expected: &str| {
            let path = Path::split(text).unwrap();
            let dialect = ApiDialect::of(&path, &HeaderMap::new());
            assert_eq!(
                (dialect, &*dialect.canonical(&path, &Method::GET)),
                (ApiDialect::Bungie, expected)
            );
        };
        check("/platform//GroupV2/7/", "/Platform/GroupV2/7/");
        check("/PLATFORM/App/OAuth/token", "/Platform/App/OAuth/Token/");
        check("/Platform/App/OAuth/token/", "/Platform/App/OAuth/Token/");
        check("/Platform/groupv2/7/", "/Platform/groupv2/7/");
    }

    #[test]
    fn a_path_without_a_dialect_is_answered_as_its_first_segment_has_it() {
        let check = |text: &str, expected: ApiDialect| {
            let path = Path::split(text).unwrap();
            assert_eq!(ApiDialect::of(&path, &HeaderMap::new()), expected, "{text}");
        };
        check("/", ApiDialect::Ops);
        check("/v1/", ApiDialect::Plivo);
        check("/v2/Account/", ApiDialect::Ops);
        check("/api/", ApiDialect::Vobiz);
        check("/api/v1/Account", ApiDialect::Vobiz);
        check("/api/v1/account/x", ApiDialect::RocketChat);
        check("/api/v1/subscriptions.get", ApiDialect::RocketChat);
        check("/api/v1/", ApiDialect::Vobiz);
        check("/api/v1/groups.any", ApiDialect::RocketChat);
        assert_eq!(ApiDialect::of_nothing("//api/1/2"), ApiDialect::Vobiz);
        assert_eq!(ApiDialect::of_nothing("/v1/2"), ApiDialect::Ops);
    }
}
