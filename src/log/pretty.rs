//! Text lines: formats an event for people, so that a program can still tell its fields apart.
//!
//! Names, numbers and URLs come from strangers. A value that is not a plain word is quoted and escaped:
//! it can neither look like another field, nor begin a line, nor reach the terminal (OWASP ASVS 4.0.3,
//! 7.3.1).

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FormatFields, format::Writer},
};

/// Formats the fields of an event: the message, then `name=value` for each.
pub(super) struct PrettyFields;

impl<'w> FormatFields<'w> for PrettyFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut line = PrettyLine { writer, gap: "", result: Ok(()) };
        fields.record(&mut line);
        line.result
    }
}

struct PrettyLine<'w> {
    writer: Writer<'w>,
    gap: &'static str,
    result: fmt::Result,
}

impl PrettyLine<'_> {
    fn put(&mut self, field: &Field, text: &str) {
        if self.result.is_ok() {
            self.result = self.write(field.name(), text);
            self.gap = " ";
        }
    }

    fn write(&mut self, name: &str, text: &str) -> fmt::Result {
        self.writer.write_str(self.gap)?;
        if name == MESSAGE {
            return match is_plain_message(text) {
                true => self.writer.write_str(text),
                false => write!(self.writer, "{text:?}"),
            };
        }
        match self.writer.has_ansi_escapes() {
            true => write!(self.writer, "\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m")?,
            false => write!(self.writer, "{name}=")?,
        }
        match is_plain(text) {
            true => self.writer.write_str(text),
            false => write!(self.writer, "{text:?}"),
        }
    }
}

const MESSAGE: &str = "message";

impl Visit for PrettyLine<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // A value whose formatting fails is logged as far as it went.
        write!(text, "{value:?}").unwrap_or_default();
        self.put(field, &text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }
}

fn is_plain(text: &str) -> bool {
    let is_word = |it: u8| it.is_ascii_alphanumeric() || b"._:/+@-".contains(&it);
    !text.is_empty() && text.bytes().all(is_word)
}

/// A message is ours, and may hold a text of somebody else. It is quoted if that could look like a
/// field, or like a quoted message, or is not all printable.
fn is_plain_message(text: &str) -> bool {
    let is_shown = |it: char| "\"'\\".contains(it) || it.escape_debug().len() == 1;
    !text.starts_with('"') && !text.contains('=') && text.chars().all(is_shown)
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::{Layer, Registry, fmt::layer, layer::SubscriberExt};

    use super::*;
    use crate::log::queue::LogQueue;

    fn written(log: impl FnOnce()) -> String {
        let (queue, mut lines) = (LogQueue::default(), Vec::new());
        let layer = layer().with_writer(queue.clone()).without_time().with_target(false);
        let layer = layer.with_ansi(false).fmt_fields(PrettyFields).boxed();
        tracing::subscriber::with_default(Registry::default().with(layer), log);
        queue.take_lines(&mut lines);
        String::from_utf8(lines).unwrap()
    }

    /// Reads a line as a program would: the message, and the fields in their order.
    fn read(line: &str) -> (String, Vec<(String, String)>) {
        let line = line.strip_prefix(" INFO ").and_then(|it| it.strip_suffix('\n')).unwrap();
        assert!(!line.chars().any(char::is_control), "{line:?}");
        let (message, mut rest) = match line.starts_with('"') {
            true => quoted(line),
            false => {
                let end = line.find('=').map_or(line.len(), |at| line[..at].rfind(' ').unwrap());
                (line[..end].to_owned(), &line[end..])
            }
        };
        let mut fields = Vec::new();
        while let Some((name, after)) = rest.strip_prefix(' ').and_then(|it| it.split_once('=')) {
            let (value, after) = match after.starts_with('"') {
                true => quoted(after),
                false => {
                    let end = after.find(' ').unwrap_or(after.len());
                    (after[..end].to_owned(), &after[end..])
                }
            };
            fields.push((name.to_owned(), value));
            rest = after;
        }
        assert_eq!(rest, "", "{line}");
        (message, fields)
    }

    /// The text in quotes, unescaped, and what follows it.
    fn quoted(text: &str) -> (String, &str) {
        let (mut plain, mut chars) = (String::new(), text.char_indices().skip(1));
        loop {
            match chars.next().unwrap() {
                (at, '"') => return (plain, &text[at + 1..]),
                (_, '\\') => match chars.next().unwrap().1 {
                    'n' => plain.push('\n'),
                    'r' => plain.push('\r'),
                    't' => plain.push('\t'),
                    '0' => plain.push('\0'),
                    'u' => {
                        let digits = chars.by_ref().map(|it| it.1).skip(1);
                        let digits: String = digits.take_while(|it| *it != '}').collect();
                        let number = u32::from_str_radix(&digits, 16).unwrap();
                        plain.push(char::from_u32(number).unwrap());
                    }
                    other => plain.push(other),
                },
                (_, other) => plain.push(other),
            }
        }
    }

    /// Issue 14, A8: whatever a value is, one event is one line, and its fields are read back.
    #[test]
    fn the_fields_of_a_line_are_those_of_the_event() {
        let all: String =
            (0..=0xff).chain([0x2028, 0x202e, 0x1f600]).filter_map(char::from_u32).collect();
        let parts = [
            "",
            "a",
            " ",
            "=",
            "\"",
            "\\",
            "\n",
            "\r\n",
            "by=\"config-1\"",
            " status=200",
            "\u{1b}[31m",
            "\0",
            &all,
        ];
        let mut texts = Vec::new();
        for one in parts {
            texts.extend(parts.map(|two| format!("{one}{two}x{one}")));
            texts.extend(parts.map(|two| format!("{one}{two}")));
        }
        for text in &texts {
            let line = written(|| {
                tracing::info!(conference = %text, by = "t1", from = text.as_str(), n = -3, "left");
            });
            let shown = |name: &str, it: &str| (name.to_owned(), it.to_owned());
            let expected = vec![
                shown("conference", text),
                shown("by", "t1"),
                shown("from", text),
                shown("n", "-3"),
            ];
            assert_eq!(read(&line), ("left".to_owned(), expected), "{line}");
            let line = written(|| tracing::info!(by = "t1", "calls to {text} will fail"));
            let message = format!("calls to {text} will fail");
            assert_eq!(read(&line), (message, vec![shown("by", "t1")]), "{line}");
        }
    }

    #[test]
    fn plain_words_are_not_quoted() {
        let line = written(|| {
            tracing::info!(
                path = "/v1/a.b_c-d",
                to = "+1@x:5060",
                is = true,
                "it's \"so\": see --help"
            );
        });
        let expected = " INFO it's \"so\": see --help path=/v1/a.b_c-d to=+1@x:5060 is=true\n";
        assert_eq!(line, expected);
    }
}
