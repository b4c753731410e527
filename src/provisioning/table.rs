//! Table of an account's endpoints and applications: decides which changes of rows a command makes.

use super::{
    command::{
        ACCOUNT_APPLICATIONS_MAX, ACCOUNT_ENDPOINTS_MAX, ApplicationChange, Command,
        EndpointChange, EndpointsLeft, Refusal, RowChange, UrlChange,
    },
    entry::{CallApplication, EndpointEntry, EndpointPassword},
};
use crate::flow::RequestMethod;

/// The endpoints and applications of one account, in the order in which they were made.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ProvisioningTable {
    /// The SIP endpoints, with their applications.
    pub endpoints: Vec<EndpointEntry>,
    /// The applications, of which one may be the default.
    pub applications: Vec<CallApplication>,
}

/// Plivo's limit of a username, before its digits.
const USERNAME_CHARS_MAX: usize = 25;

/// Plivo's limit. Shorter ones are guessed within hours.
const PASSWORD_CHARS_MIN: usize = 5;

/// No phone's form takes more.
const PASSWORD_CHARS_MAX: usize = 128;

/// Limit of an alias and of an application's name.
const NAME_CHARS_MAX: usize = 100;

/// Limit of a URL, as for those of a call.
const URL_CHARS_MAX: usize = 2_000;

type Changes = Result<Vec<RowChange>, Refusal>;

impl ProvisioningTable {
    /// Carries out a command, or changes nothing. Returns the rows that become different.
    ///
    /// # Errors
    ///
    /// [`Refusal`]: nothing has changed.
    pub fn handle(&mut self, command: Command) -> Changes {
        let changes = match command {
            Command::CreateEndpoint { id, username, digits, password, alias, application } => {
                check_username(&username)?;
                let user = format!("{username}{digits}");
                let entry = EndpointEntry { id, user, alias, application, is_fixed: false };
                self.create_endpoint(entry, password)
            }
            Command::ChangeEndpoint { id, change } => self.change_endpoint(&id, change),
            Command::DeleteEndpoint { id } => {
                let user = self.free_endpoint(&id)?.user.clone();
                Ok(vec![RowChange::DeleteEndpoint(user)])
            }
            Command::CreateApplication { application, change } => {
                self.create_application(*application, *change)
            }
            Command::ChangeApplication { id, change } => self.change_application(&id, *change),
            Command::DeleteApplication { id, endpoints } => self.delete_application(&id, endpoints),
        }?;
        changes.iter().for_each(|it| self.apply(it));
        Ok(changes)
    }

    /// The endpoint of this id.
    pub fn endpoint(&self, id: &str) -> Option<&EndpointEntry> {
        self.endpoints.iter().find(|it| it.id == id)
    }

    /// The application of this id.
    pub fn application(&self, id: &str) -> Option<&CallApplication> {
        self.applications.iter().find(|it| it.id == id)
    }

    fn create_endpoint(&self, mut entry: EndpointEntry, password: EndpointPassword) -> Changes {
        check_password(&password)?;
        check_name("alias", &entry.alias)?;
        let made = self.endpoints.iter().filter(|it| !it.is_fixed).count();
        if ACCOUNT_ENDPOINTS_MAX <= made {
            return Err(Refusal::TooManyEndpoints);
        }
        let is_taken = |it: &EndpointEntry| it.user == entry.user || it.id == entry.id;
        if self.endpoints.iter().any(is_taken) {
            return Err(Refusal::Taken);
        }

        match &entry.application {
            Some(id) => self.check_known("app_id", id)?,
            None => {
                let default = self.applications.iter().find(|it| it.is_endpoint_default);
                entry.application = default.map(|it| it.id.clone());
            }
        }
        Ok(vec![RowChange::PutEndpoint(entry, Some(password))])
    }

    fn change_endpoint(&self, id: &str, change: EndpointChange) -> Changes {
        let mut entry = self.free_endpoint(id)?.clone();
        let EndpointChange { password, alias, application } = change;
        password.as_ref().map_or(Ok(()), check_password)?;
        if let Some(alias) = alias {
            check_name("alias", &alias)?;
            entry.alias = alias;
        }
        if let Some(application) = application {
            application.as_ref().map_or(Ok(()), |it| self.check_known("app_id", it))?;
            entry.application = application;
        }
        Ok(vec![RowChange::PutEndpoint(entry, password)])
    }

    fn create_application(&self, new: CallApplication, change: ApplicationChange) -> Changes {
        let made = self.applications.iter().filter(|it| !it.is_fixed).count();
        if ACCOUNT_APPLICATIONS_MAX <= made {
            return Err(Refusal::TooManyApplications);
        }
        if self.application(&new.id).is_some() {
            return Err(Refusal::Taken);
        }

        self.put_application(new, change)
    }

    fn change_application(&self, id: &str, change: ApplicationChange) -> Changes {
        self.put_application(self.free_application(id)?.clone(), change)
    }

    /// Puts an application with its changes, and takes the default from the one that had it.
    fn put_application(&self, mut it: CallApplication, change: ApplicationChange) -> Changes {
        change_application(&mut it, change)?;
        let mut changes = Vec::new();
        if it.is_endpoint_default {
            let is_default = |of: &&CallApplication| of.is_endpoint_default && of.id != it.id;
            let others: Vec<_> = self.applications.iter().filter(is_default).collect();
            if let Some(fixed) = others.iter().find(|it| it.is_fixed) {
                return Err(Refusal::Fixed(format!("default_endpoint_app: {}", fixed.id)));
            }
            changes.extend(others.into_iter().map(|of| {
                let of = CallApplication { is_endpoint_default: false, ..of.clone() };
                RowChange::PutApplication(Box::new(of))
            }));
        }
        changes.push(RowChange::PutApplication(Box::new(it)));
        Ok(changes)
    }

    fn delete_application(&self, id: &str, left: EndpointsLeft) -> Changes {
        self.free_application(id)?;
        if let EndpointsLeft::Moved(Some(to)) = &left {
            let parameter = "new_endpoint_application";
            self.check_known(parameter, to)?;
            if to == id {
                let wanted = "give another application than the one that is deleted";
                return Err(Refusal::Invalid { parameter, wanted });
            }
        }
        let is_its = |it: &&EndpointEntry| it.application.as_deref() == Some(id);
        let endpoints: Vec<_> = self.endpoints.iter().filter(is_its).collect();
        if let Some(fixed) = endpoints.iter().find(|it| it.is_fixed) {
            return Err(Refusal::InUse(fixed.user.clone()));
        }

        let mut changes: Vec<_> = endpoints
            .into_iter()
            .map(|it| match &left {
                EndpointsLeft::Deleted => RowChange::DeleteEndpoint(it.user.clone()),
                EndpointsLeft::Moved(to) => {
                    let entry = EndpointEntry { application: to.clone(), ..it.clone() };
                    RowChange::PutEndpoint(entry, None)
                }
            })
            .collect();
        changes.push(RowChange::DeleteApplication(id.to_owned()));
        Ok(changes)
    }

    /// The endpoint of this id, if the API may change it.
    fn free_endpoint(&self, id: &str) -> Result<&EndpointEntry, Refusal> {
        let entry = self.endpoint(id).ok_or(Refusal::NoEndpoint)?;
        match entry.is_fixed {
            true => Err(Refusal::Fixed(format!("the endpoint {}", entry.user))),
            false => Ok(entry),
        }
    }

    /// The application of this id, if the API may change it.
    fn free_application(&self, id: &str) -> Result<&CallApplication, Refusal> {
        let found = self.application(id).ok_or(Refusal::NoApplication)?;
        match found.is_fixed {
            true => Err(Refusal::Fixed(format!("the application {id}"))),
            false => Ok(found),
        }
    }

    fn check_known(&self, parameter: &'static str, id: &str) -> Result<(), Refusal> {
        match self.application(id) {
            Some(_) => Ok(()),
            None => Err(Refusal::UnknownApplication { parameter, id: id.to_owned() }),
        }
    }

    fn apply(&mut self, change: &RowChange) {
        match change {
            RowChange::PutEndpoint(entry, _) => {
                match self.endpoints.iter_mut().find(|it| it.user == entry.user) {
                    Some(old) => old.clone_from(entry),
                    None => self.endpoints.push(entry.clone()),
                }
            }
            RowChange::DeleteEndpoint(user) => self.endpoints.retain(|it| it.user != *user),
            RowChange::PutApplication(application) => {
                match self.applications.iter_mut().find(|it| it.id == application.id) {
                    Some(old) => old.clone_from(application),
                    None => self.applications.push(CallApplication::clone(application)),
                }
            }
            RowChange::DeleteApplication(id) => self.applications.retain(|it| it.id != *id),
        }
    }
}

fn check_username(username: &str) -> Result<(), Refusal> {
    let is_good = (1..=USERNAME_CHARS_MAX).contains(&username.len())
        && username.starts_with(|it: char| it.is_ascii_alphabetic())
        && username.chars().all(|it| it.is_ascii_alphanumeric());
    let wanted = "give 1 to 25 letters and digits, a letter first";
    is_good.then_some(()).ok_or(Refusal::Invalid { parameter: "username", wanted })
}

fn check_password(EndpointPassword(password): &EndpointPassword) -> Result<(), Refusal> {
    let is_good = (PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&password.chars().count())
        && !password.contains(char::is_control);
    let wanted = "give 5 to 128 characters";
    is_good.then_some(()).ok_or(Refusal::Invalid { parameter: "password", wanted })
}

fn check_name(parameter: &'static str, name: &str) -> Result<(), Refusal> {
    let is_good =
        (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && !name.contains(char::is_control);
    let wanted = "give 1 to 100 characters";
    is_good.then_some(()).ok_or(Refusal::Invalid { parameter, wanted })
}

fn check_url(parameter: &'static str, url: &str) -> Result<(), Refusal> {
    let wanted = "give 2000 characters at most";
    match url.len() <= URL_CHARS_MAX {
        true => Ok(()),
        false => Err(Refusal::Invalid { parameter, wanted }),
    }
}

fn change_application(it: &mut CallApplication, change: ApplicationChange) -> Result<(), Refusal> {
    let ApplicationChange {
        name,
        answer,
        fallback,
        hangup,
        message,
        is_number_default,
        is_endpoint_default,
        is_public,
        logs_messages,
    } = change;
    it.name = name.unwrap_or_else(|| it.name.clone());
    check_name("app_name", &it.name)?;
    let mut answer_url = Some(it.answer_url.clone()).filter(|it| !it.is_empty());
    change_url("answer_url", answer, &mut answer_url, &mut it.answer_method)?;
    let missing = Refusal::Invalid { parameter: "answer_url", wanted: "missing" };
    it.answer_url = answer_url.ok_or(missing)?;
    let (url, method) = (&mut it.fallback_url, &mut it.fallback_method);
    change_url("fallback_answer_url", fallback, url, method)?;
    change_url("hangup_url", hangup, &mut it.hangup_url, &mut it.hangup_method)?;
    change_url("message_url", message, &mut it.message_url, &mut it.message_method)?;
    it.is_number_default = is_number_default.unwrap_or(it.is_number_default);
    it.is_endpoint_default = is_endpoint_default.unwrap_or(it.is_endpoint_default);
    it.is_public = is_public.unwrap_or(it.is_public);
    it.logs_messages = logs_messages.unwrap_or(it.logs_messages);
    Ok(())
}

fn change_url(
    parameter: &'static str,
    change: UrlChange,
    url: &mut Option<String>,
    method: &mut RequestMethod,
) -> Result<(), Refusal> {
    change.url.iter().flatten().try_for_each(|it| check_url(parameter, it))?;
    if let Some(new) = change.url {
        *url = new;
    }
    *method = change.method.unwrap_or(*method);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> ProvisioningTable {
        let mut table = ProvisioningTable::default();
        for id in ["1", "2"] {
            table.handle(make_application(id, false)).unwrap();
        }
        table
    }

    fn make_application(id: &str, is_default: bool) -> Command {
        let account = "MA1".parse().unwrap();
        let answer = UrlChange { url: Some(Some("http://a.example/".into())), method: None };
        let change = ApplicationChange {
            name: Some("desk".into()),
            answer,
            is_endpoint_default: Some(is_default),
            ..Default::default()
        };
        let application = Box::new(CallApplication::new(id.into(), account, None));
        Command::CreateApplication { application, change: Box::new(change) }
    }

    fn make_endpoint(username: &str, password: &str, application: Option<&str>) -> Command {
        Command::CreateEndpoint {
            id: format!("of {username}"),
            username: username.into(),
            digits: "000000000007".into(),
            password: EndpointPassword(password.into()),
            alias: "Anna".into(),
            application: application.map(Into::into),
        }
    }

    fn update(id: &str, change: ApplicationChange) -> Command {
        Command::ChangeApplication { id: id.into(), change: Box::new(change) }
    }

    fn invalid(parameter: &'static str, wanted: &'static str) -> Refusal {
        Refusal::Invalid { parameter, wanted }
    }

    #[test]
    fn an_endpoint_gets_digits_and_the_default_application() {
        let mut table = table();
        table.handle(make_endpoint("anna", "geheim", None)).unwrap();
        table.handle(make_application("3", true)).unwrap();
        table.handle(make_endpoint("bert", "geheim", None)).unwrap();
        table.handle(make_endpoint("carl", "geheim", Some("1"))).unwrap();
        let rows = table.endpoints.iter().map(|it| (it.user.as_str(), it.application.as_deref()));
        let expected = [
            ("anna000000000007", None),
            ("bert000000000007", Some("3")),
            ("carl000000000007", Some("1")),
        ];
        assert_eq!(rows.collect::<Vec<_>>(), expected);
        assert_eq!(table.handle(make_endpoint("anna", "geheim", None)), Err(Refusal::Taken));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let username = invalid("username", "give 1 to 25 letters and digits, a letter first");
        let password = invalid("password", "give 5 to 128 characters");
        let unknown = Refusal::UnknownApplication { parameter: "app_id", id: "9".into() };
        let (long, longest) = ("a".repeat(26), "a".repeat(25));
        for (name, word, application, expected) in [
            ("", "geheim", None, Some(&username)),
            ("7up", "geheim", None, Some(&username)),
            ("an-na", "geheim", None, Some(&username)),
            (&long, "geheim", None, Some(&username)),
            (&longest, "geheim", None, None),
            ("anna", "four", None, Some(&password)),
            ("anna", "five\n", None, Some(&password)),
            ("anna", "geheim", Some("9"), Some(&unknown)),
        ] {
            let mut table = table();
            let before = table.clone();
            let answer = table.handle(make_endpoint(name, word, application));
            assert_eq!(answer.as_ref().err(), expected, "{name:?} {word:?}");
            assert_eq!(table == before, expected.is_some(), "{name:?} {word:?}");
        }
    }

    #[test]
    fn an_application_needs_a_document_and_keeps_what_is_not_changed() {
        let mut table = table();
        let hangup = UrlChange { url: Some(Some("http://a.example/bye".into())), method: None };
        let change = ApplicationChange { hangup, ..Default::default() };
        table.handle(update("1", change)).unwrap();
        let it = table.application("1").unwrap();
        assert_eq!(
            (it.answer_url.as_str(), it.hangup()),
            ("http://a.example/", "http://a.example/bye")
        );
        assert_eq!(table.application("2").unwrap().hangup(), "http://a.example/");

        let answer = UrlChange { url: Some(None), method: None };
        let change = ApplicationChange { answer, ..Default::default() };
        let refused = table.handle(update("1", change));
        assert_eq!(refused, Err(invalid("answer_url", "missing")));
        let message = UrlChange { url: Some(Some("x".repeat(2_001))), method: None };
        let change = ApplicationChange { message, ..Default::default() };
        let refused = table.handle(update("1", change));
        assert_eq!(refused, Err(invalid("message_url", "give 2000 characters at most")));
    }

    #[test]
    fn one_application_at_most_is_the_default() {
        let mut table = table();
        for id in ["1", "2"] {
            let change =
                ApplicationChange { is_endpoint_default: Some(true), ..Default::default() };
            table.handle(update(id, change)).unwrap();
        }
        let defaults = table.applications.iter().filter(|it| it.is_endpoint_default);
        assert_eq!(defaults.map(|it| it.id.as_str()).collect::<Vec<_>>(), ["2"]);
    }

    #[test]
    fn the_endpoints_of_a_deleted_application_go_or_move() {
        let delete = |endpoints| Command::DeleteApplication { id: "1".into(), endpoints };
        let left = |endpoints: EndpointsLeft| {
            let mut table = table();
            table.handle(make_endpoint("anna", "geheim", Some("1"))).unwrap();
            table.handle(make_endpoint("bert", "geheim", Some("2"))).unwrap();
            let done = table.handle(delete(endpoints));
            done.map(|_| table.endpoints.into_iter().map(|it| it.application).collect::<Vec<_>>())
        };
        let two = || Some("2".to_owned());
        assert_eq!(left(EndpointsLeft::Deleted), Ok(vec![two()]));
        assert_eq!(left(EndpointsLeft::Moved(None)), Ok(vec![None, two()]));
        assert_eq!(left(EndpointsLeft::Moved(two())), Ok(vec![two(), two()]));
        let parameter = "new_endpoint_application";
        let unknown = Refusal::UnknownApplication { parameter, id: "9".into() };
        assert_eq!(left(EndpointsLeft::Moved(Some("9".into()))), Err(unknown));
        let itself = invalid(parameter, "give another application than the one that is deleted");
        assert_eq!(left(EndpointsLeft::Moved(Some("1".into()))), Err(itself));
    }

    #[test]
    fn the_rows_of_the_file_cannot_be_changed() {
        let mut table = table();
        table.handle(make_endpoint("anna", "geheim", Some("1"))).unwrap();
        table.endpoints[0].is_fixed = true;
        let (id, change) = ("of anna".to_owned(), EndpointChange::default());
        let endpoint = Refusal::Fixed("the endpoint anna000000000007".into());
        let refused = table.handle(Command::ChangeEndpoint { id: id.clone(), change });
        assert_eq!(refused, Err(endpoint.clone()));
        assert_eq!(table.handle(Command::DeleteEndpoint { id }), Err(endpoint));
        let (id, endpoints) = ("1".to_owned(), EndpointsLeft::Deleted);
        let refused = table.handle(Command::DeleteApplication { id, endpoints });
        assert_eq!(refused, Err(Refusal::InUse("anna000000000007".into())));
        table.applications[1].is_fixed = true;
        let refused = table.handle(update("2", ApplicationChange::default()));
        assert_eq!(refused, Err(Refusal::Fixed("the application 2".into())));
    }

    #[test]
    fn an_account_has_a_maximum_of_each() {
        let mut table = ProvisioningTable::default();
        for n in 0..ACCOUNT_APPLICATIONS_MAX {
            table.handle(make_application(&n.to_string(), false)).unwrap();
            table.handle(make_endpoint(&format!("a{n}"), "geheim", None)).unwrap();
        }
        let refused = table.handle(make_application("more", false));
        assert_eq!(refused, Err(Refusal::TooManyApplications));
        let refused = table.handle(make_endpoint("more", "geheim", None));
        assert_eq!(refused, Err(Refusal::TooManyEndpoints));
    }
}
