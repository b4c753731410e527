//! Simulated documents: those that an events file defines, and the files in the folder of the flow.

use std::{collections::HashMap, path::Path, sync::Arc};

use parking_lot::Mutex;

use super::fields::{AT_MAX, ScriptFields};
use crate::{
    base::ids::{AccountId, Dialect},
    documents::{DocumentStore, LocalFlow, folder::FlowsFolder},
    flow::{DocumentError, DocumentRequest, Fetched, Flow},
};
use toml::Value;

/// A document that a URL returns.
#[derive(Clone, Debug, PartialEq)]
pub struct ScriptDocument {
    url: String,
    /// Names and values of fields that a request must have to get this document.
    when: Vec<(String, String)>,
    after_ms: u64,
    fetched: Fetched,
}

impl ScriptDocument {
    pub(super) fn read(
        mut fields: ScriptFields,
        dialect: Dialect,
        read: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<Self, String> {
        let url = fields.needed("url")?;
        let after_ms = fields.time("after", AT_MAX)?.unwrap_or_default();
        let when = match fields.take("when") {
            None => Vec::new(),
            Some(Value::Table(when)) => when.into_iter().map(wanted).collect::<Result<_, _>>()?,
            Some(_) => return Err("when: write when = { Digits = \"1\" }".to_owned()),
        };
        let (xml, file) = (fields.text("xml")?, fields.text("file")?);
        let fetched = match (xml, file, fields.text("fails")?) {
            (Some(xml), None, None) => parse(&xml, dialect),
            (None, Some(file), None) => parse(&read(&file)?, dialect),
            (None, None, Some(why)) => Err(DocumentError::Unreachable(why.into())),
            _ => {
                return Err("a document has one of: xml (the text), file (where that is), fails \
                            (why it cannot be had)"
                    .to_owned());
            }
        };
        fields.finish("a document", &["url", "when", "after", "xml", "file", "fails"])?;
        Ok(Self { url, when, after_ms, fetched })
    }
}

fn parse(xml: &str, dialect: Dialect) -> Fetched {
    let flow = Flow::parse(xml, dialect);
    flow.map(Arc::new).map_err(|error| DocumentError::Invalid(Arc::new(error)))
}

fn wanted((name, value): (String, Value)) -> Result<(String, String), String> {
    if let Value::Integer(value) = value {
        return Ok((name, value.to_string()));
    }
    match value.as_str() {
        Some(text) => Ok((name, text.to_owned())),
        None => Err(format!("when: {name} is {value}: write \"…\"")),
    }
}

/// State of the simulated web during one run: repeated requests may get different documents.
#[derive(Debug, Default)]
pub(super) struct SimulatedWeb {
    used: Vec<bool>,
}

impl SimulatedWeb {
    /// The document for a request, and its delay in milliseconds. Rows with a matching `when` come
    /// before those without. Each row is used once, the last one repeatedly.
    pub(super) fn get(
        &mut self,
        documents: &[ScriptDocument],
        request: &DocumentRequest,
    ) -> (u64, Fetched) {
        self.used.resize(documents.len(), false);
        let has = |(name, value): &(String, String)| {
            request.fields.iter().any(|(it, text)| it == name && text == value)
        };
        let fits = |it: &ScriptDocument| *it.url == *request.url && it.when.iter().all(has);
        let fitting = || documents.iter().enumerate().filter(|(_, it)| fits(it));
        let is_special = fitting().any(|(_, it)| !it.when.is_empty());
        let good: Vec<_> =
            fitting().filter(|(_, it)| it.when.is_empty() != is_special).map(|(n, _)| n).collect();
        let fresh = good.iter().find(|n| !self.used[**n]);
        let Some(&n) = fresh.or_else(|| good.last()) else {
            let why = format!("the events file has no document for {}", request.url);
            return (0, Err(DocumentError::Unreachable(why.into())));
        };
        self.used[n] = true;
        (documents[n].after_ms, documents[n].fetched.clone())
    }
}

/// The flows of a folder, each read once.
#[derive(Debug)]
pub struct SimulatedFlows {
    folder: FlowsFolder,
    account: AccountId,
    read: Mutex<KnownFlows>,
}

/// Flows by name and dialect; None if there is no such file.
type KnownFlows = HashMap<(Arc<str>, Dialect), Option<Fetched>>;

/// Account that all simulated calls belong to.
const ACCOUNT: &str = "MASIMULATED";

impl SimulatedFlows {
    /// The flows in this folder, which are read on demand.
    pub fn new(folder: &Path) -> Self {
        let account: AccountId = ACCOUNT.parse().expect("a name");
        let folder = FlowsFolder::new(folder.to_owned(), Some(account.clone()));
        Self { folder, account, read: Mutex::default() }
    }

    /// Account that owns the flows.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// Flow in the file `NAME.xml`. None if there is no such file.
    pub fn flow(&self, name: &str, dialect: Dialect) -> Option<Fetched> {
        let (account, name) = (self.account.clone(), Arc::<str>::from(name));
        let mut read = self.read.lock();
        let key = (name.clone(), dialect);
        let flow = || self.folder.local(&LocalFlow { account, name, dialect });
        read.entry(key).or_insert_with(flow).clone()
    }

    /// As [`Self::flow`]; a missing file is an error that lists the existing flows.
    pub(super) fn fetched(&self, name: &str, dialect: Dialect) -> Fetched {
        self.flow(name, dialect).unwrap_or_else(|| {
            let names = self.folder.names(&self.account).join(", ");
            let why =
                format!("there is no {name}.xml in the folder of the flow; there are: {names}");
            Err(DocumentError::Unreachable(why.into()))
        })
    }
}
