//! Error messages: documents that are wrong or odd, each with the messages in the `.txt` beside it.
//!
//! `UPDATE=1 cargo test --test it error_messages` rewrites the expected messages.

use std::{env, fs, path::Path};

use conflow::{base::ids::Dialect, flow::Flow};

const FAULTY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/flows/faulty");

#[test]
fn every_wrong_or_odd_document_is_explained() {
    let mut read = 0;
    for entry in fs::read_dir(FAULTY).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "xml") {
            check(&path);
            read += 1;
        }
    }
    assert!(25 <= read, "{read} documents");
}

fn check(document: &Path) {
    let explained = match Flow::from_bytes(&fs::read(document).unwrap(), Dialect::Vobiz) {
        Ok(flow) => flow.warnings.iter().map(|warning| format!("{warning}\n")).collect(),
        Err(error) => format!("{error}\n"),
    };
    assert!(!explained.is_empty(), "{}: has no error or warning", document.display());
    let expected = document.with_extension("txt");
    if env::var_os("UPDATE").is_some() {
        return fs::write(expected, explained).unwrap();
    }
    let expected = fs::read_to_string(&expected)
        .unwrap_or_else(|error| panic!("{}: {error}", expected.display()));
    assert_eq!(explained, expected, "{}", document.display());
}
