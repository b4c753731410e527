//! Documents that are wrong or odd, each with what its author is told in the `.txt` beside it.
//!
//! `UPDATE=1 cargo test faulty` writes those anew.

use std::{env, fs, path::Path};

use conflow::{base::ids::Dialect, flow::Flow};

const FAULTY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/flows/faulty");

#[test]
fn every_faulty_document_is_explained() {
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
    let told = match Flow::from_bytes(&fs::read(document).unwrap(), Dialect::Vobiz) {
        Ok(flow) => flow.remarks.iter().map(|remark| format!("{remark}\n")).collect(),
        Err(error) => format!("{error}\n"),
    };
    assert!(!told.is_empty(), "{}: nothing is wrong with it", document.display());
    let expected = document.with_extension("txt");
    if env::var_os("UPDATE").is_some() {
        return fs::write(expected, told).unwrap();
    }
    let expected = fs::read_to_string(&expected)
        .unwrap_or_else(|error| panic!("{}: {error}", expected.display()));
    assert_eq!(told, expected, "{}", document.display());
}
