//! Modules: a crate's module tree, and where each path of its code leads.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    paths::{self, Import},
    tokens::{Token, attribute, group, tokens, without_tests},
};

/// A file of Rust source.
pub(super) struct File {
    /// `sip::agent`; the root is empty.
    pub(super) module: String,
    /// From the root of the repository.
    pub(super) path: String,
    pub(super) text: String,
}

/// The name of a type, and where it is defined.
#[derive(Debug)]
pub(super) struct TypeName {
    pub(super) name: String,
    pub(super) module: String,
    pub(super) line: usize,
    /// It is another name of a type that has one.
    pub(super) is_alias: bool,
}

/// What the code of one file uses of another.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Use {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) name: String,
    pub(super) line: usize,
}

/// A module, which is a file or stands in one.
#[derive(Default)]
struct Module {
    /// The module that is its file.
    file: String,
    children: BTreeSet<String>,
    items: BTreeSet<String>,
    imports: Vec<Import>,
    paths: Vec<(Vec<String>, usize)>,
}

/// A crate, without what only its tests have.
#[derive(Default)]
pub(super) struct Crate {
    modules: BTreeMap<String, Module>,
    tests: BTreeSet<String>,
    pub(super) types: Vec<TypeName>,
    /// The words of each file, and their lines.
    pub(super) code: BTreeMap<String, Vec<(String, usize)>>,
}

impl Crate {
    /// Reads all files, the root first.
    pub(super) fn read(files: &[File]) -> Self {
        let mut it = Self::default();
        let parsed = files.iter().map(|file| (file, tokens(&file.text))).collect::<Vec<_>>();
        let stripped = parsed.iter().map(|(file, all)| (file, without_tests(all)));
        let stripped = stripped.collect::<Vec<_>>();
        for (file, (_, modules)) in &stripped {
            it.tests.extend(modules.iter().map(|name| join(&file.module, name)));
        }
        for (file, (code, _)) in &stripped {
            if it.is_test(&file.module) {
                continue;
            }
            it.declare(&file.module, &file.module, code);
            let code = code.iter().map(|it| (it.text.to_owned(), it.line)).collect();
            it.code.insert(file.module.clone(), code);
        }
        it
    }

    /// Whether a module is declared for tests alone.
    pub(super) fn is_test(&self, module: &str) -> bool {
        self.tests.iter().any(|it| is_within(module, it))
    }

    /// Takes in the items, imports and paths of a module.
    fn declare(&mut self, path: &str, file: &str, code: &[Token<'_>]) {
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        let mut at = 0;
        // Code that is not a module of its own within this file.
        let mut own = Vec::new();
        while at < code.len() {
            if let Some(length) = attribute(&code[at..]) {
                own.extend(&code[at..at + length]);
                at += length;
                continue;
            }
            let next = |n: usize| code.get(at + n).map_or("", |it| it.text);
            let mut length = 1;
            match code[at].text {
                "mod" if next(2) == ";" => {
                    module.children.insert(next(1).to_owned());
                    length = 3;
                }
                "mod" if next(2) == "{" => {
                    length = 2 + group(&code[at + 2..]);
                    module.children.insert(next(1).to_owned());
                    self.declare(&join(path, next(1)), file, &code[at + 3..at + length - 1]);
                    at += length;
                    continue;
                }
                "use" => {
                    let end = code[at..].iter().position(|it| it.text == ";").unwrap();
                    length = end + 1;
                }
                "{" | "(" | "[" => length = group(&code[at..]),
                "struct" | "enum" | "union" | "trait" | "type" if is_name(next(1)) => {
                    self.types.push(TypeName {
                        name: next(1).to_owned(),
                        module: file.to_owned(),
                        line: code[at].line,
                        is_alias: code[at].text == "type",
                    });
                    module.items.insert(next(1).to_owned());
                }
                "fn" | "const" | "static" if is_name(next(1)) => {
                    module.items.insert(next(1).to_owned());
                }
                "macro_rules" if next(1) == "!" => {
                    module.items.insert(next(2).to_owned());
                }
                _ => (),
            }
            own.extend(&code[at..at + length]);
            at += length;
        }
        (module.imports, module.paths) = paths::read(&own);
        self.modules.insert(path.to_owned(), module);
    }

    /// Every use of a file by another.
    pub(super) fn uses(&self) -> BTreeSet<Use> {
        let mut uses = BTreeSet::new();
        for (path, module) in &self.modules {
            let mut add = |words: &[String], line| {
                let Some((to, name)) = self.resolve(path, words, 0) else { return };
                let to = self.modules[&to].file.clone();
                if to != module.file {
                    uses.insert(Use { from: module.file.clone(), to, name, line });
                }
            };
            for import in &module.imports {
                let is_facade = import.is_public && self.is_child(path, &import.path);
                if !is_facade && !import.is_glob {
                    add(&import.path, import.line);
                }
            }
            for (words, line) in &module.paths {
                add(words, *line);
            }
        }
        uses
    }

    /// The paths of all code, with what its imports add to them: `use std::fs;` and `fs::write` is
    /// `std::fs::write`. Imports come as well.
    pub(super) fn all_paths(&self) -> impl Iterator<Item = (&str, String, usize)> {
        self.modules.values().flat_map(|module| {
            let imports = module.imports.iter();
            let imported = imports.map(|it| (module.file.as_str(), it.path.join("::"), it.line));
            let paths = module.paths.iter().map(|(words, line)| {
                let import = module.imports.iter().find(|it| it.name == words[0]);
                let head = import.map_or_else(|| words[0].clone(), |it| it.path.join("::"));
                let tail = words[1..].iter().map(|it| format!("::{it}")).collect::<String>();
                (module.file.as_str(), head + &tail, *line)
            });
            imported.chain(paths)
        })
    }

    /// All modules that are files.
    pub(super) fn files(&self) -> BTreeSet<String> {
        self.code.keys().cloned().collect()
    }

    /// Whether a path leads into a module below this one.
    fn is_child(&self, module: &str, path: &[String]) -> bool {
        self.resolve(module, path, 0).is_some_and(|(to, _)| to != module && is_within(&to, module))
    }

    /// The module that defines what a path names, and its name there. None: a module, something
    /// local, or another crate's.
    fn resolve(&self, from: &str, path: &[String], depth: u8) -> Option<(String, String)> {
        const DEPTH_MAX: u8 = 12;
        if DEPTH_MAX < depth {
            return None;
        }
        let (first, rest) = path.split_first()?;
        let module = &self.modules[from];
        let (start, rest) = match first.as_str() {
            "crate" => (String::new(), rest),
            // The binary's name for the library.
            "conflow" if from == "main" => (String::new(), rest),
            "self" if rest.first().is_some_and(|it| it == "super") => {
                return self.resolve(from, rest, depth);
            }
            "self" => (from.to_owned(), rest),
            "super" => return self.resolve_super(from, rest, depth),
            _ if module.children.contains(first) || module.items.contains(first) => {
                (from.to_owned(), path)
            }
            _ => return self.resolve_import(from, first, rest, depth),
        };
        self.walk(&start, rest, depth)
    }

    fn resolve_super(&self, from: &str, rest: &[String], depth: u8) -> Option<(String, String)> {
        let parent = from.rsplit_once("::").map_or("", |(parent, _)| parent);
        match rest.first().is_some_and(|it| it == "super") {
            true => self.resolve_super(parent, &rest[1..], depth),
            false => self.walk(parent, rest, depth),
        }
    }

    /// Follows a path down from a module.
    fn walk(&self, from: &str, path: &[String], depth: u8) -> Option<(String, String)> {
        let (first, rest) = path.split_first()?;
        let module = self.modules.get(from)?;
        if module.children.contains(first) && !self.is_test(&join(from, first)) {
            return self.walk(&join(from, first), rest, depth);
        }
        if module.items.contains(first) {
            return Some((from.to_owned(), first.clone()));
        }
        let imported = self.resolve_import(from, first, rest, depth);
        // What a macro defines is in no list of items.
        imported.or_else(|| Some((from.to_owned(), first.clone())))
    }

    /// Follows a name through the imports of a module.
    fn resolve_import(
        &self,
        from: &str,
        first: &str,
        rest: &[String],
        depth: u8,
    ) -> Option<(String, String)> {
        let imports = &self.modules[from].imports;
        if let Some(import) = imports.iter().find(|it| !it.is_glob && it.name == first) {
            let is_itself = import.path.first().is_some_and(|it| it == first);
            if is_itself {
                return None;
            }
            let path = import.path.iter().chain(rest).cloned().collect::<Vec<_>>();
            return self.resolve(from, &path, depth + 1);
        }
        imports.iter().filter(|it| it.is_glob).find_map(|import| {
            let module = self.module_of(from, &import.path, depth)?;
            let its = &self.modules[&module];
            let is_there = its.items.contains(first)
                || its.children.contains(first)
                || its.imports.iter().any(|it| it.name == first);
            let path = [first.to_owned()].into_iter().chain(rest.iter().cloned());
            is_there.then(|| self.walk(&module, &path.collect::<Vec<_>>(), depth + 1)).flatten()
        })
    }

    /// The module that a path is; None if it is none.
    fn module_of(&self, from: &str, path: &[String], depth: u8) -> Option<String> {
        const PROBE: &str = "?";
        let probe = path.iter().cloned().chain([PROBE.to_owned()]).collect::<Vec<_>>();
        let (module, name) = self.resolve(from, &probe, depth + 1)?;
        (name == PROBE).then_some(module)
    }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_') && word != "fn"
}

/// `a` and `b` are `a::b`.
pub(super) fn join(parent: &str, child: &str) -> String {
    match parent.is_empty() {
        true => child.to_owned(),
        false => format!("{parent}::{child}"),
    }
}

/// Whether a module is another one, or below it.
pub(super) fn is_within(module: &str, parent: &str) -> bool {
    parent.is_empty()
        || module.strip_prefix(parent).is_some_and(|it| it.is_empty() || it.starts_with("::"))
}
