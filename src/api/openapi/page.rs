//! Web page of the document: one HTML file that loads nothing from elsewhere.

use std::{borrow::Cow, fmt::Write};

use serde_json::Value;

use super::{
    example::{self, SERVER},
    guide::{self, GUIDES},
};

/// Plain, with a light and a dark theme.
const STYLE: &str = include_str!("page.css");

/// The depth to which nested schemas are written out; deeper ones are shown as `…`.
const DEPTH_MAX: usize = 6;

/// The page as HTML.
pub(super) fn write(document: &Value) -> String {
    let mut page = HtmlPage { document, html: String::new() };
    page.head();
    let tags = document["tags"].as_array().into_iter().flatten();
    tags.filter_map(|it| it["name"].as_str()).for_each(|tag| page.section(tag));
    GUIDES.iter().for_each(|it| {
        let (anchor, title) = (it.anchor, it.title);
        page.put(&format!(
            "<section id=\"{anchor}\">\n<h2>{title}</h2>\n{}</section>\n",
            it.html()
        ));
    });
    page.html += "</main>\n</html>\n";
    page.html
}

struct HtmlPage<'a> {
    document: &'a Value,
    html: String,
}

impl HtmlPage<'_> {
    fn put(&mut self, html: &str) {
        self.html += html;
    }

    fn head(&mut self) {
        let info = &self.document["info"];
        let (title, version) = (escape(&info["title"]), escape(&info["version"]));
        let about = describe(&info["description"]);
        let guides = GUIDES
            .iter()
            .map(|it| format!("<li><a href=\"#{}\">{}</a></li>\n", it.anchor, it.title));
        let guides: String = guides.collect();
        write!(
            self.html,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}: the API</title>\n\
             <style>\n{STYLE}</style>\n<main>\n<h1>{title} {version}</h1>\n{about}\n\
             <p>For programs: <a href=\"/openapi.json\">openapi.json</a>. Credentials: HTTP Basic with \
             auth_id and auth_token, or the headers X-Auth-ID and X-Auth-Token. The examples are for a \
             shell with the variables ID and TOKEN.</p>\n<p>Guides on this page:</p>\n<ul>\n{guides}</ul>\n"
        )
        .expect("a String takes everything");
    }

    fn section(&mut self, tag: &str) {
        self.put(&format!("<h2>{}</h2>\n", escape_text(tag)));
        let document = self.document;
        for (path, methods) in document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in methods.as_object().into_iter().flatten() {
                if operation["tags"][0] == tag {
                    self.operation(path, method, operation);
                }
            }
        }
    }

    fn operation(&mut self, path: &str, method: &str, operation: &Value) {
        let (id, summary) = (escape(&operation["operationId"]), describe(&operation["summary"]));
        let curl = example::curl(self.document, path, method, operation);
        let answer = example::answer(self.document, operation);
        let (path, verb) = (escape_text(path), method.to_uppercase());
        self.put(&format!(
            "<details id=\"{id}\"><summary><b class=\"{method}\">{verb}</b> <code>{path}</code> \
             {summary}</summary>\n<p>{}</p>\n<h3>Example</h3>\n<pre><code>{}</code></pre>\n\
             <pre><code>{}</code></pre>\n",
            describe(&operation["description"]),
            escape_text(&curl),
            escape_text(&answer)
        ));
        self.parameters(&operation["parameters"]);
        let body = &operation["requestBody"];
        if !body.is_null() {
            let must = if body["required"] == true { "" } else { " (may be left out)" };
            self.put(&format!("<h3>Body{must}</h3>\n"));
            self.contents(&body["content"]);
        }
        self.put("<h3>Answers</h3>\n<dl>\n");
        for (status, response) in operation["responses"].as_object().into_iter().flatten() {
            let response = self.resolve(response);
            self.put(&format!("<dt>{status}</dt><dd>{}", describe(&response["description"])));
            for (name, header) in response["headers"].as_object().into_iter().flatten() {
                let about = describe(&header["description"]);
                self.put(&format!("<br><code>{}</code>: {about}", escape_text(name)));
            }
            self.contents(&response["content"]);
            self.put("</dd>\n");
        }
        self.put("</dl>\n</details>\n");
    }

    fn parameters(&mut self, parameters: &Value) {
        let parameters = parameters.as_array().filter(|it| !it.is_empty());
        let Some(parameters) = parameters else { return };
        self.put("<h3>Parameters</h3>\n<dl>\n");
        for parameter in parameters {
            let (name, location) = (escape(&parameter["name"]), escape(&parameter["in"]));
            let must = if parameter["required"] == true { ", required" } else { "" };
            let about = describe(&parameter["description"]);
            let kind = self.kind(&parameter["schema"]);
            self.put(&format!(
                "<dt><code>{name}</code> <i>{location}{must}</i></dt><dd>{about} {kind}</dd>\n"
            ));
        }
        self.put("</dl>\n");
    }

    fn contents(&mut self, contents: &Value) {
        for (media_type, content) in contents.as_object().into_iter().flatten() {
            self.put(&format!("<br><i>{}</i>\n", escape_text(media_type)));
            self.schema(&content["schema"], DEPTH_MAX);
        }
    }

    /// Writes the properties of a schema.
    fn schema(&mut self, schema: &Value, depth: usize) {
        let written = schema;
        let schema = self.resolve(schema);
        let choices = ["oneOf", "anyOf"].iter().find_map(|it| schema[*it].as_array());
        for (n, choice) in choices.into_iter().flatten().enumerate() {
            self.put(if n == 0 { "<p>One of:</p>\n" } else { "<p>or</p>\n" });
            self.schema(choice, depth);
        }
        if schema["type"] == "array" {
            self.put("<p>A list of:</p>\n");
            return self.schema(&schema["items"], depth);
        }
        let Some(properties) = schema["properties"].as_object() else { return };
        if depth == 0 {
            return self.put("<p>…</p>\n");
        }
        self.put("<dl class=\"keys\">\n");
        for (name, property) in properties {
            // Properties beside a reference narrow those of its target.
            let narrow = &written["properties"][name];
            let property = if narrow.is_null() { property } else { narrow };
            let is_required = [written, schema].iter().any(|it| {
                it["required"].as_array().is_some_and(|all| all.iter().any(|it| it == name))
            });
            let must = if is_required { " <i>required</i>" } else { "" };
            let (about, kind) = (describe(&property["description"]), self.kind(property));
            let name = escape_text(name);
            self.put(&format!("<dt><code>{name}</code>{must}</dt><dd>{about} {kind}"));
            let inner = self.resolve(property);
            if inner["properties"].is_object() || inner["items"]["$ref"].is_string() {
                self.schema(property, depth - 1);
            }
            self.put("</dd>\n");
        }
        self.put("</dl>\n");
    }

    /// The type and the limits of a value, in a few words.
    fn kind(&self, schema: &Value) -> String {
        let schema = self.resolve(schema);
        let mut words = Vec::new();
        match &schema["type"] {
            Value::String(kind) => words.push(escape_text(kind)),
            Value::Array(kinds) => {
                words.push(kinds.iter().map(escape).collect::<Vec<_>>().join(" or "));
            }
            Value::Bool(_) | Value::Null | Value::Number(_) | Value::Object(_) => (),
        }
        let texts = [
            ("const", ""),
            ("enum", "one of "),
            ("format", ""),
            ("minimum", "from "),
            ("maximum", "to "),
            ("minItems", "items from "),
            ("maxItems", "items to "),
            ("maxLength", "characters to "),
            ("pattern", "as "),
            ("default", "default "),
        ];
        let said = texts.iter().filter(|(key, _)| !schema[*key].is_null());
        words.extend(
            said.map(|(key, word)| format!("{word}<code>{}</code>", escape(&schema[*key]))),
        );
        format!("<small>{}</small>", words.join(", "))
    }

    /// The target of a reference, or the value itself.
    fn resolve<'a>(&self, value: &'a Value) -> &'a Value
    where
        Self: 'a,
    {
        let pointer = value["$ref"].as_str().and_then(|it| it.strip_prefix('#'));
        pointer.and_then(|it| self.document.pointer(it)).unwrap_or(value)
    }
}

/// A description as HTML; null is empty.
fn describe(value: &Value) -> Cow<'static, str> {
    guide::describe(value.as_str().unwrap_or_default())
}

/// The page for a client that reaches this server by a URL.
pub(super) fn for_server(page: &str, url: &str) -> String {
    page.replace(SERVER, &escape_text(url))
}

/// Escapes a text as it is and other values as JSON; null is empty.
fn escape(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => escape_text(text),
        Value::Array(_) | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            escape_text(&value.to_string())
        }
    }
}

fn escape_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_html_is_not_taken_for_it() {
        assert_eq!(escape(&json!("<b a=\"1\">&")), "&lt;b a=&quot;1&quot;&gt;&amp;");
        assert_eq!(escape(&json!(["<"])), "[&quot;&lt;&quot;]");
        assert_eq!(escape(&Value::Null), "");
    }
}
