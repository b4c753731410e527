//! Snippets: prints a finding with its lines of the document, for people.

use std::{
    io::{self, Write},
    ops::Range,
};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::gather::GatheredDocument;
use crate::flow::{
    TextPosition,
    check::{Finding, Severity},
    encoding::decode,
};

/// Writes one finding.
///
/// # Errors
///
/// The writer fails.
pub(super) fn write(
    document: &GatheredDocument,
    finding: &Finding,
    is_coloured: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    let text = shown(&document.bytes);
    let span = span(&text, finding.at);
    let level = match finding.level {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Hint => Level::NOTE.with_name("hint"),
    };
    let marked = AnnotationKind::Primary.span(span);
    let snippet = Snippet::source(text).path(document.shown.as_str()).annotation(marked);
    let title = level.primary_title(finding.message.as_str());
    let title = title.id(finding.code.text());
    let report = [title.element(snippet).element(Level::HELP.message(finding.code.advice()))];
    let renderer = if is_coloured { Renderer::styled() } else { Renderer::plain() };
    writeln!(out, "{}", renderer.render(&report))
}

/// Replaces characters that would move a terminal's cursor or end a line by others of the same
/// length in bytes.
fn shown(bytes: &[u8]) -> String {
    let text = decode(bytes, None);
    let text = String::from_utf8_lossy(&text);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut chars = text.chars().peekable();
    let mut shown = String::with_capacity(text.len());
    while let Some(char) = chars.next() {
        shown.push(match char {
            '\n' | '\t' => char,
            '\r' if chars.peek() == Some(&'\n') => char,
            '\u{2028}' | '\u{2029}' => '\u{2423}',
            '\u{80}'..='\u{9f}' => '\u{a0}',
            _ if char.is_control() => ' ',
            _ => char,
        });
    }
    shown
}

/// Byte range to mark for a finding at this position: a tag's name, a whole attribute, or a word.
fn span(text: &str, at: TextPosition) -> Range<usize> {
    let line_at = match at.line {
        1 => 0,
        line => text.match_indices('\n').nth(line as usize - 2).map_or(text.len(), |(i, _)| i + 1),
    };
    let line = text[line_at..].split('\n').next().unwrap_or_default().trim_end_matches('\r');
    let begin = line.char_indices().nth(at.column as usize - 1).map_or(line.len(), |(i, _)| i);
    let begin = line_at + begin;
    let rest = &text[begin..line_at + line.len()];
    begin..begin + length(rest)
}

fn length(rest: &str) -> usize {
    let ends = |c: char| c.is_whitespace() || matches!(c, '<' | '>' | '/' | '=' | '"' | '\'');
    if let Some(variable) = rest.strip_prefix("${") {
        let inside = variable.find('}').map(|end| end + 1);
        let is_closed = |end: &usize| !variable[..*end].contains("${");
        return 2 + inside.filter(is_closed).unwrap_or(0);
    }
    if let Some(tag) = rest.strip_prefix("</") {
        return 2 + tag.find(ends).unwrap_or(tag.len());
    }
    if let Some(tag) = rest.strip_prefix('<') {
        return 1 + tag.find(ends).unwrap_or(tag.len());
    }
    let name = rest.find(ends).unwrap_or(rest.len());
    let value = rest[name..].strip_prefix('=').unwrap_or_default();
    if let Some(quote) = value.chars().next().filter(|it| matches!(it, '"' | '\''))
        && let Some(end) = value[1..].find(quote)
    {
        return name + 1 + 1 + end + 1;
    }
    name.max(rest.chars().next().map_or(0, char::len_utf8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, line: u32, column: u32, expected: &str) {
        assert_eq!(&text[span(text, TextPosition { line, column })], expected, "{line}:{column}");
    }

    #[test]
    fn marks_the_tag_attribute_or_word_at_the_position() {
        let text = "<Response>\r\n\t<Speak voice='a b' x>é€ now</Speak>\n</Response>";
        check(text, 1, 1, "<Response");
        check(text, 2, 2, "<Speak");
        check(text, 2, 9, "voice='a b'");
        check(text, 2, 21, "x");
        check(text, 2, 23, "é€");
        check(text, 2, 29, "</Speak");
        check(text, 3, 99, "");
        check(text, 9, 1, "");
        check("<a b='c", 1, 4, "b");
        check("<a b$='c'", 1, 4, "b$='c'");
        check("&nbsp;", 1, 1, "&nbsp;");
        check("", 1, 1, "");
        check("a ${b:-c d} e", 1, 3, "${b:-c d}");
        check("a ${b ${c}", 1, 3, "${");
        check("a ${b", 1, 3, "${");
    }

    #[test]
    fn replaces_characters_that_move_the_cursor() {
        let text = shown("\u{feff}a\u{1b}[2J\r\n\u{2028}\u{85}\rb\u{7f}".as_bytes());
        assert_eq!(text, "a [2J\r\n\u{2423}\u{a0} b ");
        assert_eq!(shown(b"a\xffb"), "a\u{fffd}b");
    }
}
