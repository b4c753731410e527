//! Tokens of Rust source: words and punctuation, without comments, strings and test items.

/// A word, a `::`, a lifetime, or one character of punctuation. A literal string is `"`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    pub(super) line: usize,
}

/// All tokens of a file.
pub(super) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < source.len() {
        let rest = &source[at..];
        let (length, is_token) = token(rest);
        if is_token {
            let text = if is_string(rest) { "\"" } else { &rest[..length] };
            tokens.push(Token { text, line });
        }
        line += rest[..length].matches('\n').count();
        at += length;
    }
    tokens
}

/// The length of what a text begins with, and whether it is a token.
fn token(text: &str) -> (usize, bool) {
    let first = text.chars().next().unwrap();
    if text.starts_with("//") {
        return (text.find('\n').unwrap_or(text.len()), false);
    }
    if text.starts_with("/*") {
        return (block_comment(text), false);
    }
    if is_string(text) {
        return (string(text), true);
    }
    if first == '\'' {
        return (quote(text), true);
    }
    if text.starts_with("::") {
        return (2, true);
    }
    if is_word(first) {
        return (text.find(|c| !is_word(c)).unwrap_or(text.len()), true);
    }
    (first.len_utf8(), !first.is_whitespace())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        let rest = &text[at..];
        match () {
            () if rest.starts_with("/*") => (depth, at) = (depth + 1, at + 2),
            () if rest.starts_with("*/") => (depth, at) = (depth - 1, at + 2),
            () => at += rest.chars().next().map_or(0, char::len_utf8),
        }
        if depth == 0 || text.len() <= at {
            return at;
        }
    }
}

/// Whether a literal string begins here: `"`, `r"`, `r#"`, `b"`, `br"`, `c"`.
fn is_string(text: &str) -> bool {
    let text = text.strip_prefix(['b', 'c']).unwrap_or(text);
    let raw = text.strip_prefix('r').map(|it| it.trim_start_matches('#'));
    text.starts_with('"') || raw.is_some_and(|it| it.starts_with('"'))
}

fn string(text: &str) -> usize {
    let open = text.find('"').unwrap();
    let body = &text[open + 1..];
    if text[..open].contains('r') {
        let end = format!("\"{}", &text[..open].trim_start_matches(['b', 'c', 'r']));
        return body.find(&end).map_or(text.len(), |it| open + 1 + it + end.len());
    }
    let mut is_escaped = false;
    for (at, c) in body.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return open + at + 2,
            _ => (),
        }
    }
    text.len()
}

/// A character or a lifetime.
fn quote(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => text[3..].find('\'').map_or(text.len(), |it| it + 4),
        Some((at, c)) if text[at + c.len_utf8()..].starts_with('\'') => at + c.len_utf8() + 1,
        _ => 1 + text[1..].find(|c| !is_word(c)).unwrap_or(text.len() - 1),
    }
}

/// The tokens without items that only tests have. The names of such modules come second.
pub(super) fn without_tests<'a>(tokens: &[Token<'a>]) -> (Vec<Token<'a>>, Vec<&'a str>) {
    let (mut kept, mut modules) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        let Some(length) = attribute(&tokens[at..]) else {
            kept.push(tokens[at]);
            at += 1;
            continue;
        };
        if !is_for_tests(&tokens[at..at + length]) {
            kept.extend(&tokens[at..at + length]);
            at += length;
            continue;
        }
        if tokens[at + 1].text == "!" {
            return (Vec::new(), modules);
        }
        at += length;
        while let Some(length) = attribute(&tokens[at..]) {
            at += length;
        }
        let length = item(&tokens[at..]);
        let words = tokens[at..at + length].iter().map(|it| it.text).collect::<Vec<_>>();
        if let ["mod", name, ";"] = *words {
            modules.push(name);
        }
        at += length;
    }
    (kept, modules)
}

/// The length of an attribute that stands here.
pub(super) fn attribute(tokens: &[Token<'_>]) -> Option<usize> {
    let open = match tokens {
        [hash, open, ..] if hash.text == "#" && open.text == "[" => 1,
        [hash, not, open, ..] if (hash.text, not.text, open.text) == ("#", "!", "[") => 2,
        _ => return None,
    };
    Some(open + group(&tokens[open..]))
}

/// `#[cfg(test)]` and `#[cfg(all(test, …))]`; not `any` and not `not`.
fn is_for_tests(attribute: &[Token<'_>]) -> bool {
    let words = attribute.iter().map(|it| it.text).filter(|it| *it != "!").collect::<String>();
    words.starts_with("#[cfg(test)") || words.starts_with("#[cfg(all(test,")
}

/// The length of a bracketed group, brackets included.
pub(super) fn group(tokens: &[Token<'_>]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => (),
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// The length of an item, a statement, a field or an arm.
fn item(tokens: &[Token<'_>]) -> usize {
    const BODY: &[&str] =
        &["async", "enum", "extern", "fn", "impl", "mod", "struct", "trait", "union", "unsafe"];
    const PLAIN: &[&str] = &["const", "let", "macro_rules", "static", "type", "use"];
    let mut at = 0;
    if tokens.first().is_some_and(|it| it.text == "pub") {
        at = 1;
        if tokens.get(1).is_some_and(|it| it.text == "(") {
            at += group(&tokens[1..]);
        }
    }
    let word = tokens.get(at).map_or("", |it| it.text);
    let is_const_fn = word == "const" && tokens.get(at + 1).is_some_and(|it| it.text == "fn");
    let has_body = BODY.contains(&word) || is_const_fn || word == "macro_rules";
    let is_item = has_body || PLAIN.contains(&word);
    while at < tokens.len() {
        match tokens[at].text {
            ";" => return at + 1,
            "," if !is_item => return at + 1,
            ")" | "]" | "}" => return at,
            "{" if has_body => return at + group(&tokens[at..]),
            "(" | "[" | "{" => at += group(&tokens[at..]),
            _ => at += 1,
        }
    }
    at
}
