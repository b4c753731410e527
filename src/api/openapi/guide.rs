//! Guides: the Markdown of the repository's guides and of the descriptions, as HTML of the page.

use std::borrow::Cow;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd, html};

/// A guide on the page.
pub(super) struct Guide {
    /// The anchor on the page, which begins the anchors of its headings.
    pub(super) anchor: &'static str,
    pub(super) title: &'static str,
    /// The file that links of other guides name.
    file: &'static str,
    text: &'static str,
}

/// The guides, in the order of the page.
pub(super) const GUIDES: [Guide; 4] = [
    Guide {
        anchor: "callbacks",
        title: "Callbacks: fields, order, retries, signatures",
        file: "callbacks.md",
        text: include_str!("../../../docs/callbacks.md"),
    },
    Guide {
        anchor: "groups",
        title: "Groups: the kick APIs of Bungie, Rocket.Chat, Kirimin and Capillary",
        file: "groups.md",
        text: include_str!("../../../docs/groups.md"),
    },
    Guide {
        anchor: "flows",
        title: "The flow language",
        file: "flows/README.md",
        text: include_str!("../../../flows/README.md"),
    },
    Guide {
        anchor: "writing-flows",
        title: "Writing flows: where they come from, how to check, simulate and trace them",
        file: "writing-flows.md",
        text: include_str!("../../../docs/writing-flows.md"),
    },
];

impl Guide {
    /// The guide as HTML, below a heading of the second level.
    pub(super) fn html(&self) -> String {
        let mut heading = None;
        let mut events: Vec<Event<'_>> = Vec::new();
        for event in parse(self.text) {
            if let Event::Start(Tag::Heading { .. }) = event {
                heading = Some(events.len());
            } else if let Event::End(TagEnd::Heading(level)) = event {
                let first = heading.take().unwrap_or(events.len());
                let level = (level as usize + 1).min(6);
                let id = format!("{}-{}", self.anchor, slug(&events[first..]));
                let start = format!("<h{level} id=\"{id}\">");
                events.insert(first, Event::Html(start.into()));
                events.push(Event::Html(format!("</h{level}>\n").into()));
            } else if let Event::Start(Tag::Link { dest_url, .. }) = &event {
                let link = self.link(dest_url).unwrap_or_default();
                events.push(Event::InlineHtml(format!("<a{link}>").into()));
            } else if let Event::End(TagEnd::Link) = event {
                events.push(Event::InlineHtml("</a>".into()));
            } else {
                events.push(event);
            }
        }
        write(events)
    }

    /// The attribute of a link; None if its target is a file that is not on the page.
    fn link(&self, target: &str) -> Option<String> {
        let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
        if target.starts_with("https://") || target.starts_with("http://") {
            return Some(format!(" href=\"{}\"", target.replace('"', "%22")));
        }
        let is_it = |guide: &&Self| {
            !file.is_empty() && (guide.file.ends_with(file) || file.ends_with(guide.file))
        };
        let guide = if file.is_empty() { self } else { GUIDES.iter().find(is_it)? };
        let gap = if fragment.is_empty() { "" } else { "-" };
        Some(format!(" href=\"#{}{gap}{}\"", guide.anchor, fragment.replace('"', "")))
    }
}

/// A description as HTML: paragraphs, or without them if there is only one.
pub(super) fn describe(text: &str) -> Cow<'static, str> {
    if text.is_empty() {
        return "".into();
    }
    let whole = write(parse(text));
    let one = whole.trim_end().strip_prefix("<p>").and_then(|it| it.strip_suffix("</p>"));
    match one.filter(|it| !it.contains("<p>")) {
        Some(one) => one.to_owned().into(),
        None => whole.into(),
    }
}

/// The events of a text. HTML in it is text, except comments, which are left out.
fn parse(text: &str) -> impl Iterator<Item = Event<'_>> {
    Parser::new_ext(text, Options::ENABLE_TABLES).filter_map(|event| {
        let (Event::Html(html) | Event::InlineHtml(html)) = event else { return Some(event) };
        (!html.trim_start().starts_with("<!--")).then_some(Event::Text(html))
    })
}

fn write<'a>(events: impl IntoIterator<Item = Event<'a>>) -> String {
    let mut text = String::new();
    html::push_html(&mut text, events.into_iter());
    text
}

/// The anchor of a heading, as GitHub makes it: links of the guides rely on it.
fn slug(heading: &[Event<'_>]) -> String {
    let words = heading.iter().filter_map(|event| {
        let (Event::Text(text) | Event::Code(text)) = event else { return None };
        Some(&**text)
    });
    let words: String = words.collect();
    let kept = words.chars().filter(|it| it.is_alphanumeric() || " -_".contains(*it));
    kept.flat_map(char::to_lowercase).map(|it| if it == ' ' { '-' } else { it }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_rendered_and_its_html_is_text() {
        let check = |text, expected| assert_eq!(describe(text), expected, "{text}");
        check("", "");
        check("`bleg` is <b>400</b>.", "<code>bleg</code> is &lt;b&gt;400&lt;/b&gt;.");
        check("one\n\ntwo", "<p>one</p>\n<p>two</p>\n");
    }

    #[test]
    fn the_links_of_a_guide_lead_to_places_of_the_page() {
        let page: String = GUIDES.iter().map(Guide::html).collect();
        let anchors = GUIDES.map(|it| format!("id=\"{}\"", it.anchor)).concat() + &page;
        for link in page.split("href=\"#").skip(1) {
            let target = link.split('"').next().unwrap();
            assert!(anchors.contains(&format!("id=\"{target}\"")), "no place #{target}");
        }
        assert!(page.contains("href=\"#flows"), "a link to another guide is kept");
        assert!(!page.contains(".md\""), "no link leads to a file");
    }
}
