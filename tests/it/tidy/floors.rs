//! Floors: the table in `src/lib.rs`, and what breaks it.

use std::collections::BTreeSet;

use super::modules::{Crate, Use, is_within};

/// The highest floor whose modules do no IO and read no clock.
const PURE: u8 = 2;
/// On this floor, folders do not know each other, unless the table says so by `<`.
const ADAPTERS: u8 = 3;

/// Words that a pure floor does not have, and what each would be.
const IMPURE: &[(&str, &str)] = &[
    ("Condvar", "a lock"),
    ("HashMap", "a table in random order"),
    ("HashSet", "a table in random order"),
    ("Mutex", "a lock"),
    ("RwLock", "a lock"),
    ("async", "async code"),
    ("await", "async code"),
    ("fastrand", "randomness"),
    ("getrandom", "randomness"),
    ("hashbrown", "a table in random order"),
    ("new_v4", "randomness"),
    ("parking_lot", "a lock"),
    ("rand", "randomness"),
    ("tokio", "tokio"),
];
/// Its order is never seen, and its hasher is the same in every run.
const MAY_HASH: (&str, &str) = ("base::call_map", "hashbrown");
/// Functions that ask a clock.
const CLOCKS: &[&str] = &["Instant::now", "SystemTime::now", "UNIX_EPOCH::elapsed"];
/// Modules of `std` that do IO.
const IO: &[&str] = &["fs", "net", "process", "thread"];
/// Of `std::net`: plain data.
const ADDRESSES: &[&str] = &[
    "AddrParseError",
    "IpAddr",
    "Ipv4Addr",
    "Ipv6Addr",
    "SocketAddr",
    "SocketAddrV4",
    "SocketAddrV6",
];
/// Of `std::thread`: asks whether a panic is on its way.
const HARMLESS: &[&str] = &["std::thread::panicking"];

/// Which module is on which floor.
#[derive(Debug, Default)]
pub(super) struct Floors {
    rows: Vec<(u8, String)>,
    /// Of two modules of one floor, the one below and the one above it.
    order: Vec<(String, String)>,
}

impl Floors {
    /// Reads the table: its rows begin with a floor's number, and their second column has modules
    /// in backticks. `a` < `b`: the first is below the second, on the same floor; a `;` ends such a
    /// chain. `a::{b, c}` is `a::b` and `a::c`.
    pub(super) fn read(page: &str) -> Self {
        let mut it = Self::default();
        for line in page.lines().filter_map(|it| it.strip_prefix("//! | ")) {
            let mut columns = line.split(" | ");
            let (Some(floor), Some(modules)) = (columns.next(), columns.next()) else { continue };
            let number = floor.split(' ').next().and_then(|it| it.parse().ok());
            let Some(number) = number else { continue };
            for chain in modules.split(';') {
                let mut below = Vec::<String>::new();
                for part in chain.split('<') {
                    let names = part.split('`').skip(1).step_by(2).flat_map(expand);
                    let names = names.collect::<Vec<_>>();
                    for name in &names {
                        it.order.extend(below.iter().map(|low| (low.clone(), name.clone())));
                    }
                    it.rows.extend(names.iter().map(|name| (number, name.clone())));
                    below.extend(names);
                }
            }
        }
        it
    }

    /// The floor of a module: the longest row that it is within.
    pub(super) fn of(&self, module: &str) -> Option<u8> {
        let rows = self.rows.iter().filter(|(_, row)| is_within(module, row));
        rows.max_by_key(|(_, row)| row.len()).map(|(floor, _)| *floor)
    }

    /// What is wrong with the table itself.
    pub(super) fn check_table(&self, modules: &BTreeSet<String>) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut seen = BTreeSet::new();
        for (_, row) in &self.rows {
            if !modules.contains(row) {
                wrong.push(format!("the floor table has {row}, and src has not"));
            }
            if !seen.insert(row) {
                wrong.push(format!("the floor table has {row} twice"));
            }
        }
        let homeless = modules.iter().filter(|it| !it.is_empty() && self.of(it).is_none());
        wrong.extend(homeless.map(|it| format!("{it}: give it a floor in src/lib.rs")));
        wrong
    }

    /// What is wrong with a use.
    pub(super) fn check_use(&self, one: &Use) -> Option<String> {
        let Use { from, to, name, .. } = one;
        let (floor, its) = (self.of(from)?, self.of(to)?);
        if floor < its {
            return Some(format!("{from} is on floor {floor}, and {to}::{name} on floor {its}"));
        }
        if floor != its {
            return None;
        }
        let is = |low: &str, high: &str| {
            self.order.iter().any(|(l, h)| is_within(low, l) && is_within(high, h))
        };
        if is(from, to) {
            return Some(format!("the floor table has {to}::{name} above {from}"));
        }
        let is_sideways = floor == ADAPTERS && folder(from) != folder(to) && !is(to, from);
        is_sideways.then(|| format!("adapters do not know each other: {from}, {to}::{name}"))
    }

    /// What pure modules have and should not: module, line, and what it is.
    pub(super) fn impurities(&self, it: &Crate) -> Vec<(String, usize, String)> {
        let mut found = Vec::new();
        let pure = |module: &str| self.of(module).is_some_and(|floor| floor <= PURE);
        for (module, code) in it.code.iter().filter(|(module, _)| pure(module)) {
            for (word, line) in code {
                let what = IMPURE.iter().find(|(it, _)| it == word);
                if let Some((_, what)) = what
                    && (module.as_str(), word.as_str()) != MAY_HASH
                {
                    found.push((module.clone(), *line, format!("{word}: {what}, on a pure floor")));
                }
            }
        }
        for (module, path, line) in it.all_paths().filter(|(module, ..)| pure(module)) {
            if let Some(what) = impure_path(&path) {
                found.push((module.to_owned(), line, format!("{path}: {what}, on a pure floor")));
            }
        }
        found
    }
}

/// What a path reaches that a pure module must not.
fn impure_path(path: &str) -> Option<&'static str> {
    if CLOCKS.iter().any(|it| path.ends_with(it)) {
        return Some("a clock");
    }
    let mut words = path.split("::");
    let is_std = words.next() == Some("std");
    let (module, name) = (words.next().unwrap_or_default(), words.next());
    let is_data = module == "net" && name.is_some_and(|it| ADDRESSES.contains(&it));
    // Of `use std::net;` nothing is known before it is used.
    let is_io = is_std && IO.contains(&module) && !is_data && !HARMLESS.contains(&path);
    is_io.then_some("IO")
}

fn folder(module: &str) -> &str {
    module.split("::").next().unwrap_or_default()
}

/// `a::{b, c}` is `a::b` and `a::c`.
fn expand(span: &str) -> Vec<String> {
    let span = span.trim_start_matches("mod@");
    match span.split_once("::{") {
        None => vec![span.to_owned()],
        Some((parent, children)) => {
            let children = children.trim_end_matches('}').split(',');
            children.map(|it| format!("{parent}::{}", it.trim())).collect()
        }
    }
}
