//! Tests of the rows of a data folder, in memory.

use super::*;
use crate::store::rows_memory::MemoryRows;

const SECRET: [u8; 32] = [7; 32];

fn endpoint(user: &str, password: &str) -> ConfigRow {
    let keys = format!("user = \"{user}\"\npassword = \"{password}\"\naccount = \"MA1\"");
    ConfigRow::new(RowKind::Endpoint, keys.parse().unwrap())
}

fn stored() -> (Arc<MemoryRows>, ConfigRows) {
    let store = Arc::new(MemoryRows::default());
    (store.clone(), ConfigRows::new(store, SECRET))
}

/// The passwords that can be read, and why others cannot.
fn passwords(rows: &ConfigRows) -> (Vec<(String, String)>, Vec<String>) {
    let (rows, reasons) = rows.load().unwrap();
    let password = |it: &ConfigRow| {
        let password = it.password.as_ref().map(|it| it.0.clone());
        (it.name().to_owned(), password.unwrap_or_default())
    };
    (rows.iter().map(password).collect(), reasons)
}

#[test]
fn a_password_is_read_in_its_own_row_with_its_own_key_and_is_nowhere_in_the_store() {
    let (store, rows) = stored();
    rows.add(&[endpoint("anna", "hush-anna"), endpoint("bert", "hush-bert")], false).unwrap();
    let both = [("anna", "hush-anna"), ("bert", "hush-bert")];
    let both = both.map(|(name, password)| (name.to_owned(), password.to_owned()));
    assert_eq!(passwords(&rows), (both.to_vec(), Vec::new()));
    let kept = store.load(Table::ConfigRows).unwrap();
    assert!(!format!("{kept:?}").contains("hush"), "{kept:?}");

    let other_key = ConfigRows::new(store.clone(), [8; 32]);
    let (read, reasons) = passwords(&other_key);
    assert!(read.is_empty() && reasons.len() == 2, "{read:?} {reasons:?}");
    assert!(reasons[0].contains("endpoint anna: its password was encrypted with another"));

    // Somebody who may write to the store gives bert's name to anna's row.
    let [anna, bert] = &kept[..] else { panic!("{kept:?}") };
    let body = anna.body.replace("anna", "bert");
    let moved = RowWrite { body: Some(body), ..deletion(bert) };
    removal::commit(&*store, vec![moved]).unwrap();
    let (read, reasons) = passwords(&rows);
    assert_eq!((read.len(), reasons.len()), (1, 1), "{read:?} {reasons:?}");
    assert!(reasons[0].starts_with("endpoint bert: its password"), "{reasons:?}");
}

#[test]
fn rows_are_added_all_or_none_in_order_and_replaced_only_if_asked_for() {
    let (_, rows) = stored();
    let names = || passwords(&rows).0.into_iter().map(|it| it.0).collect::<Vec<_>>();
    let twice = rows.add(&[endpoint("anna", "1"), endpoint("anna", "2")], true);
    assert!(twice.unwrap_err().to_string().contains("there is an endpoint anna already"));
    assert!(names().is_empty(), "all or none");
    rows.add(&[endpoint("zoe", "1"), endpoint("anna", "2")], false).unwrap();
    let again = rows.add(&[endpoint("bert", "3"), endpoint("zoe", "4")], false);
    assert!(again.unwrap_err().to_string().contains("--replace"));
    assert_eq!(names(), ["zoe", "anna"], "as they were added");
    rows.add(&[endpoint("zoe", "5")], true).unwrap();
    let zoe = ("zoe".to_owned(), "5".to_owned());
    assert_eq!(passwords(&rows).0.last(), Some(&zoe));
    assert_eq!(names(), ["anna", "zoe"]);
    rows.remove(RowKind::Endpoint, "anna").unwrap();
    assert!(rows.remove(RowKind::Number, "zoe").is_err(), "another kind");
    assert_eq!(names(), ["zoe"]);
}

#[test]
fn the_rows_of_a_folder_are_limited() {
    let (_, rows) = stored();
    let number = |n: usize| {
        let keys = format!("called = \"{n}\"\naccount = \"MA1\"\nflow = \"room\"");
        ConfigRow::new(RowKind::Number, keys.parse().unwrap())
    };
    let beyond: Vec<_> = (0..=ROWS_MAX).map(number).collect();
    let error = rows.add(&beyond, false).unwrap_err().to_string();
    assert!(error.contains("at most 20000 are kept"), "{error}");
    rows.add(&beyond[..2], false).unwrap();
}

#[test]
fn a_change_of_a_row_or_of_its_account_is_noticed_once() {
    let (store, rows) = stored();
    assert!(rows.changed().unwrap(), "at the first look");
    assert!(!rows.changed().unwrap());
    rows.add(&[endpoint("anna", "1")], false).unwrap();
    assert!(rows.changed().unwrap() && !rows.changed().unwrap());
    let account = "MA1".parse().unwrap();
    let owner = RowWrite::put(Table::Accounts, &account, 0, &"");
    removal::commit(&*store, vec![owner]).unwrap();
    assert!(rows.changed().unwrap() && !rows.changed().unwrap());
    rows.remove(RowKind::Endpoint, "anna").unwrap();
    assert!(rows.changed().unwrap() && !rows.changed().unwrap());
}
