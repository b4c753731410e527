//! Document row: the text of a document that calls run, once for all of them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Flow, FlowOrigin, FlowText, RowError, SourceDocument, run_row::write_row};
use crate::base::ids::Dialect;

/// The version that this build writes.
const VERSION: u8 = 1;

#[derive(Deserialize, Serialize)]
struct DocumentFields<'a> {
    hash: [u8; 32],
    is_hidden: bool,
    origin: OriginRow,
    text: &'a str,
}

/// Rows have the number of a variant: new ones come last.
#[derive(Deserialize, Serialize)]
enum OriginRow {
    File(Arc<str>),
    Inline,
    Url(Arc<str>),
}

impl SourceDocument {
    /// The row of the document.
    pub fn row(&self) -> Vec<u8> {
        let Self { text, origin } = self;
        let (hash, is_hidden) = (*text.hash().as_bytes(), text.is_hidden());
        let origin = match origin {
            FlowOrigin::File(path) => OriginRow::File(path.clone()),
            FlowOrigin::Inline => OriginRow::Inline,
            FlowOrigin::Url(url) => OriginRow::Url(url.clone()),
        };
        write_row(VERSION, &DocumentFields { hash, is_hidden, origin, text: text.as_str() })
    }

    /// Reads [`SourceDocument::row`]; with the key of the document.
    ///
    /// # Errors
    ///
    /// The row is damaged, or of another version.
    pub fn from_row(bytes: &[u8]) -> Result<(u128, Self), RowError> {
        let DocumentFields { hash, is_hidden, origin, text } = RowError::read(VERSION, bytes)?;
        let text = Arc::new(FlowText::restored(text, hash.into(), is_hidden));
        let origin = match origin {
            OriginRow::File(path) => FlowOrigin::File(path),
            OriginRow::Inline => FlowOrigin::Inline,
            OriginRow::Url(url) => FlowOrigin::Url(url),
        };
        Ok((text.key(), Self { text, origin }))
    }

    /// The flow of a document that was one before.
    ///
    /// # Errors
    ///
    /// This version cannot parse it any more.
    pub fn flow(&self, dialect: Dialect) -> Result<Arc<Flow>, RowError> {
        let flow = Flow::from_source(self.clone(), dialect);
        flow.map(Arc::new).map_err(|_| RowError::Document)
    }
}
