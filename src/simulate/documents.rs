//! Where a simulated call's documents come from: the web as an events file has it, and the files
//! beside the flow.

use std::{collections::HashMap, path::Path, sync::Arc};

use parking_lot::Mutex;

use super::fields::{AT_MAX, ScriptFields};
use crate::{
    base::ids::{AccountId, Dialect},
    documents::{DocumentStore, LocalFlow, folder::FlowsFolder},
    flow::{DocumentError, DocumentRequest, Fetched, Flow},
};
use toml::Value;

/// What a URL brings.
#[derive(Clone, Debug, PartialEq)]
pub struct ScriptDocument {
    url: String,
    /// Fields that a request must have for it: names and values.
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

/// The web during one run: whoever asks again may get another answer.
#[derive(Debug, Default)]
pub(super) struct SimulatedWeb {
    used: Vec<bool>,
}

impl SimulatedWeb {
    /// What a request brings, and after how many milliseconds. Rows with a `when` that fits go
    /// before those without; of several, each is used once, and the last for ever.
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

/// The flows in a folder, each read once.
#[derive(Debug)]
pub struct SimulatedFlows {
    folder: FlowsFolder,
    account: AccountId,
    read: Mutex<KnownFlows>,
}

/// By name and dialect; None where no file is.
type KnownFlows = HashMap<(Arc<str>, Dialect), Option<Fetched>>;

/// The simulated account.
const ACCOUNT: &str = "MASIMULATED";

impl SimulatedFlows {
    /// The flows of a folder.
    pub fn new(folder: &Path) -> Self {
        let account: AccountId = ACCOUNT.parse().expect("a name");
        let folder = FlowsFolder::new(folder.to_owned(), Some(account.clone()));
        Self { folder, account, read: Mutex::default() }
    }

    /// Whose they are.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// A flow by its name: the file `NAME.xml`. None if there is no such file.
    pub fn flow(&self, name: &str, dialect: Dialect) -> Option<Fetched> {
        let (account, name) = (self.account.clone(), Arc::<str>::from(name));
        let mut read = self.read.lock();
        let key = (name.clone(), dialect);
        let flow = || self.folder.local(&LocalFlow { account, name, dialect });
        read.entry(key).or_insert_with(flow).clone()
    }

    /// The same, for those who have to have one.
    pub(super) fn fetched(&self, name: &str, dialect: Dialect) -> Fetched {
        self.flow(name, dialect).unwrap_or_else(|| {
            let names = self.folder.names(&self.account).join(", ");
            let why = format!("there is no {name}.xml beside the flow; there are: {names}");
            Err(DocumentError::Unreachable(why.into()))
        })
    }
}
