//! The finder on made-up crates: each fault is found, and what is allowed is not.

use super::{
    OpenCircle, circles_of,
    floors::Floors,
    modules::{Crate, File},
    words,
};

/// A page with a table, as `src/lib.rs` has it.
const PAGE: &str = "//! A crate.\n\
     //! | floor | modules | may |\n\
     //! |---|---|---|\n\
     //! | 0 base | [`base`] | |\n\
     //! | 1 ports | `store` | |\n\
     //! | 2 machines | [`flow`] < [`call`], `group`; `sip` | |\n\
     //! | 3 adapters | `fetch` < `web`; `cdr`, `sip::{driver, sockets}`, `store::sqlite` | |\n\
     //! | 4 engine | `engine` | |\n";

/// A file of each module of the page, and of those given instead.
fn made_up(files: &[(&str, &str)]) -> Vec<File> {
    let all = [
        ("", PAGE),
        ("base", ""),
        ("base::ids", "pub struct CallId;"),
        ("call", "pub struct Call;"),
        ("cdr", "pub struct Cdr;"),
        ("engine", "mod registry; mod queue; pub use self::queue::Queue; pub struct Engine;"),
        ("engine::queue", "pub struct Queue;"),
        ("engine::registry", "pub struct Registry;"),
        ("fetch", "pub struct FetchClient;"),
        ("flow", "pub mod run; pub struct Flow;"),
        ("flow::run", "pub struct Run;"),
        ("group", ""),
        ("sip", "pub mod agent; pub mod driver; pub mod sockets; pub use driver::Driver;"),
        ("sip::agent", "pub struct Agent;"),
        ("sip::driver", "pub struct Driver;"),
        ("sip::sockets", ""),
        ("store", "pub mod sqlite; pub trait Rows {}"),
        ("store::sqlite", ""),
        ("web", ""),
    ];
    let given = |module: &str| files.iter().find(|(it, _)| *it == module).map(|(_, text)| *text);
    let file = |(module, text): &(&str, &str)| File {
        module: (*module).to_owned(),
        path: (*module).to_owned(),
        text: match *module {
            "" => {
                let names = "base call cdr engine fetch flow group sip store web";
                let modules = names.split(' ').map(|it| format!("pub mod {it};\n"));
                format!("{PAGE}{}", modules.collect::<String>())
            }
            "base" => "pub mod ids;".to_owned(),
            _ => given(module).unwrap_or(text).to_owned(),
        },
    };
    all.iter().map(file).collect()
}

/// Each breach of floors in a module of this text.
fn breaches(module: &str, text: &str) -> Vec<String> {
    let files = made_up(&[(module, text)]);
    let (it, floors) = (Crate::read(&files), Floors::read(&files[0].text));
    assert_eq!(floors.check_table(&it.files()), [""; 0]);
    let uses = it.uses();
    let of_uses = uses.iter().filter_map(|one| floors.check_use(one));
    let impure = floors.impurities(&it).into_iter();
    of_uses.chain(impure.map(|(module, line, why)| format!("{module}:{line} {why}"))).collect()
}

fn circles(files: &[(&str, &str)], open: &[OpenCircle]) -> Vec<String> {
    let files = made_up(files);
    let it = Crate::read(&files);
    let found = circles_of(&it.uses(), &it, open).into_iter();
    let shown = found.map(|circle| {
        let shown = circle.iter().map(|it| format!("{} → {}::{}", it.from, it.to, it.name));
        shown.collect::<Vec<_>>().join(", ")
    });
    shown.collect()
}

#[test]
fn a_use_of_a_higher_floor_is_found_however_it_is_written() {
    let found = ["call is on floor 2, and engine::Engine on floor 4"];
    for text in [
        "use crate::engine::Engine;",
        "use crate::{base::ids::CallId, engine::Engine};",
        "use crate::{\n    engine::{\n        Engine as E,\n    },\n};",
        "use crate::engine; fn a(_: engine::Engine) {}",
        "use crate::engine::{self}; fn a() { engine::Engine::b() }",
        "fn a() { crate::engine::Engine::b(); }",
        "fn a() { use crate::engine::Engine; }",
        "use super::engine::Engine;",
        "fn a(_: &super::engine::Engine) {}",
        "use self::super::engine::Engine;",
        "use crate::engine::*; fn a(_: Engine) {}",
        "pub use crate::engine::Engine;",
        "macro_rules! a { () => { $crate::engine::Engine::b() } }",
        "a! { crate::engine::Engine }",
        "mod inner { use super::super::engine::Engine; }",
        "impl crate::engine::Engine {}",
        "#[derive(crate::engine::Engine)] struct A;",
        "fn a<'a>(b: &'a str) -> char { '\"' } use crate::engine::Engine; // '\"'",
        "const A: &str = r#\"\"\"#; use crate::engine::Engine;",
    ] {
        assert_eq!(breaches("call", text), found, "{text}");
    }
}

#[test]
fn code_after_a_test_item_counts_and_the_test_item_does_not() {
    let upwards = "use crate::engine::Engine;";
    let found = ["call is on floor 2, and engine::Engine on floor 4"];
    for before in [
        "#[cfg(test)]\nuse std::fs;",
        "#[cfg(test)]\nmod tests { use std::fs; fn a() { fs::read(\"}\"); } }",
        "#[cfg(test)]\nmod tests;",
        "#[cfg(test)]\n#[derive(Debug)]\npub(crate) struct A<B, C>(B, C);",
        "#[cfg(all(test, target_os = \"linux\"))]\nconst fn a() -> [u8; 2] { [0; 2] }",
        "struct A {\n    #[cfg(test)]\n    b: std::fs::File,\n    c: u8,\n}",
    ] {
        assert_eq!(breaches("call", &format!("{before}\n{upwards}")), found, "{before}");
        assert_eq!(breaches("call", before), [""; 0], "{before}");
    }
    for text in ["// crate::engine::Engine", "/* crate::engine::Engine */", "/// [`crate::engine`]"]
    {
        assert_eq!(breaches("call", text), [""; 0], "{text}");
    }
    let not_tests = "#[cfg(not(test))]\nuse crate::engine::Engine;";
    assert_eq!(breaches("call", not_tests), found);
    assert_eq!(breaches("call", "#[cfg(test)] use crate::engine::Engine;"), [""; 0]);
    assert_eq!(breaches("call", "const A: &str = \"crate::engine::Engine\";"), [""; 0]);
}

#[test]
fn the_order_within_a_floor_is_kept() {
    assert_eq!(breaches("call", "use crate::flow::Flow;"), [""; 0]);
    assert_eq!(
        breaches("flow", "pub mod run; use crate::call::Call;"),
        ["the floor table has call::Call above flow"]
    );
    assert_eq!(
        breaches("flow::run", "use crate::call::Call;"),
        ["the floor table has call::Call above flow::run"]
    );
    assert_eq!(breaches("group", "use crate::call::Call;"), [""; 0]);
}

#[test]
fn adapters_do_not_know_each_other() {
    let found = ["adapters do not know each other: sip::driver, cdr::Cdr"];
    assert_eq!(breaches("sip::driver", "use crate::cdr::Cdr;"), found);
    assert_eq!(breaches("web", "use crate::fetch::FetchClient;"), [""; 0]);
    assert_eq!(
        breaches("sip::driver", "use super::agent::Agent; use crate::store::Rows;"),
        [""; 0]
    );
    assert_eq!(breaches("sip::sockets", "use super::driver::Driver;"), [""; 0]);
    // A facade's re-export leads to the file that defines the name.
    assert_eq!(
        breaches("sip::agent", "use super::Driver;"),
        ["sip::agent is on floor 2, and sip::driver::Driver on floor 3"]
    );
}

#[test]
fn a_pure_floor_does_no_io_and_is_the_same_in_every_run() {
    for (text, found) in [
        ("use std::fs;", "std::fs: IO"),
        ("use std::{fmt, fs::File};", "std::fs::File: IO"),
        ("fn a() { std::process::exit(1) }", "std::process::exit: IO"),
        ("use std::net::UdpSocket;", "std::net::UdpSocket: IO"),
        ("fn a() { std::thread::sleep(b) }", "std::thread::sleep: IO"),
        (
            "fn a() -> std::time::Instant { std::time::Instant::now() }",
            "std::time::Instant::now: a clock",
        ),
        ("fn a() { SystemTime::now(); }", "SystemTime::now: a clock"),
        ("use tokio::time;", "tokio: tokio"),
        ("async fn a() {}", "async: async code"),
        ("use std::collections::HashMap;", "HashMap: a table in random order"),
        ("use hashbrown::HashTable;", "hashbrown: a table in random order"),
        ("fn a() { Uuid::new_v4() }", "new_v4: randomness"),
        ("fn a() { fastrand::bool() }", "fastrand: randomness"),
        ("use parking_lot::ReentrantMutex;", "parking_lot: a lock"),
        ("struct A(std::sync::Mutex<u8>);", "Mutex: a lock"),
    ] {
        let mut all = breaches("call", text);
        all.retain(|it| !it.starts_with("call:1 tokio::"));
        assert_eq!(
            all.first().map(String::as_str),
            Some(&*format!("call:1 {found}, on a pure floor")),
            "{text}"
        );
        assert_eq!(breaches("fetch", text), [""; 0], "{text}");
    }
    for text in [
        "use std::net::{IpAddr, SocketAddr};",
        "fn a(now: std::time::Instant, at: SystemTime) {}",
        "fn a() -> bool { std::thread::panicking() }",
        "use std::collections::BTreeMap;",
    ] {
        assert_eq!(breaches("call", text), [""; 0], "{text}");
    }
}

#[test]
fn the_table_and_the_folders_cannot_differ() {
    let files = made_up(&[]);
    let mut modules = Crate::read(&files).files();
    let floors = Floors::read(&files[0].text);
    modules.insert("nowhere".to_owned());
    modules.remove("web");
    assert_eq!(
        floors.check_table(&modules),
        ["the floor table has web, and src has not", "nowhere: give it a floor in src/lib.rs"]
    );
    // The longest name wins.
    assert_eq!(floors.of("sip::agent::timer"), Some(2));
    assert_eq!(floors.of("sip::driver::timer"), Some(3));
    assert_eq!(floors.of("sipper"), None);
}

#[test]
fn a_circle_is_found_between_folders_and_inside_a_folder() {
    let between =
        [("call", "use crate::group::Group;"), ("group", "pub struct Group(super::call::Call);")];
    assert_eq!(circles(&between, &[]), ["call → group::Group, group → call::Call"]);
    let inside = [
        ("sip::agent", "use super::driver::Driver; pub struct Agent;"),
        ("sip::driver", "pub struct Driver(crate::sip::agent::Agent);"),
    ];
    let found = ["sip::agent → sip::driver::Driver, sip::driver → sip::agent::Agent"];
    assert_eq!(circles(&inside, &[]), found);
    // By the facade, which defines nothing.
    let by_facade = [inside[1], ("sip::agent", "use super::Driver; pub struct Agent;")];
    assert_eq!(circles(&by_facade, &[]), found);
    let of_three = [
        ("sip::agent", "use super::Driver; pub struct Agent;"),
        ("sip::driver", "use super::sockets::Sockets; pub struct Driver;"),
        ("sip::sockets", "use super::agent; pub struct Sockets(agent::Agent);"),
    ];
    assert_eq!(circles(&of_three, &[]).len(), 1);
    assert_eq!(circles(&of_three[..2], &[]), [""; 0]);
}

#[test]
fn a_parent_and_its_child_are_a_circle_by_what_they_define() {
    let facade = ("engine", "mod registry; mod queue; pub use self::queue::Queue;");
    let child = ("engine::registry", "use super::Queue; pub struct Registry;");
    assert_eq!(circles(&[facade, child], &[]), [""; 0]);
    let parent = (
        "engine",
        "mod registry; mod queue; use self::registry::Registry; pub struct Engine(Registry);",
    );
    let child = ("engine::registry", "pub struct Registry(super::Engine);");
    let found = ["engine → engine::registry::Registry, engine::registry → engine::Engine"];
    assert_eq!(circles(&[parent, child], &[]), found);
}

#[test]
fn a_circle_that_is_known_does_not_hide_another() {
    let known =
        OpenCircle { folder: "sip", from: "agent", to: "driver", why: "it is a made-up one" };
    let files = [
        ("sip::agent", "use super::driver::Driver; pub struct Agent;"),
        ("sip::driver", "pub struct Driver(crate::sip::agent::Agent);"),
    ];
    assert_eq!(circles(&files, &[known]), [""; 0]);
    let more = [
        files[0],
        (
            "sip::driver",
            "use super::sockets::Sockets; pub struct Driver(crate::sip::agent::Agent);",
        ),
        ("sip::sockets", "pub struct Sockets(super::Driver);"),
    ];
    let found = ["sip::driver → sip::sockets::Sockets, sip::sockets → sip::driver::Driver"];
    assert_eq!(circles(&more, &[known]), found);
}

#[test]
fn a_retired_name_is_found() {
    for (module, name, found) in [
        ("engine", "House", Some("house")),
        ("engine", "HouseHandle", Some("house")),
        ("engine::ward", "ward", Some("ward")),
        ("rtp_engine", "SoundDesks", Some("desk")),
        ("api", "AskedSite", Some("site")),
        ("engine", "Warden", None),
        ("engine", "Households", None),
        ("simulate::script", "Script", None),
        ("flow", "Script", Some("script")),
    ] {
        assert_eq!(words::retired(module, name), found, "{module}: {name}");
    }
}

#[test]
fn a_type_name_is_found_twice_unless_it_recurs_by_design() {
    let files = made_up(&[
        ("call", "pub struct Settings; struct Row; type Alias = u8;"),
        ("group", "enum Settings {} trait Row {} type Alias = u8; #[cfg(test)] struct Call;"),
    ]);
    let page =
        "//! # Names that recur by design\n//!\n//! `Effect`, `Settings`.\n//! # More\n`Row`";
    let recurring = words::recurring(page);
    let found = words::duplicates(&Crate::read(&files).types, &recurring);
    assert_eq!(found, ["Row is a type in call, group"]);
}

#[test]
fn a_first_line_names_what_is_in_the_file() {
    for (text, is_good) in [
        ("//! Routes: which handler serves a path.\n", true),
        ("//! Whole screens, as text.\n", true),
        ("//! What a path is called.\n", false),
        ("//! As whom a server is asked.\n", false),
        ("//! Who's there.\n", false),
        ("use std::fmt;\n", false),
        ("", false),
    ] {
        assert_eq!(words::first_line(text).is_none(), is_good, "{text}");
    }
}

#[test]
fn a_short_doc_comment_on_a_public_item_is_found() {
    let text = "/// The call.\n\
        pub struct A {\n    /// Whom.\n    #[serde(skip)]\n    pub b: u8,\n    /// Mine.\n    c: u8,\n}\n\
        /// One of several kinds.\n\
        pub enum D {\n    /// Which.\n    E,\n}\n\
        /// Private.\nfn f() {}\n\
        /// Two lines:\n/// the second.\npub fn g() {}\n\
        /// Inside.\npub(crate) fn h() {}\n";
    let found = words::short_docs(text);
    let found = found.iter().map(|(line, doc)| (*line, &**doc)).collect::<Vec<_>>();
    assert_eq!(found, [(1, "The call."), (3, "Whom."), (11, "Which.")]);
}
