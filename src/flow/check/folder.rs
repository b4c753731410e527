//! Folder checks: links, loops, rooms and sounds across the documents of one folder.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Checked, Code,
    outline::{DefaultRedirect, LinkTarget},
};
use crate::flow::{TextPosition, error::nearest, is_audio_name};

/// Extension of documents, which `flow:NAME` leaves out.
const EXTENSION: &str = ".xml";

/// Adds the findings that need all documents of a folder, by file name, to each of them. `files`
/// holds all file names of the folder; if it is given, a link to a missing file is an error.
pub fn check_folder(documents: &mut BTreeMap<String, Checked>, files: Option<&BTreeSet<String>>) {
    let mut found = Vec::new();
    for (name, document) in &*documents {
        if let Some(files) = files {
            find_missing(name, document, files, &mut found);
        }
        find_sounds(name, document, documents, &mut found);
        find_ends(name, documents, &mut found);
        find_loop(name, documents, &mut found);
    }
    for FolderFinding { document, at, code, message } in found {
        if let Some(checked) = documents.get_mut(&document) {
            checked.add(at, code, message);
        }
    }
}

/// The files that a document's links lead to.
pub fn links(document: &Checked) -> impl Iterator<Item = String> {
    let links = document.outline.links.iter();
    links.filter(|it| it.to != LinkTarget::Audio).map(|it| file_of(&it.name))
}

fn file_of(name: &str) -> String {
    format!("{name}{EXTENSION}")
}

struct FolderFinding {
    document: String,
    at: TextPosition,
    code: Code,
    message: String,
}

fn find_missing(
    name: &str,
    document: &Checked,
    files: &BTreeSet<String>,
    found: &mut Vec<FolderFinding>,
) {
    for link in &document.outline.links {
        let (file, kind) = match link.to {
            LinkTarget::Audio => (link.name.clone(), "sound"),
            LinkTarget::Document | LinkTarget::Sound => (file_of(&link.name), "document"),
        };
        // A sound file instead of a sound document is played.
        let is_sound_file = link.to == LinkTarget::Sound && is_audio_name(&link.name);
        if files.contains(&file) || (is_sound_file && files.contains(&link.name)) {
            continue;
        }
        let names = files.iter().map(|it| match link.to {
            LinkTarget::Audio => it.as_str(),
            LinkTarget::Document | LinkTarget::Sound => {
                it.strip_suffix(EXTENSION).unwrap_or_default()
            }
        });
        let is_doubled = files.contains(&link.name);
        let near = if is_doubled { link.name.strip_suffix(EXTENSION) } else { None };
        let near = match near.or_else(|| nearest(&link.name, names)) {
            Some(near) => format!(" (did you mean flow:{near}?)"),
            None => String::new(),
        };
        let message = format!("flow:{} leads to no {kind}: {file} is not there{near}", link.name);
        found.push(FolderFinding {
            document: name.into(),
            at: link.at,
            code: Code::MissingLink,
            message,
        });
    }
}

fn find_sounds(
    name: &str,
    document: &Checked,
    documents: &BTreeMap<String, Checked>,
    found: &mut Vec<FolderFinding>,
) {
    for link in document.outline.links.iter().filter(|it| it.to == LinkTarget::Sound) {
        let Some(sound) = documents.get(&file_of(&link.name)) else { continue };
        for &(at, tag) in &sound.outline.soundless {
            let message = format!("<{tag}> is ignored when {name}:{} plays this document", link.at);
            found.push(FolderFinding {
                document: file_of(&link.name),
                at,
                code: Code::NotASound,
                message,
            });
        }
    }
}

/// Finds calls that end when another member's exit ends the room.
fn find_ends(name: &str, documents: &BTreeMap<String, Checked>, found: &mut Vec<FolderFinding>) {
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
        found.push(FolderFinding {
            document: name.into(),
            at: guest.at,
            code: Code::EndEndsCalls,
            message,
        });
    }
}

/// Finds a loop of redirects from the document back to itself.
fn find_loop(name: &str, documents: &BTreeMap<String, Checked>, found: &mut Vec<FolderFinding>) {
    let mut path: Vec<&DefaultRedirect> = Vec::new();
    let mut at = name.to_owned();
    loop {
        let onward = documents.get(&at).and_then(|it| it.outline.redirect.as_ref());
        let Some((onward, next)) = onward.and_then(|it| Some((it, it.name.as_deref()?))) else {
            return;
        };
        path.push(onward);
        at = file_of(next);
        if at == name {
            break;
        }
        // A loop that this document only leads into is reported for the documents of the loop.
        if documents.len() < path.len() {
            return;
        }
    }

    let round = match path.len() {
        1 => "to itself".to_owned(),
        n => format!("back to itself by way of {}", names(&path[..n - 1])),
    };
    let (code, what) = match () {
        () if path.iter().all(|it| it.is_silent) => {
            (Code::SilentLoop, "and nothing is heard or waited for on the way")
        }
        () if path.iter().any(|it| it.has_exit) => return,
        () => (Code::EndlessLoop, "again and again: no key and no room leads elsewhere"),
    };
    let message = format!("this leads {round}, {what}");
    found.push(FolderFinding { document: name.into(), at: path[0].at, code, message });
}

fn names(path: &[&DefaultRedirect]) -> String {
    let names = path.iter().filter_map(|it| it.name.as_deref());
    names.map(|name| format!("flow:{name}")).collect::<Vec<_>>().join(" and ")
}
