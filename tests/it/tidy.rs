//! What neither the compiler nor clippy checks: floors, circles, names, first lines, lengths.
//!
//! The finder reads tokens, not types. It sees every path, also in macros and after test items; a
//! call of a method is no use, since it names no module.

mod cases;
mod circles;
mod floors;
mod modules;
mod paths;
mod tokens;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::LazyLock,
};

use self::{
    floors::Floors,
    modules::{Crate, File, Use},
};

/// Uses inside a folder that would close a circle, and why they stay for now. None may be added
/// for code that can be put below both sides instead. `*` is any file of the folder.
const OPEN_CIRCLES: &[OpenCircle] = &[
    OpenCircle {
        folder: "bench",
        from: "external",
        to: "target",
        why: "a foreign engine is asked as our own is, and our own target looks for a foreign one",
    },
    OpenCircle {
        folder: "bench",
        from: "receiver",
        to: "external",
        why: "a receiver listens where a foreign engine can reach it",
    },
    OpenCircle {
        folder: "bench::report",
        from: "median",
        to: "mod",
        why: "a median is a row, and a report is made of rows",
    },
    OpenCircle {
        folder: "api",
        from: "mod",
        to: "*",
        why: "the API answers by its parts, and they share its state",
    },
    OpenCircle {
        folder: "api::groups",
        from: "mod",
        to: "*",
        why: "each dialect of groups is called by name",
    },
    OpenCircle {
        folder: "api::groups::admin",
        from: "mod",
        to: "*",
        why: "the endpoints are called by name",
    },
    OpenCircle {
        folder: "api::groups::kirimin",
        from: "mod",
        to: "*",
        why: "the endpoints are called by name",
    },
    OpenCircle {
        folder: "api::groups::rocketchat",
        from: "mod",
        to: "*",
        why: "the endpoints are called by name",
    },
    OpenCircle {
        folder: "api::voice",
        from: "mod",
        to: "*",
        why: "the endpoints are called by name",
    },
    OpenCircle {
        folder: "api::voice::calls",
        from: "mod",
        to: "*",
        why: "the endpoints are called by name",
    },
];

/// Of a machine that is not the reader's. Put together, so that this file has none of them.
const BANNED_EVERYWHERE: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/tmp/", "wt")];
const FILE_LINES_MAX: usize = 500;
/// Of all code.
const FOLDER_PERCENT_MAX: usize = 17;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const SRC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
/// Built before the crate, and no part of it.
const BUILD_SCRIPT: &str = "speech::pico::build";

/// A use that is not counted when circles are looked for.
#[derive(Clone, Copy)]
struct OpenCircle {
    folder: &'static str,
    from: &'static str,
    to: &'static str,
    #[expect(dead_code, reason = "for the reader")]
    why: &'static str,
}

impl OpenCircle {
    fn is(self, one: &Use) -> bool {
        let fits = |name: &str, module: &str| {
            circles::part(self.folder, module).is_some_and(|it| name == "*" || it == name)
        };
        fits(self.from, &one.from) && fits(self.to, &one.to)
    }
}

struct Source {
    files: Vec<File>,
    code: Crate,
}

/// Read once for all tests.
static SOURCE: LazyLock<Source> = LazyLock::new(source);

#[test]
fn each_module_keeps_to_its_floor() {
    let Source { files, code: it } = &*SOURCE;
    let floors = Floors::read(text_of(files, ""));
    let mut wrong = floors.check_table(&it.files());
    let mut seen = BTreeSet::new();
    for one in it.uses() {
        if let Some(why) = floors.check_use(&one)
            && seen.insert(why.clone())
        {
            wrong.push(format!("{}: {why}", place(files, &one.from, one.line)));
        }
    }
    let impure = floors.impurities(it).into_iter();
    wrong.extend(
        impure.map(|(module, line, why)| format!("{}: {why}", place(files, &module, line))),
    );
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_modules_use_each_other_in_a_circle() {
    let Source { files, code: it } = &*SOURCE;
    let uses = it.uses();
    let wrong = circles_of(&uses, it, OPEN_CIRCLES);
    let shown = |circle: &Vec<Use>| {
        let shown =
            |it: &Use| format!("  {}: {}::{}", place(files, &it.from, it.line), it.to, it.name);
        format!("a circle:\n{}", circle.iter().map(shown).collect::<Vec<_>>().join("\n"))
    };
    assert!(wrong.is_empty(), "\n{}", wrong.iter().map(shown).collect::<Vec<_>>().join("\n"));
    let all = circles_of(&uses, it, &[]).concat();
    let is_closed = |open: &&OpenCircle| !all.iter().any(|it| open.is(it));
    let closed = OPEN_CIRCLES.iter().filter(is_closed);
    let closed = closed.map(|it| format!("{}: {} → {}", it.folder, it.from, it.to));
    let closed = closed.collect::<Vec<_>>();
    assert!(closed.is_empty(), "closes no circle now; delete it:\n{}", closed.join("\n"));
}

#[test]
fn names_are_those_of_the_field() {
    let Source { files, code: it } = &*SOURCE;
    let mut wrong = Vec::new();
    for file in files {
        let name = file.module.rsplit("::").next().unwrap();
        if let Some(word) = words::retired(&file.module, name) {
            wrong.push(format!("{}: a module is named {word:?}, which is retired", file.path));
        }
    }
    for one in &it.types {
        if let Some(word) = words::retired(&one.module, &one.name) {
            let place = place(files, &one.module, one.line);
            wrong.push(format!("{place}: {} has {word:?}, which is retired", one.name));
        }
    }
    let recurring = words::recurring(text_of(files, ""));
    wrong.extend(words::duplicates(&it.types, &recurring));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn first_lines_say_what_is_in_a_file() {
    let files = &SOURCE.files;
    let wrong = files
        .iter()
        .filter_map(|it| Some(format!("{}: {}", it.path, words::first_line(&it.text)?)));
    let wrong = wrong.collect::<Vec<_>>();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn docs_of_public_items_say_more_than_their_names() {
    let files = &SOURCE.files;
    let mut wrong = Vec::new();
    for file in files {
        let short = words::short_docs(&file.text).into_iter();
        wrong.extend(short.map(|(line, doc)| format!("{}:{line}: {doc}", file.path)));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn files_and_folders_are_small() {
    let files = &SOURCE.files;
    let mut wrong = Vec::new();
    let mut folders = BTreeMap::<&str, usize>::new();
    for file in files {
        let lines = file.text.lines().count();
        if FILE_LINES_MAX < lines {
            wrong.push(format!("{}: {lines} lines, above {FILE_LINES_MAX}", file.path));
        }
        *folders.entry(file.module.split("::").next().unwrap()).or_default() += lines;
        for word in ["#[allow", "#![allow"].iter().filter(|word| file.text.contains(**word)) {
            wrong.push(format!("{}: {word}…]: write #[expect(…, reason = \"…\")]", file.path));
        }
    }
    let all = folders.values().sum::<usize>();
    for (folder, lines) in folders {
        if all * FOLDER_PERCENT_MAX < lines * 100 {
            wrong.push(format!("{folder} has more than {FOLDER_PERCENT_MAX} % of the code"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn nothing_names_the_machine_it_was_made_on() {
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

/// The circles in each folder, but for what is known to be open.
fn circles_of(uses: &BTreeSet<Use>, it: &Crate, open: &[OpenCircle]) -> Vec<Vec<Use>> {
    let is_counted = |one: &&Use| !open.iter().any(|it| it.is(one));
    let counted = uses.iter().filter(is_counted).cloned().collect::<BTreeSet<_>>();
    let files = it.files();
    let folders = files.iter().flat_map(|it| it.match_indices("::").map(|(at, _)| &it[..at]));
    let folders = folders.chain([""]).collect::<BTreeSet<_>>();
    folders.into_iter().flat_map(|it| circles::circles(it, &counted)).collect()
}

/// All files of the crate, and what they say of each other.
fn source() -> Source {
    let mut files = Vec::new();
    walk(Path::new(SRC), &mut |path, text| {
        if path.extension().is_none_or(|it| it != "rs") {
            return;
        }
        let module = path.strip_prefix(SRC).unwrap().with_extension("");
        let module = module.to_str().unwrap().replace('/', "::");
        let module = module.strip_suffix("::mod").unwrap_or(&module);
        if module != BUILD_SCRIPT {
            let module = if module == "lib" { "" } else { module }.to_owned();
            let path = path.strip_prefix(ROOT).unwrap().display().to_string();
            files.push(File { module, path, text: text.to_owned() });
        }
    });
    files.sort_by(|a, b| a.module.cmp(&b.module));
    let code = Crate::read(&files);
    Source { files, code }
}

fn text_of<'a>(files: &'a [File], module: &str) -> &'a str {
    files.iter().find(|it| it.module == module).map_or("", |it| &it.text)
}

/// For an editor to open.
fn place(files: &[File], module: &str, line: usize) -> String {
    let path = files.iter().find(|it| it.module == module).map_or(module, |it| &it.path);
    format!("{path}:{line}")
}

/// Every file of text below a folder.
fn walk(folder: &Path, each: &mut dyn FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            // What a package of its own has been built into, or needs.
            true if path.ends_with("target") || path.ends_with("node_modules") => {}
            true => walk(&path, each),
            false => fs::read_to_string(&path).into_iter().for_each(|text| each(&path, &text)),
        }
    }
}
