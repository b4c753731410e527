//! Links: the branches of all elements, once a document is read.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Branch, Branches, Flow, FlowError, FlowErrorKind, FlowStep, ID,
    element::{XmlAttribute, XmlElement},
    error::{clip, nearest},
    verb_info::VerbInfo,
};

impl Flow {
    /// Resolves the branches when all elements are read. A branch may lead only to a later element.
    pub(super) fn link(
        elements: &[&XmlElement<'_>],
        steps: &mut [FlowStep],
    ) -> Result<(), FlowError> {
        let mut ids: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        for (number, (element, step)) in elements.iter().zip(&*steps).enumerate() {
            let Some(id) = &step.id else { continue };
            if let Some(first) = ids.insert(id.clone(), number) {
                let at = element.attributes.iter().find(|it| it.name == ID.name).map(|it| it.at);
                let error = FlowErrorKind::IdTwice { id: id.to_string(), first: steps[first].at };
                return Err(FlowError { at: at.unwrap_or(element.at), error });
            }
        }
        for (number, element) in elements.iter().enumerate() {
            let info = steps[number].verb.info();
            let mut branches = Vec::new();
            for (branch, attribute) in stated(info, element) {
                let to = find(&ids, steps, number, branch, attribute)?;
                branches.push((branch, u32::try_from(to).expect("a document is short")));
            }
            steps[number].branches = Branches(branches.into());
        }
        Ok(())
    }
}

/// The branches that an element states. An empty attribute counts as missing.
fn stated<'r, 'd>(
    info: &'static VerbInfo,
    element: &'r XmlElement<'d>,
) -> impl Iterator<Item = (Branch, &'r XmlAttribute<'d>)> {
    let attributes = element.attributes.iter().filter(|it| !it.value.trim().is_empty());
    attributes.filter_map(|attribute| {
        let attr = info.attrs.iter().find(|it| it.name == attribute.name)?;
        let branch = Branch::ALL.iter().find(|it| it.attribute() == attr.name)?;
        Some((*branch, attribute))
    })
}

fn find(
    ids: &BTreeMap<Arc<str>, usize>,
    steps: &[FlowStep],
    number: usize,
    branch: Branch,
    attribute: &XmlAttribute<'_>,
) -> Result<usize, FlowError> {
    let (name, id) = (branch.attribute(), attribute.value.trim());
    let error = match ids.get(id) {
        Some(&to) if number < to => return Ok(to),
        Some(&to) => FlowErrorKind::BranchBack { name, id: clip(id), to: steps[to].at },
        None => {
            let near = nearest(id, ids.keys().map(|it| &**it)).map(str::to_owned);
            FlowErrorKind::BranchNowhere { name, id: clip(id), near }
        }
    };
    Err(FlowError { at: attribute.at, error })
}
