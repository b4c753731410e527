//! Voice files: the embedded voices of the build script, and their copies for the engine.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::speech::words;

/// A voice; there is one for each language.
pub(super) struct Lingware {
    pub(super) language: &'static str,
    /// Regions of its language that it serves although an earlier voice has the same language.
    also: &'static [&'static str],
    pub(super) analysis: LingwareFile,
    pub(super) sound: LingwareFile,
}

pub(super) struct LingwareFile {
    pub(super) name: &'static str,
    bytes: &'static [u8],
}

macro_rules! file {
    ($name:literal) => {
        LingwareFile { name: $name, bytes: include_bytes!(concat!(env!("OUT_DIR"), "/", $name)) }
    };
}

static LINGWARE: [Lingware; 6] = [
    Lingware {
        language: "en-US",
        also: &[],
        analysis: file!("en-US_ta.bin"),
        sound: file!("en-US_lh0_sg.bin"),
    },
    Lingware {
        language: "en-GB",
        also: &["en-au", "en-ie", "en-in", "en-nz", "en-za"],
        analysis: file!("en-GB_ta.bin"),
        sound: file!("en-GB_kh0_sg.bin"),
    },
    Lingware {
        language: "de-DE",
        also: &[],
        analysis: file!("de-DE_ta.bin"),
        sound: file!("de-DE_gl0_sg.bin"),
    },
    Lingware {
        language: "es-ES",
        also: &[],
        analysis: file!("es-ES_ta.bin"),
        sound: file!("es-ES_zl0_sg.bin"),
    },
    Lingware {
        language: "fr-FR",
        also: &[],
        analysis: file!("fr-FR_ta.bin"),
        sound: file!("fr-FR_nk0_sg.bin"),
    },
    Lingware {
        language: "it-IT",
        also: &[],
        analysis: file!("it-IT_ta.bin"),
        sound: file!("it-IT_cm0_sg.bin"),
    },
];

impl Lingware {
    /// The voice for a language: an exact match, then one that serves the region, then the first
    /// of any region.
    pub(super) fn of(language: &str) -> Option<&'static Self> {
        let language = words::language(language)?;
        let find = |fits: &dyn Fn(&Self) -> bool| LINGWARE.iter().find(|voice| fits(voice));
        find(&|voice| voice.language.eq_ignore_ascii_case(&language))
            .or_else(|| find(&|voice| voice.also.contains(&language.as_str())))
            .or_else(|| find(&|voice| words::primary(voice.language) == words::primary(&language)))
    }
}

static PARTS: AtomicU32 = AtomicU32::new(0);

impl Lingware {
    /// Writes the files of the voice to a folder that only this user can read, unless they are there
    /// and undamaged. Each is renamed into place when it is complete, so that two processes with one
    /// folder never read partial files.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        for file in [&self.analysis, &self.sound] {
            let path = folder.join(file.name);
            if fs::read(&path).is_ok_and(|bytes| bytes == file.bytes) {
                continue;
            }
            // Other writers, in this process or another one, use separate temporary files.
            let number = PARTS.fetch_add(1, Ordering::Relaxed);
            let part = folder.join(format!("{}.{}.{number}.part", file.name, std::process::id()));
            let written = fs::write(&part, file.bytes).and_then(|()| fs::rename(&part, &path));
            if written.is_err() {
                // On a full disk, a part of a file only takes room.
                drop(fs::remove_file(&part));
                return written;
            }
        }
        Ok(())
    }
}
