//! Circles: files or folders that use each other in a loop.

use std::collections::{BTreeMap, BTreeSet};

use super::modules::{Use, is_within};

/// What a folder's own `mod.rs` is called among its files.
pub(super) const MOD: &str = "mod";

/// The circles among the files and folders that stand directly in a folder. A folder within counts
/// as one. Each comes with one use for every arrow.
pub(super) fn circles(folder: &str, uses: &BTreeSet<Use>) -> Vec<Vec<Use>> {
    let mut arrows = BTreeMap::<(String, String), Use>::new();
    for one in uses {
        if let (Some(from), Some(to)) = (part(folder, &one.from), part(folder, &one.to))
            && from != to
        {
            arrows.entry((from, to)).or_insert_with(|| one.clone());
        }
    }
    let nodes = arrows.keys().flat_map(|(a, b)| [a.clone(), b.clone()]).collect::<BTreeSet<_>>();
    let reach = nodes.iter().map(|it| (it.clone(), reached(it, &arrows)));
    let reach = reach.collect::<BTreeMap<_, _>>();
    let mut seen = BTreeSet::new();
    let mut circles = Vec::new();
    for node in &nodes {
        if !reach[node].contains(node) || seen.contains(node) {
            continue;
        }
        let members = reach[node].iter().filter(|it| reach[*it].contains(node));
        let members = members.cloned().collect::<BTreeSet<_>>();
        let inside = arrows.iter().filter(|((a, b), _)| members.contains(a) && members.contains(b));
        circles.push(inside.map(|(_, it)| it.clone()).collect());
        seen.extend(members);
    }
    circles
}

/// The file or folder of a folder that a module belongs to. None if it is elsewhere.
pub(super) fn part(folder: &str, module: &str) -> Option<String> {
    if !is_within(module, folder) {
        return None;
    }
    let rest = module[folder.len()..].trim_start_matches("::");
    Some(match rest.is_empty() {
        true => MOD.to_owned(),
        false => rest.split("::").next().unwrap().to_owned(),
    })
}

/// Everything that can be reached from a node; itself only by a circle.
fn reached(from: &str, arrows: &BTreeMap<(String, String), Use>) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(node) = open.pop() {
        for (_, to) in arrows.keys().filter(|(it, _)| *it == node) {
            if reached.insert(to.clone()) {
                open.push(to.clone());
            }
        }
    }
    reached
}
