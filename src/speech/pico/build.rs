//! Build script: copies the voices of the speech engine from its package, to be embedded.
//!
//! `ttspico-sys` contains them next to its C source but does not export their path, so the script
//! asks cargo for the path of the package. `CONFLOW_LINGWARE` overrides it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Package that contains the voices.
const PACKAGE: &str = "ttspico-sys";

/// Their folder in the package.
const FOLDER: &str = "build/pico/lang";

/// Two files for each voice: text analysis and sound. `lingware.rs` embeds the same files.
const FILES: [&str; 12] = [
    "de-DE_gl0_sg.bin",
    "de-DE_ta.bin",
    "en-GB_kh0_sg.bin",
    "en-GB_ta.bin",
    "en-US_lh0_sg.bin",
    "en-US_ta.bin",
    "es-ES_ta.bin",
    "es-ES_zl0_sg.bin",
    "fr-FR_nk0_sg.bin",
    "fr-FR_ta.bin",
    "it-IT_cm0_sg.bin",
    "it-IT_ta.bin",
];

fn main() {
    println!("cargo::rerun-if-changed=src/speech/pico/build.rs");
    println!("cargo::rerun-if-changed=Cargo.lock");
    println!("cargo::rerun-if-env-changed=CONFLOW_LINGWARE");

    let from = env::var_os("CONFLOW_LINGWARE").map_or_else(find, PathBuf::from);
    let to = PathBuf::from(variable("OUT_DIR"));
    for name in FILES {
        if let Err(error) = fs::copy(from.join(name), to.join(name)) {
            panic!("the voice file {name} cannot be copied from {}: {error}", from.display());
        }
    }
}

/// Finds the folder of the voices. Asks cargo offline first: a build for one target may not
/// have fetched every package of the lock file, and only then is the network needed.
fn find() -> PathBuf {
    let mut message = String::new();
    for offline in [true, false] {
        match metadata(offline) {
            Ok(metadata) => match folder_in(&metadata) {
                Some(folder) => return folder,
                None => message = format!("cargo knows no package {PACKAGE} with {FOLDER}"),
            },
            Err(error) => message = error,
        }
    }
    panic!("{message}\nSet CONFLOW_LINGWARE to the folder {FOLDER} of the package {PACKAGE}.");
}

/// Output of `cargo metadata`, as JSON.
fn metadata(offline: bool) -> Result<String, String> {
    let mut command = Command::new(variable("CARGO"));
    command.args(["metadata", "--format-version=1", "--locked", "--filter-platform"]);
    command.arg(variable("TARGET"));
    command
        .arg("--manifest-path")
        .arg(Path::new(&variable("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    if offline {
        command.arg("--offline");
    }
    let output = command.output().map_err(|error| format!("cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("cargo metadata: {error}"))
}

/// Searches the paths of all manifests. A JSON parser would be one more package to build first,
/// and a wrongly cut path leads to no voices.
fn folder_in(metadata: &str) -> Option<PathBuf> {
    metadata
        .split("\"manifest_path\":\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .filter(|path| path.contains(PACKAGE))
        .filter_map(|path| Some(Path::new(&path.replace("\\\\", "\\")).parent()?.join(FOLDER)))
        .find(|folder| FILES.iter().all(|name| folder.join(name).is_file()))
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|error| panic!("cargo sets {name} for build scripts: {error}"))
}
