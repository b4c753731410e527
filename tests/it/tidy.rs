//! What neither the compiler nor clippy checks: floors, file lengths, and words out of place.

use std::{fs, path::Path};

/// From the ground up. A file may use its own floor and those below it.
const FLOORS: &[(u8, &str)] = &[
    (0, "by_call"),
    (0, "ids"),
    (0, "meter"),
    (0, "traceparent"),
    (0, "utc"),
    (1, "delivery"),
    (1, "events"),
    (1, "group"),
    (1, "media/mod"),
    (1, "speech/mod"),
    (1, "store/mod"),
    (1, "store/rows"),
    (1, "watch"),
    (2, "flow"),
    (2, "media"),
    (3, "signature"),
    (4, "bans"),
    (4, "call"),
    (4, "directory"),
    (3, "trace"),
    (4, "numbers"),
    (5, "conference"),
    (5, "library/mod"),
    (5, "news"),
    (5, "records"),
    (TOOLS, "accounts"),
    (TOOLS, "credentials"),
    (TOOLS, "fetch"),
    (TOOLS, "library"),
    (TOOLS, "sound"),
    (TOOLS, "store"),
    (ADAPTERS, "media/plane"),
    (ADAPTERS, "callback"),
    (ADAPTERS, "library/web"),
    (ADAPTERS, "media/sim"),
    (ADAPTERS, "media/sip"),
    (ADAPTERS, "sound/web"),
    (ADAPTERS, "speech"),
    (8, "actor"),
    (9, "api"),
    (9, "cli"),
    (9, "simulate"),
    (10, "app"),
    (10, "config"),
    (10, "lib"),
    (10, "main"),
];

/// The highest floor that does no IO and reads no clock.
const PURE: u8 = 5;
/// On these two floors, neighbours do not know each other.
const TOOLS: u8 = 6;
const ADAPTERS: u8 = 7;

/// Hash tables for their order, which differs from run to run: a simulation could not be replayed.
const BANNED_BELOW: &[&str] = &[
    "tokio::",
    "Instant::now",
    "SystemTime::now",
    "async fn",
    "HashMap",
    HASHBROWN,
    "fastrand::",
    "rand::",
];
const HASHBROWN: &str = "hashbrown::";
/// Hashes alike in every run, and shows no order.
const MAY_HASH: &str = "by_call";
/// Of a machine that is not the reader's. Put together, so that this file has none of them.
const BANNED_EVERYWHERE: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/tmp/", "wt")];
const FILE_LINES_MAX: usize = 500;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const SRC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

#[test]
fn the_source_is_tidy() {
    let mut violations = Vec::new();
    walk(Path::new(SRC), &mut |path, text| {
        if path.extension().is_none_or(|it| it != "rs") {
            return;
        }
        let module = path.strip_prefix(SRC).unwrap().with_extension("");
        judge(module.to_str().unwrap(), text, &mut violations);
    });
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

#[test]
fn nothing_speaks_of_the_machine_it_was_made_on() {
    let mut violations = Vec::new();
    let mut check = |path: &Path, text: &str| {
        for word in BANNED_EVERYWHERE.iter().filter(|word| text.contains(**word)) {
            violations.push(format!("{}: {word}", path.display()));
        }
    };
    for folder in ["src", "tests", "benches", "flows", ".ci"] {
        let folder = Path::new(ROOT).join(folder);
        if folder.is_dir() {
            walk(&folder, &mut check);
        }
    }
    for entry in fs::read_dir(ROOT).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "md" || it == "toml") {
            check(&path, &fs::read_to_string(&path).unwrap());
        }
    }
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

#[test]
fn a_reach_upwards_or_sideways_is_found() {
    let check = |module: &str, text: &str, expected: &str| {
        let mut violations = Vec::new();
        judge(module, &format!("//! A module.\n{text}"), &mut violations);
        assert_eq!(violations.join("\n"), expected, "{module}: {text}");
    };
    check("call", "use crate::{flow::{Flow, Run}, ids::CallId};", "");
    check("flow/run", "use crate::call::Call;", "flow/run (floor 2) reaches up to call/mod");
    check(
        "call",
        "use crate::{\n    actor::registry::House,\n    ids::CallId,\n};",
        "call (floor 4) reaches up to actor/registry",
    );
    check("store/marks", "use crate::store::folder::DataFolder;", "");
    check(
        "store/marks",
        "use crate::library::folder::Folder;",
        "store/marks reaches sideways to library/folder",
    );
    check("store/marks", "use crate::library::Library;", "");
    check("conference/state", "use tokio::time;", "conference/state: tokio:: on a pure floor");
    check("conference/state", "#[cfg(test)]\nuse tokio::time;", "");
    check("nowhere", "", "nowhere: give it a floor in tests/it/tidy.rs");
}

fn judge(module: &str, text: &str, violations: &mut Vec<String>) {
    let Some((floor, family)) = floor_of(module) else {
        return violations.push(format!("{module}: give it a floor in tests/it/tidy.rs"));
    };
    if !text.starts_with("//!") {
        violations.push(format!("{module}: says nothing about itself"));
    }
    if FILE_LINES_MAX < text.lines().count() {
        violations.push(format!("{module}: longer than {FILE_LINES_MAX} lines"));
    }
    // Tests in a file of their own may do what those at the foot of a file may.
    let is_tests = module.ends_with("/tests");
    let code = if is_tests { "" } else { text.split("#[cfg(test)]").next().unwrap() };
    for used in uses(code) {
        let Some((its_floor, its_family)) = floor_of(&used) else { continue };
        if floor < its_floor {
            violations.push(format!("{module} (floor {floor}) reaches up to {used}"));
        } else if (TOOLS..=ADAPTERS).contains(&floor) && floor == its_floor && family != its_family
        {
            violations.push(format!("{module} reaches sideways to {used}"));
        }
    }
    for word in BANNED_BELOW.iter().filter(|word| floor <= PURE && code.contains(**word)) {
        if (module, *word) == (MAY_HASH, HASHBROWN) {
            continue;
        }
        violations.push(format!("{module}: {word} on a pure floor"));
    }
    for word in ["#[allow", "#![allow"].iter().filter(|word| text.contains(**word)) {
        violations.push(format!("{module}: {word}…]: write #[expect(…, reason = \"…\")]"));
    }
}

/// A module's floor, and the row that says so. The longest prefix wins, so that a port can lie
/// below its adapters.
fn floor_of(module: &str) -> Option<(u8, &'static str)> {
    let fits = |prefix: &str| {
        module.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    FLOORS.iter().filter(|(_, it)| fits(it)).max_by_key(|(_, it)| it.len()).copied()
}

/// Each module of ours that the code names.
fn uses(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code = lines.collect::<Vec<_>>().join("\n");
    code.split("crate::").skip(1).for_each(|tree| flatten("", tree, &mut paths));
    paths.iter().map(|path| module_of(path)).collect()
}

/// `a::{b, c::{d, e}}` is `a::b`, `a::c::d` and `a::c::e`.
fn flatten(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let end = tree.find(|c| !is_path(c)).unwrap_or(tree.len());
    let (path, rest) = tree.split_at(end);
    let Some(group) = rest.strip_prefix('{') else {
        return paths.push(format!("{prefix}{path}"));
    };
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices() {
        if depth == 0 && matches!(c, ',' | '}') {
            flatten(&format!("{prefix}{path}"), group[start..at].trim(), paths);
            start = at + 1;
        }
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return,
            '}' => depth -= 1,
            _ => (),
        }
    }
}

/// The file that a path leads to: `media::Order` is in `media/mod`.
fn module_of(path: &str) -> String {
    let mut module = String::new();
    for word in path.split("::").filter(|word| !word.is_empty()) {
        let next = Path::new(&module).join(word);
        let file = Path::new(SRC).join(&next);
        if !file.is_dir() && !file.with_extension("rs").is_file() {
            break;
        }
        module = next.to_str().unwrap().to_owned();
    }
    match Path::new(SRC).join(&module).is_dir() {
        true => module + "/mod",
        false => module,
    }
}

/// Every file of text below a folder.
fn walk(folder: &Path, each: &mut dyn FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            // What a package of its own has been built into.
            true if path.ends_with("target") => {}
            true => walk(&path, each),
            false => fs::read_to_string(&path).into_iter().for_each(|text| each(&path, &text)),
        }
    }
}
