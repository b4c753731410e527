//! What the documents of one folder are to each other: links, loops, rooms and sounds.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Checked, Code,
    outline::{Onward, To},
};
use crate::flow::{Place, error::nearest};

/// The ending of a document's file name; `flow:NAME` leaves it out.
const EXTENSION: &str = ".xml";

/// Adds to documents of one folder, by the names of their files, what is to be found when they are
/// looked at together. With the names of all the folder's files, a link to none of them is a fault.
pub fn among(documents: &mut BTreeMap<String, Checked>, files: Option<&BTreeSet<String>>) {
    let mut found = Vec::new();
    for (name, document) in &*documents {
        if let Some(files) = files {
            find_missing(name, document, files, &mut found);
        }
        find_sounds(name, document, documents, &mut found);
        find_ends(name, documents, &mut found);
        find_loop(name, documents, &mut found);
    }
    for Found { document, at, code, message } in found {
        if let Some(checked) = documents.get_mut(&document) {
            checked.find(at, code, message);
        }
    }
}

/// The file that `flow:NAME` leads to.
fn file_of(name: &str) -> String {
    format!("{name}{EXTENSION}")
}

struct Found {
    document: String,
    at: Place,
    code: Code,
    message: String,
}

fn find_missing(name: &str, document: &Checked, files: &BTreeSet<String>, found: &mut Vec<Found>) {
    for link in &document.outline.links {
        let (file, kind) = match link.to {
            To::Audio => (link.name.clone(), "sound"),
            To::Document | To::Sound => (file_of(&link.name), "document"),
        };
        if files.contains(&file) {
            continue;
        }
        let names = files.iter().map(|it| match link.to {
            To::Audio => it.as_str(),
            To::Document | To::Sound => it.strip_suffix(EXTENSION).unwrap_or_default(),
        });
        let is_doubled = files.contains(&link.name);
        let near = if is_doubled { link.name.strip_suffix(EXTENSION) } else { None };
        let near = match near.or_else(|| nearest(&link.name, names)) {
            Some(near) => format!(" (did you mean flow:{near}?)"),
            None => String::new(),
        };
        let message = format!("flow:{} leads to no {kind}: {file} is not there{near}", link.name);
        found.push(Found { document: name.into(), at: link.at, code: Code::MissingLink, message });
    }
}

fn find_sounds(
    name: &str,
    document: &Checked,
    documents: &BTreeMap<String, Checked>,
    found: &mut Vec<Found>,
) {
    for link in document.outline.links.iter().filter(|it| it.to == To::Sound) {
        let Some(sound) = documents.get(&file_of(&link.name)) else { continue };
        for &(at, tag) in &sound.outline.soundless {
            let message = format!("<{tag}> is passed over where {name}:{} plays this", link.at);
            found.push(Found { document: file_of(&link.name), at, code: Code::NotASound, message });
        }
    }
}

/// Whose call ends when another member's leaving ends the room.
fn find_ends(name: &str, documents: &BTreeMap<String, Checked>, found: &mut Vec<Found>) {
    let hosts = documents.iter().flat_map(|(host, document)| {
        document.outline.rooms.iter().filter_map(move |it| Some((host, it, it.ends_at?)))
    });
    let hosts: Vec<_> = hosts.collect();
    for guest in documents[name].outline.rooms.iter().filter(|it| !it.goes_on) {
        let Some((host, _, ends_at)) = hosts.iter().find(|(_, room, _)| room.name == guest.name)
        else {
            continue;
        };
        let whose = match host.as_str() == name {
            true => format!("of this flow ({ends_at})"),
            false => format!("of {host}:{ends_at}"),
        };
        let message = format!(
            "when a member {whose} leaves, the room ends (endConferenceOnExit), and with it this \
             call: no element follows"
        );
        found.push(Found {
            document: name.into(),
            at: guest.at,
            code: Code::EndEndsCalls,
            message,
        });
    }
}

/// A way from a document's end back to its beginning.
fn find_loop(name: &str, documents: &BTreeMap<String, Checked>, found: &mut Vec<Found>) {
    let mut way: Vec<&Onward> = Vec::new();
    let mut at = name.to_owned();
    loop {
        let onward = documents.get(&at).and_then(|it| it.outline.onward.as_ref());
        let Some((onward, next)) = onward.and_then(|it| Some((it, it.name.as_deref()?))) else {
            return;
        };
        way.push(onward);
        at = file_of(next);
        if at == name {
            break;
        }
        // A loop that this document only leads into is found at the documents of the loop.
        if documents.len() < way.len() {
            return;
        }
    }

    let round = match way.len() {
        1 => "to itself".to_owned(),
        n => format!("back to itself, by way of {}", names(&way[..n - 1])),
    };
    let (code, what) = match () {
        () if way.iter().all(|it| it.is_silent) => {
            (Code::SilentLoop, "and nothing is heard or waited for on the way")
        }
        () if way.iter().any(|it| it.has_ways) => return,
        () => (Code::EndlessLoop, "again and again: no key and no room leads elsewhere"),
    };
    let message = format!("this leads {round}, {what}");
    found.push(Found { document: name.into(), at: way[0].at, code, message });
}

fn names(way: &[&Onward]) -> String {
    let names = way.iter().filter_map(|it| it.name.as_deref());
    names.map(|name| format!("flow:{name}")).collect::<Vec<_>>().join(" and ")
}
