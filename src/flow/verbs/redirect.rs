//! `<Redirect>`: continues with another document.

use std::sync::Arc;

use super::{Vendors, VerbStart};
use crate::flow::{
    DocumentRequest, FlowError, FlowWarningKind, Purpose, RequestMethod,
    attr::METHOD,
    attrs::{ElementReader, verb},
    error::clip,
    url,
};

verb! {
    /// Continues with the document that its text names. No element after it runs.
    ///
    /// The text is a URL: `http(s)://…`, or `flow:NAME` for a file in the folder of flows.
    ///
    /// ```xml
    /// <Redirect method="GET">https://example.com/next</Redirect>
    /// ```
    pub struct RedirectVerb {
        /// `http(s)://…` or `flow:NAME`, as written.
        pub url: Arc<str>,
        /// HTTP method: GET or POST.
        pub method: RequestMethod,
    }
    "Redirect", Vendors::Both, text Url, holds &[], answers true;

    /// HTTP method of the request.
    method: RequestMethod = "method" [METHOD] or "POST", like "GET";

    branches {
        /// Id of a later element at which the flow continues if the document cannot be fetched.
        /// Without it, the call ends.
        "onError", like "sorry";
    }
}

impl RedirectVerb {
    pub(super) fn parse(reading: &mut ElementReader<'_, '_>) -> Result<Self, FlowError> {
        let Rows { method } = Rows::read(reading);
        let url = reading.element.normalized_text();
        if !url::is_target(&url) {
            let at = reading.text_at();
            reading.warn(at, FlowWarningKind::Url { url: clip(&url) });
        }
        Ok(Self { url: url.as_ref().into(), method })
    }

    pub(super) fn begin(&self) -> VerbStart {
        let (url, method) = (self.url.clone(), self.method);
        let (purpose, fields) = (Purpose::Redirect, Vec::new());
        VerbStart::Fetch(DocumentRequest { url, method, purpose, fields, is_private: false })
    }
}

#[cfg(test)]
mod tests {
    use crate::flow::verbs::check;

    #[test]
    fn reads_its_url() {
        let expected = r#"Redirect(RedirectVerb { url: "http://a?b&c", method: Get })"#;
        check("<Redirect method='GET'> http://a?b&amp;c\n</Redirect>", expected);
    }

    #[test]
    fn warns_of_a_url_that_cannot_be_asked() {
        let expected = |url: &str, at: &str| {
            format!(
                "Redirect(RedirectVerb {{ url: {url:?}, method: Post }})\n{at}: {url:?} cannot be fetched, \
                 and the call ends here: write http://, https:// or flow:NAME"
            )
        };
        check("<Redirect>\n next.xml</Redirect>", &expected("next.xml", "2:2"));
        check("<Redirect/>", &expected("", "1:11"));
    }
}
