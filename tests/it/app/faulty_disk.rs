//! Faulty disk: a library that is preloaded into the program, and whose writes fail on command.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::io::Errno;

use super::{Program, command};

/// The library, and the file that tells it what fails.
pub(super) struct FaultyDisk {
    library: PathBuf,
    fault: PathBuf,
}

impl FaultyDisk {
    /// Compiles the library into a folder. All is well at first.
    pub(super) fn new(folder: &Path) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/app/faulty_disk.c");
        let library = folder.join("faulty_disk.so");
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-o"]).args([&library, &source]).arg("-ldl");
        assert!(compile.status().expect("there is a C compiler").success());
        Self { library, fault: folder.join("fault") }
    }

    pub(super) fn start(&self, home: &Path) -> Program {
        let mut command = command(home, "serve --http 127.0.0.1:0 --sip off");
        command.env("LD_PRELOAD", &self.library).env("FAULTY_DISK", &self.fault);
        Program::of(command)
    }

    /// From now on, writes to files fail whose path has this part.
    pub(super) fn fail(&self, error: Errno, part: &str) {
        let draft = self.fault.with_extension("draft");
        fs::write(&draft, format!("{} {part}", error.raw_os_error())).unwrap();
        fs::rename(draft, &self.fault).unwrap();
    }

    pub(super) fn mend(&self) {
        fs::remove_file(&self.fault).unwrap();
    }
}
