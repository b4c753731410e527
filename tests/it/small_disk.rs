//! Small disk: a file system of a few megabytes in a user and mount namespace of its own.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A mounted file system, which is there as long as this value.
pub(crate) struct SmallDisk {
    holder: Child,
    /// Its folder, as processes outside of the namespace reach it.
    pub(crate) inside: PathBuf,
}

impl SmallDisk {
    /// Mounts so many megabytes at an existing folder. None where there are no user namespaces, which
    /// is said on stderr.
    pub(crate) fn mount(folder: &Path, megabytes: u32) -> Option<Self> {
        let folder = folder.canonicalize().unwrap();
        let mut holder = Command::new("unshare");
        let mount =
            format!("mount -t tmpfs -o size={megabytes}m small . && echo mounted && exec cat");
        holder.args(["-rm", "sh", "-c", &mount]).current_dir(&folder);
        holder.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut holder = holder.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let root = PathBuf::from(format!("/proc/{}/root", holder.id()));
        let disk = Self { holder, inside: root.join(folder.strip_prefix("/").unwrap()) };
        if line != "mounted\n" {
            let skipped = b"skipped: this machine has no user namespaces (unshare -rm)\n";
            io::stderr().write_all(skipped).unwrap();
            return None;
        }
        Some(disk)
    }

    /// This command, for a process that sees the file system at its folder.
    pub(crate) fn command(&self, home: &Path, of: &Command) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.holder.id().to_string(), "-U", "-m"]);
        command.args(["--preserve-credentials", "sh", "-c", "cd \"$0\" && exec \"$@\""]);
        command.arg(home).arg(of.get_program()).args(of.get_args()).stdin(Stdio::null());
        for (name, _) in of.get_envs() {
            command.env_remove(name);
        }
        command
    }

    /// Writes a file until so many bytes are free, or none.
    pub(crate) fn fill(&self, left: u64) {
        let mut file = fs::File::create(self.inside.join("fill")).unwrap();
        for size in [65_536, 4_096, 512] {
            while left == 0 || left + size <= self.free() {
                if file.write_all(&vec![0; size as usize]).is_err() {
                    break;
                }
            }
        }
    }

    /// Removes that file.
    pub(crate) fn empty(&self) {
        fs::remove_file(self.inside.join("fill")).unwrap();
    }

    /// The bytes that are free.
    pub(crate) fn free(&self) -> u64 {
        let space = rustix::fs::statvfs(&self.inside).unwrap();
        space.f_bavail * space.f_frsize
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}
