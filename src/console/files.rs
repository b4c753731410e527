//! Built files of the console, compressed and as they are.

use std::sync::LazyLock;

/// One file of `dist/`.
#[derive(Debug)]
pub struct ConsoleFile {
    /// Its name below `/console/`.
    pub name: &'static str,
    /// The value of `Content-Type`.
    pub media_type: &'static str,
    /// The contents, for clients that take no gzip.
    pub plain: &'static [u8],
    /// The contents in gzip.
    pub gzip: &'static [u8],
    /// The value of `ETag`: BLAKE3 of the contents, in quotes.
    pub etag: String,
}

/// The page itself, which loads the other files.
pub const INDEX: &str = "index.html";

macro_rules! files {
    ($($name:literal: $media_type:literal,)*) => {
        [$(ConsoleFile::new(
            ($name, $media_type),
            include_bytes!(concat!("dist/", $name)),
            include_bytes!(concat!("dist/", $name, ".gz")),
        )),*]
    };
}

static FILES: LazyLock<[ConsoleFile; 6]> = LazyLock::new(|| {
    files! {
        "index.html": "text/html; charset=utf-8",
        "app.js": "text/javascript; charset=utf-8",
        "app.css": "text/css; charset=utf-8",
        "stream.js": "text/javascript; charset=utf-8",
        "icon.svg": "image/svg+xml",
        "NOTICES.txt": "text/plain; charset=utf-8",
    }
});

impl ConsoleFile {
    fn new(
        (name, media_type): (&'static str, &'static str),
        plain: &'static [u8],
        gzip: &'static [u8],
    ) -> Self {
        let etag = format!("\"{}\"", blake3::hash(plain).to_hex());
        Self { name, media_type, plain, gzip, etag }
    }

    /// The file of this name; None if there is none.
    pub fn find(name: &str) -> Option<&'static Self> {
        FILES.iter().find(|it| it.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the first paint loads, and all, in gzip.
    const FIRST_BYTES_MAX: usize = 40 << 10;
    const ALL_BYTES_MAX: usize = 200 << 10;

    #[test]
    fn the_files_are_small_enough() {
        let first = [INDEX, "app.js", "app.css", "stream.js"];
        let first: usize = first.iter().map(|it| ConsoleFile::find(it).unwrap().gzip.len()).sum();
        let all: usize = FILES.iter().map(|it| it.gzip.len()).sum();
        assert!(first <= FIRST_BYTES_MAX && all <= ALL_BYTES_MAX, "{first} and {all} bytes");
    }

    #[test]
    fn the_page_loads_nothing_that_is_not_built_in() {
        let page = std::str::from_utf8(ConsoleFile::find(INDEX).unwrap().plain).unwrap();
        let loaded: Vec<_> = page.split("/console/").skip(1).collect();
        for name in loaded.iter().map(|it| it.split('"').next().unwrap()) {
            assert!(ConsoleFile::find(name).is_some(), "{name}");
        }
        assert_eq!(loaded.len(), 3);
        assert!(!page.contains("http"), "it asks no other server");
    }
}
