//! Positions of errors in a document: cases that would be tedious as a file each.

use conflow::flow::Flow;

use crate::flow::run::V;

#[track_caller]
fn check(document: &str, expected: &str) {
    let got = match Flow::parse(document, V) {
        Ok(flow) => flow.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        Err(error) => error.to_string(),
    };
    assert_eq!(got, expected, "{document}");
}

#[test]
fn an_error_in_a_tag_has_its_position() {
    check(
        "<Response>\n <Speak>a</Response>",
        "2:10: </Response> closes nothing here: <Speak> of 2:2 is still open",
    );
    check("</Response>", "1:1: </Response> closes nothing: no element is open");
    check("<Response>\n  <Speak>a", "2:3: <Speak> is not closed: </Speak> is missing");
    check(
        "<Response>\n  <Speak a",
        "2:3: this tag is not closed: > is missing (or write &lt; for a plain <)",
    );
    check("<Response>\n <Speak a='", "2:9: a: the quote that ends it is missing");
    check("<Response>\n <Speak a=\"", "2:9: a: the quote that ends it is missing");
    check(
        "<Response> 1 < 2 </Response>",
        "1:14: an element's name must follow this <: write &lt; for a plain <",
    );
    check(
        "<Response> <1/></Response>",
        "1:12: an element's name must follow this <: write &lt; for a plain <",
    );
    check(
        "<Response> <",
        "1:12: this tag is not closed: > is missing (or write &lt; for a plain <)",
    );
    check("<Response>\n<!-- a", "2:1: this comment is not closed: --> is missing");
    check("<Response>\n <![CDATA[ a", "2:2: this <![CDATA[ is not closed: ]]> is missing");
    check("<Response>\n<? a", "2:1: this <? is not closed: ?> is missing");
    check("<?xml", "1:1: this <?xml is not closed: ?> is missing");
    check("<Response>\n <!x></Response>", "2:2: <! begins a comment or CDATA, and this is neither");
}

#[test]
fn an_error_in_an_attribute_has_its_position() {
    let twice = "voice is stated already: leave one of them out";
    check(
        "<Response>\n<Speak voice='a'\n  voice='b'>c</Speak></Response>",
        &format!("3:3: {twice}"),
    );
    let equals = "é has no value: write é=\"…\"";
    check("<Response><Speak é voice='a'/></Response>", &format!("1:18: {equals}"));
    check("<Response><Speak voice=a/></Response>", "1:18: voice: put its value into quotes");
    check("<Response><Speak voice=/></Response>", "1:18: voice has no value: write voice=\"…\"");
    check("<Response><Speak a='b'c='d'/></Response>", "1:23: put a space before this attribute");
    check("<Response><Speak a$='b'/></Response>", "1:18: \"a$\" is not a valid attribute name");
    check(
        "<Response><Speak a='<'/></Response>",
        "1:18: a: its closing quote is missing (or write &lt; for a plain <)",
    );
    check(
        "<Response>\n<Redirect x='1' url='http://a?b&c'/></Response>",
        "2:17: url: an & in it begins no entity: write &amp; for a plain &",
    );
    check(
        "<Response><Speak a='&#1;'/></Response>",
        "1:18: a: leave out the control character, which XML does not allow",
    );
}

#[test]
fn an_error_in_a_text_has_its_position() {
    check(
        "<Response>\n <Play>http://a?b&c</Play></Response>",
        "2:18: this & begins an entity, and its ; is missing: write &amp; for a plain &",
    );
    check(
        "<Response>\n <Play>a&nbsp;b</Play></Response>",
        "2:9: there is no entity &nbsp;: write &amp; for a plain &",
    );
    check(
        "<Response>&#1;</Response>",
        "1:11: &#1; is not a character that XML allows: leave it out",
    );
    check(
        "<Response>a &",
        "1:13: this & begins an entity, and its ; is missing: write &amp; for a plain &",
    );
    check(
        "<Response>\n é\u{7}</Response>",
        "2:3: a control character, which XML does not allow: leave it out",
    );
}

#[test]
fn a_document_has_one_root_named_response() {
    check("<Answer/>", "1:1: a flow begins with <Response>, not with <Answer>");
    check(
        "<Response/>\n <Response/>",
        "2:2: a document has one root, and this <Response> is a second: merge the two, or leave it out",
    );
    let text = "text outside of <Response>: move it into an element, or leave it out";
    check("<Response/> x", &format!("1:13: {text}"));
    check("\n é <Response/>", &format!("2:2: {text}"));
    check("<Response/>&#32;", &format!("1:12: {text}"));
    check("", "1:1: there is no <Response>: the document is empty");
    check("<!-- a -->\n", "2:1: there is no <Response>: the document is empty");
    check("\u{feff}<Response/>", "");
    check("\u{feff}\u{feff}<Response/>", &format!("1:1: {text}"));
}

#[test]
fn a_document_is_utf_8() {
    check("<?xml version='1.0' encoding='utf-8'?><Response/>", "");
    check("<?xml version=\"1.0\"?>\n<?php?><!-- x --><Response/>", "");
    check(
        "<?xml version='1.0' encoding='utf-16'?><Response/>",
        r#"1:1: a flow is written in UTF-8, ASCII or ISO-8859-1, not in "utf-16": save it as UTF-8"#,
    );
    // XML 1.0, section 4.3.3: the names do not depend on their case.
    for name in ["ASCII", "us-ascii", "ISO-8859-1", "iso-8859-1", "Latin1"] {
        let head = format!("<?xml version='1.0' encoding='{name}'?>");
        let document = [head.as_bytes(), b"<Response><Speak>Gr&#252;", b"e</Speak></Response>"];
        let flow = Flow::from_bytes(&document.concat(), V).unwrap();
        assert!(format!("{:?}", flow.steps).contains("Grüe"), "{name}");
    }
    let latin =
        b"<?xml version='1.0' encoding='latin1'?><Response>\n<Speak>Gr\xfc\xdfe</Speak><Say/></Response>";
    let error = Flow::from_bytes(latin, V).unwrap_err().to_string();
    assert!(error.starts_with("2:21: there is no element <Say>"), "{error}");
    let error = Flow::from_bytes(b"ID3\x04\0\xff\xfb", V).unwrap_err().to_string();
    assert_eq!(error, "1:1: this is a sound file, not a document: play it with <Play>");
    let bytes = b"<Response>\n  \xe9</Response>";
    let error = Flow::from_bytes(bytes, V).unwrap_err().to_string();
    let expected = "this byte is not: save the file as UTF-8";
    assert_eq!(error, format!("2:3: a flow is written in UTF-8, and {expected}"));
}

#[test]
fn nothing_may_precede_the_declaration() {
    let late = "nothing, not even a space, may come before <?xml: move it to the very start";
    check("\n<?xml version='1.0'?><Response/>", &format!("2:1: {late}"));
    check("<?xml version='1.0'?><?xml version='1.0'?><Response/>", &format!("1:22: {late}"));
    check("<Response><?xml version='1.0'?></Response>", &format!("1:11: {late}"));
    check("\u{feff}<?xml version='1.0'?><Response/>", "");
    let version = "the declaration must name its version first: <?xml version=\"1.0\"?>";
    check("<?xml encoding='utf-8'?><Response/>", &format!("1:1: {version}"));
    check("<?xml?><Response/>", &format!("1:1: {version}"));
}

#[test]
fn constructs_that_could_expand_are_refused() {
    let document_type = "a flow has no DOCTYPE: leave it out";
    check("<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>", &format!("1:1: {document_type}"));
    check("<!DOCTYPE", &format!("1:1: {document_type}"));
    check("\n<!DOCTYPE>", &format!("2:1: {document_type}"));
}

#[test]
fn a_warning_about_stray_text_has_its_position() {
    check(
        "<Response>\n  é <Hangup>now</Hangup>\n <!-- x -->&amp;c<![CDATA[ \n d]]> e</Response>",
        "2:3: <Response> ignores this text\n\
         2:13: <Hangup> ignores this text\n\
         3:12: <Response> ignores this text",
    );
    check(
        "<Response><Hangup><![CDATA[ \n  d]]></Hangup></Response>",
        "2:3: <Hangup> ignores this text",
    );
}
