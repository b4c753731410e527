//! `conflow check`: each broken or odd document and folder, with its text and JSON output beside
//! it; exit codes; `--watch`.
//!
//! `UPDATE=1 cargo test --test it check` rewrites the expected output.

use std::{
    collections::BTreeSet,
    env, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use conflow::{
    base::ids::Dialect,
    flow::{
        Flow,
        check::{Code, check},
    },
};
use serde_json::Value;
use tempfile::tempdir;

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/flows/check");
const FAULTY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/flows/faulty");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conflow"));
    command.arg("check").args(arguments).current_dir(folder).stdin(Stdio::null());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The entries of a folder, sorted.
fn entries(folder: impl AsRef<Path>) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    let entries: BTreeSet<_> = entries.collect();
    entries.into_iter().collect()
}

fn documents(folder: impl AsRef<Path>) -> Vec<PathBuf> {
    let is_document = |path: &PathBuf| path.extension().is_some_and(|it| it == "xml");
    entries(folder).into_iter().filter(is_document).collect()
}

/// Compares the output for a document or a folder with the files beside it, and the exit code with
/// the levels. Returns the codes found.
fn compare(path: &Path) -> Vec<String> {
    let (folder, name) = (path.parent().unwrap(), path.file_name().unwrap().to_str().unwrap());
    let dialect = if name.starts_with("plivo") { "plivo" } else { "vobiz" };
    let text_output = run(folder, &["--dialect", dialect, name]);
    let json_output = run(folder, &["--dialect", dialect, "--format", "json", name]);
    let json = text(&json_output);
    for (extension, printed) in [("txt", text(&text_output)), ("json", json.clone())] {
        let kept = path.with_extension(extension);
        if env::var_os("UPDATE").is_some() {
            fs::write(&kept, &printed).unwrap();
        }
        let expected = fs::read_to_string(&kept).unwrap_or_else(|it| panic!("{name}: {it}"));
        assert_eq!(printed, expected, "{}", kept.display());
    }
    let rows: Vec<Value> = serde_json::from_str(&json).unwrap();
    for row in &rows {
        let keys: Vec<_> = row.as_object().unwrap().keys().map(String::as_str).collect();
        let expected = ["advice", "code", "column", "file", "level", "line", "message", "severity"];
        assert_eq!(keys.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from(expected), "{name}");
        let names = (row["level"].as_str().unwrap(), row["severity"].as_str().unwrap());
        let known = [("error", "fault"), ("warning", "remark"), ("hint", "remark")];
        assert!(known.contains(&names), "{name}: {names:?}");
    }
    let exit = i32::from(rows.iter().any(|it| it["level"] == "error"));
    for output in [&text_output, &json_output] {
        assert_eq!(output.status.code(), Some(exit), "{name}");
    }
    rows.iter().map(|row| row["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn broken_documents_are_explained() {
    let documents = documents(format!("{CASES}/broken"));
    assert!(10 <= documents.len());
    for document in documents {
        assert!(!compare(&document).is_empty());
    }
}

#[test]
fn odd_documents_are_explained() {
    let documents = documents(format!("{CASES}/odd"));
    assert!(20 <= documents.len());
    for document in documents {
        let codes = compare(&document);
        assert!(Flow::from_bytes(&fs::read(&document).unwrap(), Dialect::Vobiz).is_ok());
        let is_sound = document.ends_with("plivo-alone.xml")
            || document.ends_with("redirect-to-itself-with-a-way-out.xml");
        assert_eq!(codes.is_empty(), is_sound, "{}: {codes:?}", document.display());
    }
}

#[test]
fn the_documents_of_a_folder_are_checked_together() {
    let folders = entries(format!("{CASES}/folders")).into_iter().filter(|it| it.is_dir());
    for folder in folders {
        compare(&folder);
    }
}

#[test]
fn every_code_is_shown_by_an_example() {
    let mut missing: BTreeSet<_> = Code::ALL.iter().map(|code| code.text()).collect();
    let mut see = |printed: &str| missing.retain(|code| !printed.contains(&format!("\"{code}\"")));
    for folder in ["broken", "odd", "folders"] {
        let kept = entries(format!("{CASES}/{folder}")).into_iter();
        for path in kept.filter(|it| it.extension().is_some_and(|it| it == "json")) {
            see(&fs::read_to_string(path).unwrap());
        }
    }
    for document in documents(FAULTY) {
        let found = check(&fs::read(document).unwrap(), Dialect::Vobiz).findings;
        found.iter().for_each(|it| see(&format!("{:?}", it.code.text())));
    }
    assert_eq!(missing, BTreeSet::new());
}

#[test]
fn an_error_of_the_parser_has_the_same_position_and_text() {
    for folder in [FAULTY.to_owned(), format!("{CASES}/broken"), format!("{CASES}/odd")] {
        for document in documents(folder) {
            let bytes = fs::read(&document).unwrap();
            for dialect in [Dialect::Plivo, Dialect::Vobiz] {
                let found = check(&bytes, dialect).findings;
                assert!(found.is_sorted_by_key(|it| it.at), "{found:?}");
                let found_texts: Vec<_> =
                    found.iter().map(|it| format!("{}: {}", it.at, it.message)).collect();
                match Flow::from_bytes(&bytes, dialect) {
                    Err(error) => {
                        assert!(found_texts.contains(&error.to_string()), "{found_texts:?}");
                    }
                    Ok(flow) => {
                        for warning in &*flow.warnings {
                            assert!(
                                found_texts.contains(&warning.to_string()),
                                "{warning}: {found_texts:?}"
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn the_flows_that_come_along_have_no_error() {
    for dialect in ["plivo", "vobiz"] {
        let output = run(Path::new(ROOT), &["--dialect", dialect, "flows"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        assert!(text(&output).contains(": 0 errors, "), "{}", text(&output));
    }
}

#[test]
fn the_flows_that_come_along_have_one_kind_of_hint() {
    let output = run(Path::new(ROOT), &["--deny-warnings", "flows"]);
    let text = text(&output);
    assert!(text.contains(": 0 errors, 0 warnings, 1 hint\n"), "{text}");
    assert!(text.contains("hint[alone-under-vobiz]") && text.contains("flows/kick.xml:9:5"));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn warnings_count_where_they_are_denied_and_hints_do_not() {
    let folder = Path::new(CASES).join("odd");
    let code = |arguments: &[&str]| run(&folder, arguments).status.code();
    assert_eq!(code(&["kick-ends-the-call.xml"]), Some(0));
    for deny in ["--deny-warnings", "--deny-remarks"] {
        assert_eq!(code(&[deny, "kick-ends-the-call.xml"]), Some(1), "{deny}");
        assert_eq!(code(&[deny, "alone.xml"]), Some(0), "{deny}");
    }
}

/// Issue 14, D6.
#[test]
fn a_level_is_chosen_by_a_flag_or_in_the_document() {
    let home = tempdir().unwrap();
    let code = |arguments: &[&str], document: &str| {
        fs::write(home.path().join("a.xml"), document).unwrap();
        let output = run(home.path(), &[arguments, &["a.xml"]].concat());
        output.status.code().unwrap()
    };
    let document = |comment: &str| {
        format!(
            "<Response>{comment}<Conference stayAlon='a' stayAlone='true'>a</Conference></Response>"
        )
    };
    let plain = document("");
    assert_eq!(code(&[], &plain), 1);
    for level in ["warning", "hint", "off"] {
        let flag = format!("unknown-attribute={level}");
        assert_eq!(code(&["--level", &flag], &plain), 0, "{level}");
    }
    let both = ["--level", "unknown-attribute=off", "--level", "kick-ends-call=error"];
    assert_eq!(code(&both, &plain), 1);
    assert_eq!(code(&[&both[..], &["--level", "kick-ends-call=hint"]].concat(), &plain), 0);
    let with_comment = document("<!-- conflow-check kick-ends-call=off unknown-attribute=hint -->");
    assert_eq!(code(&["--deny-warnings"], &with_comment), 0);
    // The flag wins.
    assert_eq!(code(&["--level", "unknown-attribute=error"], &with_comment), 1);
    assert_eq!(code(&[], &document("<!-- conflow-check unknown-atribute=off -->")), 1);
    for wrong in ["unknown-atribute=off", "unknown-attribute=of", "unknown-attribute"] {
        assert_eq!(code(&["--level", wrong], &plain), 2, "{wrong}");
    }
}

#[test]
fn every_code_is_explained() {
    for code in Code::ALL {
        let output = run(Path::new(CASES), &["--explain", code.text()]);
        let text = text(&output);
        assert!(text.contains(code.text()) && text.contains(code.advice()), "{text}");
        assert_eq!(output.status.code(), Some(0));
    }
    let output = run(Path::new(CASES), &["--explain", "bad-urk"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean bad-url?"));
}

/// Issue 14, D4: an author checks the file that they edit.
#[test]
fn the_links_of_a_single_file_are_followed_and_only_the_file_is_reported() {
    let home = tempdir().unwrap();
    let write = |name: &str, text: &str| {
        fs::write(home.path().join(name), format!("<Response>{text}</Response>")).unwrap();
    };
    write("a.xml", "<Redirect>flow:b</Redirect>");
    write("b.xml", "<Redirect>flow:a</Redirect><Say/>");
    write("c.xml", "<Redirect>flow:nowhere</Redirect>");
    write(
        "d.xml",
        "<Conference waitSound='flow:hold.wav' stayAlone='true'>d</Conference><Hangup/>",
    );
    let codes = |paths: &[&str]| {
        let output = run(home.path(), &[&["--format", "json"], paths].concat());
        let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        rows.iter().map(|it| format!("{} {}", it["file"], it["code"])).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(codes(&["a.xml"]), "");
    write("b.xml", "<Redirect>flow:a</Redirect>");
    assert_eq!(codes(&["a.xml"]), "\"a.xml\" \"silent-loop\"");
    assert_eq!(codes(&["./c.xml"]), "\"./c.xml\" \"missing-link\"");
    let path = home.path().join("c.xml").display().to_string();
    assert_eq!(codes(&[&path]), format!("{path:?} \"missing-link\""));
    assert_eq!(codes(&["d.xml"]), "\"d.xml\" \"sound-is-audio\" \"d.xml\" \"missing-link\"");
    fs::write(home.path().join("hold.wav"), "").unwrap();
    assert_eq!(codes(&["d.xml"]), "\"d.xml\" \"sound-is-audio\"");
}

/// Issue 14, D1: the caret of an error in a Latin-1 file is at its character.
#[test]
fn a_latin_1_document_is_shown_as_its_author_wrote_it() {
    let home = tempdir().unwrap();
    let text = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n<Response><Speak>Gr\u{fc}\u{df}e</Speak><Say/></Response>";
    let latin: Vec<u8> = text.chars().map(|it| u8::try_from(it).unwrap()).collect();
    fs::write(home.path().join("a.xml"), latin).unwrap();
    let output = self::text(&run(home.path(), &["a.xml"]));
    assert!(output.contains("a.xml:2:31") && output.contains("Grüße"), "{output}");
}

#[test]
fn a_mistake_in_the_command_line_has_a_code_of_its_own() {
    let check = |arguments: &[&str], expected: &str| {
        let output = run(Path::new(CASES), arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
    };
    check(&[], "FILE");
    check(&["nowhere.xml"], "nowhere.xml cannot be read");
    check(&["--dialect", "twilio", "odd/alone.xml"], "[possible values: plivo, vobiz]");
    check(&["--watch", "-"], "--watch needs files");
    let empty = tempdir().unwrap();
    check(&[empty.path().to_str().unwrap()], "holds no .xml file");

    // The readable document is checked nevertheless, and the output is one array.
    let output = run(Path::new(CASES), &["--format", "json", "nowhere.xml", "odd/alone.xml"]);
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), rows.len()), (Some(2), 1), "{rows:?}");
}

#[test]
fn a_dash_means_the_standard_input() {
    let mut command = command(Path::new(CASES), &["--format", "json", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"<Response>\n <Say/></Response>").unwrap();
    let output = child.wait_with_output().unwrap();
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = serde_json::json!([{
        "file": "-", "line": 2, "column": 2, "level": "error", "severity": "fault",
        "code": "unknown-element", "message": rows[0]["message"],
        "advice": Code::UnknownElement.advice(),
    }]);
    assert_eq!((rows, output.status.code()), (expected, Some(1)));
}

#[test]
fn no_findings_are_an_empty_array() {
    let folder = Path::new(CASES).join("odd");
    let output = run(&folder, &["--dialect", "plivo", "--format", "json", "plivo-alone.xml"]);
    assert_eq!(text(&output), "[]\n");
}

#[test]
fn colour_is_printed_only_where_it_is_wanted() {
    let folder = Path::new(CASES).join("odd");
    let is_coloured = |arguments: &[&str]| run(&folder, arguments).stdout.contains(&0x1b);
    assert!(!is_coloured(&["alone.xml"]), "no terminal");
    assert!(is_coloured(&["--color", "always", "alone.xml"]));
    assert!(!is_coloured(&["--color", "always", "--format", "json", "alone.xml"]));
}

#[test]
fn a_saved_file_is_checked_again() {
    let home = tempdir().unwrap();
    save(home.path(), "a.xml", "<Response/>");
    let mut command = command(home.path(), &["--watch", "."]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || out.find_map(|line| line.ok().filter(|it| it.contains("document"))).unwrap();
    assert_eq!(next(), "1 document: 0 errors, 0 warnings");
    save(home.path(), "a.xml", "<Response><Say/></Response>");
    assert_eq!(next(), "1 document: 1 error, 0 warnings");
    save(home.path(), "b.xml", "<Response/>");
    assert_eq!(next(), "2 documents: 1 error, 0 warnings");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_file_saved_during_printing_is_checked_again() {
    let home = tempdir().unwrap();
    // More output than a pipe holds: the process waits for its reader after it has read all files.
    for number in 0..1_000 {
        save(home.path(), &format!("{number:03}.xml"), "<Response><Say/></Response>");
    }
    let mut command = command(home.path(), &["--watch", "."]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(out.next().unwrap().unwrap().contains("Say"));
    save(home.path(), "000.xml", "<Response/>");
    let mut next = || out.find_map(|line| line.ok().filter(|it| it.contains("documents"))).unwrap();
    assert_eq!(next(), "1000 documents: 1000 errors, 0 warnings");
    assert_eq!(next(), "1000 documents: 999 errors, 0 warnings");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn its_own_output_in_the_folder_is_no_save() {
    let home = tempdir().unwrap();
    save(home.path(), "a.xml", "<Response/>");
    let printed = home.path().join("printed.txt");
    let mut command = command(home.path(), &["--watch", "."]);
    command.stdout(fs::File::create(&printed).unwrap()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    for body in ["<Response><Say/></Response>", "<Response><Say/><Say/></Response>"] {
        assert!(stderr.next().unwrap().unwrap().contains("waiting"));
        save(home.path(), "a.xml", body);
    }
    assert!(stderr.next().unwrap().unwrap().contains("waiting"));
    child.kill().unwrap();
    child.wait().unwrap();
    let printed = fs::read_to_string(printed).unwrap();
    let printed: Vec<_> = printed.lines().filter(|it| it.contains("document:")).collect();
    assert_eq!(
        printed,
        [
            "1 document: 0 errors, 0 warnings",
            "1 document: 1 error, 0 warnings",
            "1 document: 2 errors, 0 warnings"
        ]
    );
}

/// Saves atomically, as many editors do: writes a temporary file and renames it.
fn save(folder: &Path, name: &str, text: &str) {
    let half = folder.with_extension("half");
    fs::write(&half, text).unwrap();
    fs::rename(half, folder.join(name)).unwrap();
}
