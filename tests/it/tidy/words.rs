//! Words: retired names, first lines, and doc comments that say nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::modules::TypeName;

/// Names that the field does not use, and that are not to come back.
const RETIRED: &[&str] = &[
    "ailing",
    "asker",
    "bed",
    "being",
    "course",
    "courier",
    "crowd",
    "deed",
    "desk",
    "door",
    "doors",
    "draft",
    "fault",
    "fuse",
    "house",
    "lane",
    "ledger",
    "letter",
    "letters",
    "library",
    "marks",
    "news",
    "parcel",
    "pass",
    "plane",
    "present",
    "reception",
    "remark",
    "repeats",
    "roll",
    "score",
    "script",
    "shard",
    "sheet",
    "shelf",
    "site",
    "spot",
    "stage",
    "stater",
    "switchboard",
    "tally",
    "trail",
    "turns",
    "visit",
    "ward",
    "wire",
];

/// Modules in which a retired word is the plain one, and what it means there.
const PLAIN_IN: &[(&str, &str)] = &[
    // The letters of an alphabet, to be read aloud.
    ("letter", "speech::pico"),
    ("letters", "speech::pico"),
    // RTCP's reception statistics.
    ("reception", "rtp"),
    // What a simulated caller or phone is to do: not a flow.
    ("script", "sim_phones"),
    ("script", "simulate"),
];

/// An indirect question names nothing.
const QUESTIONS: &[&str] = &["As", "How", "What", "Where", "Whence", "Who", "Whom"];
/// A doc comment of fewer words says no more than the name.
const DOC_WORDS_MIN: usize = 4;

/// What is wrong with the first line of a file.
pub(super) fn first_line(text: &str) -> Option<String> {
    let line = text.lines().next().unwrap_or_default();
    let Some(line) = line.strip_prefix("//! ") else {
        return Some("the first line does not say what is in the file".to_owned());
    };
    let is_word = |c: char| c.is_alphanumeric();
    let word = line.split(|c| !is_word(c)).next().unwrap_or_default();
    QUESTIONS
        .contains(&word)
        .then(|| format!("the first line begins with {word}: name what is in the file"))
}

/// Doc comments of one short line on public items: their lines, and what they say.
pub(super) fn short_docs(text: &str) -> Vec<(usize, String)> {
    let lines = text.lines().map(str::trim_start).collect::<Vec<_>>();
    let is_doc = |at: usize| lines.get(at).is_some_and(|it| it.starts_with("///"));
    let mut found = Vec::new();
    let mut is_open = false;
    for (at, line) in text.lines().enumerate() {
        match line {
            "}" => is_open = false,
            // Their variants and methods are as public as they are.
            _ if line.starts_with("pub enum ") || line.starts_with("pub trait ") => is_open = true,
            _ => (),
        }
        let Some(doc) = lines[at].strip_prefix("///") else { continue };
        let is_alone = !is_doc(at + 1) && (at == 0 || !is_doc(at - 1));
        let item = lines[at + 1..].iter().find(|it| !it.starts_with('#')).unwrap_or(&"");
        let is_public = item.starts_with("pub ") || is_open;
        if is_alone && is_public && doc.split_whitespace().count() < DOC_WORDS_MIN {
            found.push((at + 1, doc.trim().to_owned()));
        }
    }
    found
}

/// The retired word in the name of a module or of a type in it.
pub(super) fn retired(module: &str, name: &str) -> Option<&'static str> {
    let words = words(name);
    let is_plain =
        |word: &str| PLAIN_IN.iter().any(|(it, at)| *it == word && module.starts_with(at));
    RETIRED.iter().copied().find(|it| words.iter().any(|word| word == it) && !is_plain(it))
}

/// `CallWorker` and `call_worker` are `call` and `worker`. A plural counts as its singular, too.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in name.chars() {
        if c == '_' || c.is_uppercase() {
            words.push(String::new());
        }
        if c != '_' {
            words.last_mut().unwrap().extend(c.to_lowercase());
        }
    }
    let singular = words.iter().filter_map(|it| it.strip_suffix('s')).map(str::to_owned);
    let singular = singular.collect::<Vec<_>>();
    words.into_iter().chain(singular).filter(|it| !it.is_empty()).collect()
}

/// Names that more than one type has, but for those that recur by design.
pub(super) fn duplicates(types: &[TypeName], recurring: &BTreeSet<String>) -> Vec<String> {
    let mut places = BTreeMap::<&str, Vec<&str>>::new();
    for one in types.iter().filter(|it| !it.is_alias && !recurring.contains(&it.name)) {
        places.entry(&one.name).or_default().push(&one.module);
    }
    let many = places.into_iter().filter(|(_, modules)| 1 < modules.len());
    many.map(|(name, modules)| format!("{name} is a type in {}", modules.join(", "))).collect()
}

/// The names that recur by design, as `src/lib.rs` lists them: in backticks, after this heading.
pub(super) fn recurring(page: &str) -> BTreeSet<String> {
    let after = page.split_once("//! # Names that recur").map_or("", |(_, it)| it);
    let section = after.split("//! # ").next().unwrap_or_default();
    section.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
