//! Applications: which one a call that comes in runs, if any.

use std::{collections::BTreeMap, sync::Arc};

use super::numbers::NumberRoute;
use crate::base::{
    ids::{AccountId, Trusted},
    user_part::UserPart,
};

/// The applications of all accounts, and the endpoints whose calls run them.
#[derive(Clone, Debug, Default)]
pub struct ApplicationRoutes {
    rows: BTreeMap<Arc<str>, ApplicationRoute>,
    /// The application of each endpoint that has one, by the endpoint's user.
    endpoints: BTreeMap<Arc<str>, Arc<str>>,
}

#[derive(Clone, Debug)]
struct ApplicationRoute {
    route: NumberRoute,
    is_public: bool,
}

impl ApplicationRoutes {
    /// Adds an application. `is_public`: callers who belong to no account may call it.
    pub fn insert(&mut self, id: &str, route: NumberRoute, is_public: bool) {
        self.rows.insert(id.into(), ApplicationRoute { route, is_public });
    }

    /// Says which application the calls of an endpoint run.
    pub fn attach(&mut self, user: &str, id: &str) {
        self.endpoints.insert(user.into(), id.into());
    }

    /// The application that a call runs: the one that it calls, or else that of its endpoint. A caller
    /// who belongs to an account reaches no application of another one.
    pub fn find(
        &self,
        called: &str,
        account: Option<&AccountId>,
        caller: Option<&Trusted>,
    ) -> Option<&NumberRoute> {
        let is_theirs = |it: &&ApplicationRoute| account == Some(&it.route.account);
        let is_open = |it: &&ApplicationRoute| is_theirs(it) || (account.is_none() && it.is_public);
        let named = self.rows.get(&*UserPart::read(called).user).filter(is_open);
        let own = || match caller {
            Some(Trusted::SipUser(user)) => {
                self.rows.get(self.endpoints.get(user)?).filter(is_theirs)
            }
            Some(Trusted::Number(_) | Trusted::User(_)) | None => None,
        };
        named.or_else(own).map(|it| &it.route)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::numbers::FlowSource;

    #[test]
    fn a_call_runs_the_called_application_or_that_of_its_endpoint() {
        let mut routes = ApplicationRoutes::default();
        for (id, account, is_public) in
            [("1", "MA1", false), ("2", "MA1", true), ("3", "MA2", true)]
        {
            let (account, source) = (account.parse().unwrap(), FlowSource::Flow(id.into()));
            let route = NumberRoute { account, source, hangup: None, dialect: None };
            routes.insert(id, route, is_public);
        }
        for (user, id) in [("anna", "1"), ("bert", "3"), ("carl", "9")] {
            routes.attach(user, id);
        }
        let check = |called: &str, account: Option<&str>, caller: Option<Trusted>, expected| {
            let account = account.map(|it| it.parse().unwrap());
            let found = routes.find(called, account.as_ref(), caller.as_ref());
            let source = found.map(|it| it.source.clone());
            assert_eq!(
                source,
                Option::map(expected, |it: &str| FlowSource::Flow(it.into())),
                "{called}"
            );
        };
        let user = |it: &str| Some(Trusted::SipUser(it.into()));
        check("100", Some("MA1"), user("anna"), Some("1"));
        check("2", Some("MA1"), user("anna"), Some("2"));
        check("sip:2@here.example", Some("MA1"), None, Some("2"));
        check("100", Some("MA1"), None, None);
        check("100", Some("MA1"), Some(Trusted::User("anna".into())), None);
        // The application is not there, or another account's.
        check("100", Some("MA1"), user("carl"), None);
        check("100", Some("MA1"), user("bert"), None);
        check("3", Some("MA1"), user("anna"), Some("1"));
        check("3", Some("MA1"), None, None);
        // A trunk's.
        check("1", None, None, None);
        check("2", None, None, Some("2"));
    }
}
