//! Applications of a configuration: checks `[[application]]`.

use std::collections::BTreeMap;

use toml::Spanned;

use super::{AccountConfig, ConfigError, file::ConfigSource};
use crate::{
    cli::{
        account::{ACCOUNT_CHARS_MAX, is_id},
        phones::ApplicationSettings,
    },
    fetch::TargetUrl,
    provisioning::CallApplication,
};

impl ConfigSource<'_> {
    /// Checks the applications: each id once, with a known account and URLs that can be requested.
    pub(super) fn applications(
        &self,
        rows: &[ApplicationSettings],
        accounts: &[AccountConfig],
    ) -> Result<Vec<CallApplication>, ConfigError> {
        let mut lines = BTreeMap::new();
        let mut applications = Vec::with_capacity(rows.len());
        for row in rows {
            let (id, span) = (row.id.as_ref(), row.id.span());
            if !is_id(id) {
                let wanted = format!(
                    "write 1 to {ACCOUNT_CHARS_MAX} of A-Z a-z 0-9 _ - (the API makes 17 digits)"
                );
                return Err(self.error_at(span, wanted));
            }
            if let Some(line) = lines.insert(id, self.line(span.clone())) {
                let why = format!("{id} has an [[application]] already, in line {line}");
                return Err(self.error_at(span, why));
            }
            let account = self.owner(&row.account, accounts)?;
            self.check_document(&row.answer_url)?;
            row.fallback_url.as_ref().map_or(Ok(()), |it| self.check_document(it))?;
            let mut hooks = [&row.hangup_url, &row.message_url].into_iter().flatten();
            hooks.try_for_each(|it| self.check_url(it))?;
            let text = |it: &Option<Spanned<String>>| it.as_ref().map(|it| it.as_ref().clone());
            applications.push(CallApplication {
                id: id.to_owned(),
                account,
                name: row.name.clone().unwrap_or_else(|| id.to_owned()),
                answer_url: row.answer_url.as_ref().clone(),
                answer_method: row.answer_method.into(),
                fallback_url: text(&row.fallback_url),
                fallback_method: row.fallback_method.into(),
                hangup_url: text(&row.hangup_url),
                hangup_method: row.hangup_method.into(),
                message_url: text(&row.message_url),
                message_method: row.message_method.into(),
                is_number_default: row.number_default,
                is_endpoint_default: row.endpoint_default,
                is_public: row.public,
                logs_messages: row.log_messages,
                dialect: row.dialect,
                is_fixed: true,
            });
        }
        Ok(applications)
    }

    /// Checks the URL of a document, or a local flow.
    fn check_document(&self, url: &Spanned<String>) -> Result<(), ConfigError> {
        match url.as_ref().starts_with("flow:") {
            true => Ok(()),
            false => self.check_url(url),
        }
    }

    fn check_url(&self, url: &Spanned<String>) -> Result<(), ConfigError> {
        let bad = |error| self.error_at(url.span(), format!("{}: {error}", url.as_ref()));
        TargetUrl::parse(url.as_ref()).map(drop).map_err(bad)
    }
}
