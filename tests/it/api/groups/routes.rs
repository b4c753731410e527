//! Route labels: each path of the groups' APIs has its own in metrics and audit lines.

use crate::app::{ID, Program, home, token};

const ROUTES: &str = "
    GET /groups/v1/Account/{auth_id}/Person
    POST /groups/v1/Account/{auth_id}/Person
    GET /groups/v1/Account/{auth_id}/Person/{person}
    POST /groups/v1/Account/{auth_id}/Person/{person}/Password
    POST /groups/v1/Account/{auth_id}/Person/{person}/Token
    POST /groups/v1/Account/{auth_id}/Person/{person}/Code
    POST /groups/v1/Account/{auth_id}/Application
    POST /groups/v1/Account/{auth_id}/Till
    POST /groups/v1/Account/{auth_id}/Group
    GET /groups/v1/Account/{auth_id}/Group/{group}
    POST /groups/v1/Account/{auth_id}/Group/{group}/Member
    POST /groups/v1/Account/{auth_id}/Group/{group}/Member/{person}
    DELETE /groups/v1/Account/{auth_id}/Group/{group}/Member/{person}
    POST /Platform/App/OAuth/Token
    GET /Platform/GroupV2/{group}
    GET /Platform/GroupV2/{group}/Members
    GET /Platform/GroupV2/{group}/AdminsAndFounder
    GET /Platform/GroupV2/{group}/Banned
    POST /Platform/GroupV2/{group}/Members/{type}/{member}/Kick
    POST /Platform/GroupV2/{group}/Members/{type}/{member}/Ban
    POST /Platform/GroupV2/{group}/Members/{type}/{member}/Unban
    POST /Platform/GroupV2/{group}/Members/{type}/{member}/SetMembershipType/{rank}
    POST /Platform/GroupV2/{group}/Members/Apply/{type}
    POST /Platform/GroupV2/{group}/Members/Approve/{type}/{member}
    POST /Platform/GroupV2/{group}/Members/DenyList
    POST /Platform/GroupV2/{group}/Members/DenyAll
    POST /Platform/GroupV2/{group}/Members/ApproveList
    POST /Platform/GroupV2/{group}/Members/ApproveAll
    GET /Platform/GroupV2/{group}/Members/Pending
    GET /Platform/GroupV2/{group}/Members/InvitedIndividuals
    POST /Platform/GroupV2/{group}/Members/IndividualInvite/{type}/{member}
    POST /Platform/GroupV2/{group}/Members/IndividualInviteCancel/{type}/{member}
    POST /Platform/GroupV2/{group}/Admin/AbdicateFoundership/{type}/{member}
    GET /Platform/GroupV2/User/{type}/{member}/{filter}/{kind}
    GET /api/info
    GET /api/v1/info
    POST /api/v1/login
    POST /api/v1/logout
    GET /api/v1/me
    GET /api/v1/groups.info
    GET /api/v1/groups.members
    GET /api/v1/groups.list
    POST /api/v1/groups.create
    POST /api/v1/groups.invite
    POST /api/v1/groups.kick
    POST /api/v1/groups.leave
    POST /api/v1/groups.addOwner
    POST /api/v1/groups.addModerator
    POST /api/v1/groups.removeOwner
    POST /api/v1/groups.removeModerator
    GET /socket
    GET /invite/{secret}
    GET /x/auth/isUser
    GET /x/auth/logout
    POST /x/auth/sign-in
    POST /x/auth/verify
    POST /x/group/kick/{group}/{member}
    POST /x/group/join/{group}
    POST /x/group/leave/{group}
    POST /x/group/reset-link
    POST /x/group/create
    POST /v3/oauth/token/generate
    GET /v2/userGroup2
    POST /v2/userGroup2
    POST /v2/userGroup2/join
    DELETE /v2/userGroup2/{group}/leave
    POST /v2/userGroup2/{group}/leave
    GET /v2/organization/userGroup2
    POST /v2/organization/userGroup2
    POST /v2/organization/userGroup2/join
    DELETE /v2/organization/userGroup2/{group}/leave
    POST /v2/organization/userGroup2/{group}/leave
";

#[test]
fn every_path_of_every_dialect_has_a_label_in_metrics_and_audit() {
    let home = home();
    let program = Program::start(home.path(), "");
    let token = token(home.path());
    let page = || program.ask(&token, "GET", "/metrics", "").1;
    let routes = ROUTES.split_ascii_whitespace().collect::<Vec<_>>();
    for pair in routes.chunks(2) {
        let (method, pattern) = (pair[0], pair[1]);
        let mut path = pattern.replace("{auth_id}", ID);
        while let Some((before, (_, after))) =
            path.split_once('{').and_then(|(a, b)| Some((a, b.split_once('}')?)))
        {
            path = format!("{before}1{after}");
        }
        // Without credentials, because an unknown path or method is refused first.
        let (status, body) = program.send("", method, &path, "{}");
        assert!(![404, 405].contains(&status), "{method} {path}: {status} {body}");
        let labels = format!("route=\"{pattern}\",method=\"{method}\"");
        let (page, is_none) = (page(), |it: &str| it.contains("api=\"none\""));
        assert!(page.lines().any(|it| it.contains(&labels)), "{labels}");
        assert!(!page.lines().any(is_none), "{path} has no label");
    }
    assert_eq!(program.send("", "POST", "/x/group/nothing", "{}").0, 404);
    assert!(page().contains("api=\"none\""), "an unknown path has the label none");
}
