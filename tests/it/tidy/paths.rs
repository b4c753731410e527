//! Paths: the imports of a module, and the paths that its code names.

use super::tokens::Token;

/// A leaf of a `use` tree.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Import {
    /// The name that it has here.
    pub(super) name: String,
    pub(super) path: Vec<String>,
    pub(super) is_public: bool,
    pub(super) is_glob: bool,
    pub(super) line: usize,
}

/// A path as words, and its line.
pub(super) type Path = (Vec<String>, usize);

/// All imports and all other paths. `$crate` is `crate`.
pub(super) fn read(code: &[Token<'_>]) -> (Vec<Import>, Vec<Path>) {
    let (mut imports, mut paths) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < code.len() {
        let before = |n: usize| at.checked_sub(n).map_or("", |it| code[it].text);
        let is_start = is_word(code[at].text) && !matches!(before(1), "." | "::");
        if code[at].text == "use" && code.get(at + 1).is_some_and(|it| it.text != "<") {
            let is_public = before(1) == "pub" || (before(1) == ")" && is_visibility(&code[..at]));
            let end = code[at..].iter().position(|it| it.text == ";");
            let end = at + end.unwrap_or(code.len() - at);
            tree(&code[at + 1..end], &[], is_public, &mut imports);
            at = end;
        } else if is_start {
            let (path, length) = path(&code[at..]);
            // `pub(in a::b)` says who may use something.
            if !(before(1) == "in" && before(2) == "(") {
                paths.push((path, code[at].line));
            }
            at += length;
        } else {
            at += 1;
        }
    }
    (imports, paths)
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Whether code ends with `pub(…)`.
fn is_visibility(code: &[Token<'_>]) -> bool {
    let open = code.iter().rposition(|it| it.text == "(");
    open.and_then(|it| it.checked_sub(1)).is_some_and(|it| code[it].text == "pub")
}

/// The path that code begins with, and how many tokens it takes.
fn path(code: &[Token<'_>]) -> (Vec<String>, usize) {
    let mut path = vec![code[0].text.to_owned()];
    let mut at = 1;
    while let [colons, word, ..] = &code[at.min(code.len())..]
        && colons.text == "::"
        && is_word(word.text)
    {
        path.push(word.text.to_owned());
        at += 2;
    }
    (path, at)
}

/// `a::{b, c::{self, d as e}}` is `a::b`, `a::c`, and `a::c::d` under the name `e`.
fn tree(code: &[Token<'_>], prefix: &[String], is_public: bool, imports: &mut Vec<Import>) {
    let mut words = prefix.to_vec();
    let mut name = None;
    let mut is_glob = false;
    let mut at = 0;
    while at < code.len() {
        match code[at].text {
            "::" | "$" => (),
            "as" => {
                name = code.get(at + 1).map(|it| it.text.to_owned());
                at += 1;
            }
            "*" => is_glob = true,
            "{" => {
                let inner = &code[at + 1..code.len() - 1];
                return branches(inner)
                    .into_iter()
                    .for_each(|it| tree(it, &words, is_public, imports));
            }
            "self" if !words.is_empty() => (),
            word => words.push(word.to_owned()),
        }
        at += 1;
    }
    let Some(line) = code.first().map(|it| it.line) else { return };
    let name = name.or_else(|| words.last().cloned()).unwrap_or_default();
    imports.push(Import { name, path: words, is_public, is_glob, line });
}

/// The parts between the commas of a group.
fn branches<'a, 'b>(code: &'a [Token<'b>]) -> Vec<&'a [Token<'b>]> {
    let mut depth = 0;
    code.split(move |token| {
        match token.text {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => (),
        }
        depth == 0 && token.text == ","
    })
    .filter(|it| !it.is_empty())
    .collect()
}
