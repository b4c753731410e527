//! `conflow reference`: every element and attribute is there, in each format. The test with
//! xmllint, whether the schema is valid and accepts the right documents, is `tests/reference/run`.

use std::process::Command;

use conflow::flow::{
    Variable,
    check::Code,
    reference::{json, markdown, xsd},
    verbs::{ALL, VerbInfo},
};
use serde_json::Value;

/// Each element and attribute, in the order of the tables.
fn rows() -> impl Iterator<Item = (&'static VerbInfo, &'static str)> {
    ALL.iter().flat_map(|info| info.attrs.iter().map(move |attr| (info, attr.name)))
}

#[test]
fn markdown_has_every_row_under_its_element() {
    let page = markdown();
    let section = |tag: &str| {
        let begin = page.find(&format!("## `<{tag}>`")).unwrap_or_else(|| panic!("{tag}"));
        page[begin..].split("\n## ").next().unwrap()
    };
    for (info, name) in rows() {
        assert!(section(info.tag).contains(&format!("\n| `{name}` | ")), "{} {name}", info.tag);
    }
    let expected = "| `stayAlone` | true or false | Plivo `true`, Vobiz `false` | `true` | \
                    The call stays in the room when all others have left. |";
    assert!(section("Conference").contains(expected), "{}", section("Conference"));
    assert!(section("Stream").contains("**Not run yet:**"));
    assert!(
        section("Gather").contains("Only vobiz documents it; the other vendor has `<GetInput>`.")
    );
    for code in Code::ALL {
        assert!(page.contains(&format!("\n| `{}` | {} | ", code.text(), code.severity().text())));
    }
    let cells = |line: &str| line.replace("\\|", "").matches('|').count();
    let tables = page.lines().filter(|line| line.starts_with('|'));
    tables.for_each(|line| assert!([3, 5, 6].contains(&cells(line)), "{line}"));
    for (_, name) in Variable::ALL {
        assert!(page.contains(&format!("\n| `${{{name}}}` | ")), "{name}");
    }
}

#[test]
fn json_has_type_range_defaults_and_example_of_every_row() {
    let reference: Value = serde_json::from_str(&json()).unwrap();
    let find = |list: &Value, name: &str| -> Value {
        let mut list = list.as_array().unwrap().iter();
        list.find(|it| it["name"] == name).unwrap_or_else(|| panic!("{name}")).clone()
    };
    for (info, name) in rows() {
        let row = find(&find(&reference["elements"], info.tag)["attributes"], name);
        assert!(!row["doc"].as_str().unwrap().is_empty(), "{} {name}", info.tag);
        assert!(!row["example"].as_str().unwrap().is_empty(), "{} {name}", info.tag);
        assert!(row["type"].is_string() && row["range"].is_string(), "{} {name}", info.tag);
    }
    let conference = find(&reference["elements"], "Conference");
    let limit = find(&conference["attributes"], "timeLimit");
    assert_eq!(limit["default"], serde_json::json!({ "plivo": "86400", "vobiz": "14400" }));
    assert_eq!((&limit["type"], &limit["min"]), (&"seconds".into(), &0.into()));
    let format = find(&conference["attributes"], "recordFileFormat");
    assert_eq!(format["values"], serde_json::json!(["mp3", "wav"]));
    let codes = reference["codes"].as_array().unwrap();
    assert_eq!(codes.len(), Code::ALL.len());
    for code in codes {
        let names = (code["level"].as_str().unwrap(), code["severity"].as_str().unwrap());
        let known = [("error", "fault"), ("warning", "remark"), ("hint", "remark")];
        assert!(known.contains(&names), "{code}");
    }
}

#[test]
fn the_schema_names_every_row_once_in_the_type_of_its_element() {
    let schema = xsd();
    for info in ALL {
        let begin = schema.find(&format!("<xs:complexType name=\"{}\"", info.tag)).unwrap();
        let own = schema[begin..].split("\n  </xs:complexType>").next().unwrap();
        for attr in info.attrs {
            let row = format!("<xs:attribute name=\"{}\">", attr.name);
            assert_eq!(own.matches(&row).count(), 1, "{} {}", info.tag, attr.name);
        }
        assert_eq!(own.matches("<xs:attribute ").count(), info.attrs.len(), "{}", info.tag);
    }
}

#[test]
fn the_program_prints_it() {
    for (format, expected) in [("md", markdown()), ("json", json()), ("xsd", xsd())] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_conflow"));
        let output = command.args(["reference", "--format", format]).output().unwrap();
        assert!(output.status.success());
        assert!(output.stdout == expected.as_bytes(), "{format}");
    }
}
