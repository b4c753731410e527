//! Tests of the XML reader: borrowed texts, and the limits.

use std::borrow::Cow;

use super::*;

#[test]
fn keeps_entities_and_character_data() {
    let root =
        read("<Speak>Fish &amp; chips &#233;&#x20;<![CDATA[<now>\n&amp;]]> </Speak>", "Speak")
            .unwrap();
    assert_eq!(root.normalized_text(), "Fish & chips é <now> &amp;");
    let root = read("<Play loop='1' x='&lt;&quot;a\tb&#10;'/>", "Play").unwrap();
    assert_eq!(root.attributes[1].value, "<\"a b\n");
}

#[test]
fn copies_nothing_that_stands_in_the_document() {
    let root = read("<x a='b'>text<y/></x>", "x").unwrap();
    assert!(matches!(root.text, Cow::Borrowed("text")));
    assert!(matches!(root.attributes[0].value, Cow::Borrowed("b")));
}

#[test]
fn keeps_to_its_limits() {
    let error = |document: String| read(&document, "x").unwrap_err().to_string();
    let nested = |depth| "<x>".repeat(depth) + &"</x>".repeat(depth);
    assert!(read(&nested(DEPTH_MAX), "x").is_ok());
    let expected = "1:97: a flow has at most 32 elements within each other";
    assert!(error(nested(DEPTH_MAX + 1)).starts_with(expected));

    let many = |n| format!("<x>\n{}</x>", "<y/>".repeat(n - 1));
    assert!(read(&many(ELEMENTS_MAX), "x").is_ok());
    let expected = "2:3997: a flow has at most 1000 elements:";
    assert!(error(many(ELEMENTS_MAX + 1)).starts_with(expected));

    let wide = |n| format!("<x {}/>", (0..n).map(|i| format!("a{i:02}='' ")).collect::<String>());
    assert!(read(&wide(ATTRIBUTES_MAX), "x").is_ok());
    let expected = "1:452: a flow has at most 64 attributes in an element:";
    assert!(error(wide(ATTRIBUTES_MAX + 1)).starts_with(expected));

    let long = |n: usize| format!("<x>{}</x>", " ".repeat(n - 7));
    assert!(read(&long(DOCUMENT_BYTES_MAX), "x").is_ok());
    let expected = "1:1: a flow has at most 102400 bytes:";
    assert!(error(long(DOCUMENT_BYTES_MAX + 1)).starts_with(expected));
}
