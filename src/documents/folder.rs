//! Flows folder: serves the local documents of accounts.
//!
//! A file is found by listing a folder and comparing names; no path is built from a name that a
//! caller supplied. The account of development mode has the files directly in the flows folder;
//! every other account has those in the subfolder with its id as name.
//!
//! A symbolic link counts as its target, unless the target is outside of the flows folder: then the
//! link is ignored. (Those who may write into the folder are trusted; the rule prevents accidental
//! links from exposing files.)
//!
//! The next call sees a change of a file or folder. (One exception: a known file that moves out of
//! the flows folder and leaves a link in its place, or in that of its folder, is served until the
//! next change in the flows folder.)

use std::{io, path::PathBuf, sync::Arc};

use blake3::Hash;

use super::{
    DocumentFetch, DocumentStore, LocalFlow, OnDocument,
    cache::DocumentCache,
    folder_index::{EXTENSION, FILE_BYTES_MAX, FolderIndex, IndexedFile, SETTLING_TIME},
    unsent,
};
use crate::{
    base::ids::{AccountId, Dialect},
    descriptors,
    flow::{
        DocumentError, Fetched, Flow, FlowError, FlowErrorKind, Purpose, TextPosition,
        is_audio_name,
    },
};

/// The flows folder of this process.
#[derive(Debug)]
pub struct FlowsFolder {
    root: Arc<FolderIndex>,
    /// Account whose files are directly in the folder.
    owner: Option<AccountId>,
    documents: DocumentCache<Hash>,
}

/// Longest list of names in an error message.
const NAMES_SHOWN_MAX: usize = 20;

/// Scheme of a local flow's URL.
const FLOW: &str = "flow";

impl FlowsFolder {
    /// The path need not exist yet. The files directly in it belong to `owner`.
    pub fn new(path: PathBuf, owner: Option<AccountId>) -> Self {
        Self {
            root: Arc::new(FolderIndex::new(path, SETTLING_TIME)),
            owner,
            documents: DocumentCache::default(),
        }
    }

    /// Names of the account's flows, sorted.
    pub fn names(&self, account: &AccountId) -> Vec<String> {
        let index = self.index(account).ok().flatten();
        index.and_then(|index| index.names().ok()).unwrap_or_default()
    }

    fn index(&self, account: &AccountId) -> io::Result<Option<Arc<FolderIndex>>> {
        match self.owner.as_ref() == Some(account) {
            true => Ok(Some(self.root.clone())),
            false => self.root.folder(account.as_str()),
        }
    }

    /// Reads a flow's file; None if there is no such file.
    fn find(&self, flow: &LocalFlow) -> io::Result<Option<Fetched>> {
        let Some(index) = self.index(&flow.account)? else { return Ok(None) };
        let Some(file) = index.file(&flow.name)? else { return Ok(None) };
        match self.read(&flow.name, &file, flow.dialect) {
            // The file disappeared after the listing.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    /// Fast path: a file whose path and stamp are unchanged needs one file system call instead of
    /// three.
    fn unchanged(&self, flow: &LocalFlow) -> Option<Fetched> {
        let index = match self.owner.as_ref() == Some(&flow.account) {
            true => self.root.clone(),
            false => self.root.listed_folder(flow.account.as_str())?,
        };
        let file = index.listed_file(&flow.name)?;
        self.documents.find(file.known().ok()??, &file.origin, flow.dialect)
    }

    fn read(&self, name: &str, file: &IndexedFile, dialect: Dialect) -> io::Result<Fetched> {
        let Some((hash, bytes)) = file.read()? else { return Ok(Err(too_long())) };
        let (fetched, is_new) = self.documents.read(hash, &bytes, &file.origin, dialect);
        if is_new {
            log_findings(name, &fetched);
        }
        Ok(fetched)
    }

    fn missing(&self, account: &AccountId, name: &str) -> DocumentError {
        let names = self.names(account);
        let mut hint = match names.len() {
            0 => format!("no flow {name:?}: the account's flows folder is empty or missing"),
            _ => format!("no flow {name:?} in the account's flows folder; there are: "),
        };
        hint += &names[..names.len().min(NAMES_SHOWN_MAX)].join(", ");
        if NAMES_SHOWN_MAX < names.len() {
            hint += &format!(" and {} more", names.len() - NAMES_SHOWN_MAX);
        }
        DocumentError::Unreachable(hint.into())
    }
}

impl DocumentStore for FlowsFolder {
    fn fetch(&self, fetch: DocumentFetch, done: OnDocument) {
        let DocumentFetch { account, party, request, .. } = &fetch;
        let fetched = match request.url.split_once(':') {
            Some((FLOW, name)) => {
                let flow = LocalFlow {
                    account: account.clone(),
                    name: name.into(),
                    dialect: party.dialect,
                };
                match self.local(&flow) {
                    Some(fetched) => fetched,
                    // A sound file instead of a document: whether it is there shows when it plays.
                    None if request.purpose == Purpose::Sound && is_audio_name(name) => {
                        Ok(Arc::new(Flow::playing(&request.url, party.dialect)))
                    }
                    None => Err(self.missing(account, name)),
                }
            }
            Some(("http" | "https", _)) => Err(DocumentError::Unreachable(NO_HTTP.into())),
            Some(_) | None => Err(DocumentError::NotUrl(request.url.clone())),
        };
        let missing = fetched.as_ref().err();
        let record = missing.map(|it| unsent(request.purpose.text(), request.url.clone(), it));
        done(fetch, fetched, record);
    }

    fn local(&self, flow: &LocalFlow) -> Option<Fetched> {
        if let Some(found) = self.unchanged(flow) {
            return Some(found);
        }
        self.find(flow).unwrap_or_else(|error| {
            descriptors::note(&error);
            let text = format!("the file of the flow {:?} cannot be read: {error}", flow.name);
            Some(Err(DocumentError::Unreachable(text.into())))
        })
    }
}

const NO_HTTP: &str = "the flows folder has no web documents";

fn too_long() -> DocumentError {
    let max = usize::try_from(FILE_BYTES_MAX).expect("100 KB fit into usize");
    let advice = "split it, and continue from part to part with <Redirect>";
    let error = FlowErrorKind::Limit { what: "bytes", max, advice };
    DocumentError::Invalid(Arc::new(FlowError { at: TextPosition::default(), error }))
}

/// Logs errors and warnings of a new file for the operator, who may be its author.
fn log_findings(name: &str, fetched: &Fetched) {
    match fetched {
        Ok(flow) => flow.warnings.iter().for_each(|it| tracing::warn!("{name}.{EXTENSION}:{it}")),
        Err(missing) => tracing::warn!("{name}.{EXTENSION}:{missing}"),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::symlink,
        path::Path,
        time::{Duration, SystemTime},
    };

    use tempfile::{TempDir, tempdir};

    use super::*;
    use crate::{
        base::ids::CallId,
        call::{CallDirection, CallSession, CallStatus, Party},
        documents::DocumentRecipient,
        flow::{DocumentRequest, Flow, FlowOrigin, Purpose, RequestMethod, SourceDocument},
    };

    const DEV: &str = "MADEV";
    const OTHER: &str = "MAOTHER";

    fn folder(settling_time: Duration) -> (TempDir, FlowsFolder) {
        let temp = tempdir().unwrap();
        let owner = Some(DEV.parse().unwrap());
        let root = Arc::new(FolderIndex::new(temp.path().join("flows"), settling_time));
        fs::create_dir(temp.path().join("flows")).unwrap();
        (temp, FlowsFolder { root, owner, documents: DocumentCache::default() })
    }

    /// A flow that waits for this many seconds.
    fn wait(seconds: u32) -> String {
        format!("<Response><Wait length=\"{seconds}\"/></Response>")
    }

    fn write(temp: &TempDir, file: &str, text: &str) {
        fs::write(temp.path().join("flows").join(file), text).unwrap();
    }

    fn local(folder: &FlowsFolder, account: &str, name: &str) -> Option<Fetched> {
        let account = account.parse().unwrap();
        folder.local(&LocalFlow { account, name: name.into(), dialect: Dialect::Vobiz })
    }

    fn check(folder: &FlowsFolder, account: &str, name: &str, expected: Option<&str>) {
        let file = match account {
            DEV => format!("{name}.xml"),
            _ => format!("{account}/{name}.xml"),
        };
        let expected = expected.map(|text| {
            let text = Arc::new(text.into());
            let source = SourceDocument { text, origin: FlowOrigin::File(file.into()) };
            Flow::from_source(source, Dialect::Vobiz).unwrap()
        });
        let found = local(folder, account, name).map(|it| (*it.unwrap()).clone());
        assert_eq!(found, expected, "{account} {name}");
    }

    #[test]
    fn each_account_has_its_own_files() {
        let (temp, folder) = folder(SETTLING_TIME);
        fs::create_dir(temp.path().join("flows").join(OTHER)).unwrap();
        write(&temp, "weekly.xml", &wait(1));
        write(&temp, "MAOTHER/weekly.xml", &wait(2));
        write(&temp, "MAOTHER/theirs.xml", &wait(3));
        check(&folder, DEV, "weekly", Some(&wait(1)));
        check(&folder, OTHER, "weekly", Some(&wait(2)));
        check(&folder, OTHER, "theirs", Some(&wait(3)));
        check(&folder, DEV, "theirs", None);
        check(&folder, "MATHIRD", "weekly", None);
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let (temp, folder) = folder(SETTLING_TIME);
        fs::write(temp.path().join("secret.xml"), wait(1)).unwrap();
        fs::create_dir(temp.path().join("flows").join(OTHER)).unwrap();
        write(&temp, "weekly.xml", &wait(1));
        write(&temp, "notes.txt", "not a flow");
        let secret = temp.path().join("secret");
        for name in ["../secret", secret.to_str().unwrap(), "MAOTHER/../weekly", "./weekly"] {
            check(&folder, DEV, name, None);
        }
        for name in ["weekly.xml", "notes", "notes.txt", "", ".", "..", "WEEKLY"] {
            check(&folder, DEV, name, None);
        }
        for account in ["..", ".", "MAOTHER/..", "/"] {
            check(&folder, account, "weekly", None);
            check(&folder, account, "secret", None);
        }
    }

    /// Only a file that is not there may be "not found": any other error passes (A7).
    #[test]
    fn a_folder_or_file_that_cannot_be_read_is_not_taken_for_one_that_is_missing() {
        let temp = tempdir().unwrap();
        fs::write(temp.path().join("file"), "").unwrap();
        symlink("loop", temp.path().join("loop")).unwrap();
        for path in ["file/flows", "loop"] {
            let flows = FlowsFolder::new(temp.path().join(path), Some(DEV.parse().unwrap()));
            for account in [DEV, OTHER] {
                let Some(Err(DocumentError::Unreachable(why))) = local(&flows, account, "weekly")
                else {
                    panic!("{path} {account}");
                };
                assert!(why.contains("cannot be read"), "{why}");
            }
        }
        let (temp, other) = folder(SETTLING_TIME);
        symlink("self.xml", temp.path().join("flows/self.xml")).unwrap();
        write(&temp, "weekly.xml", &wait(1));
        let unreadable = local(&other, DEV, "self");
        assert!(matches!(unreadable, Some(Err(DocumentError::Unreachable(_)))), "{unreadable:?}");
        check(&other, DEV, "weekly", Some(&wait(1)));
        check(&other, DEV, "other", None);
    }

    #[test]
    fn a_link_counts_unless_it_leads_out_of_the_folder() {
        let (temp, folder) = folder(SETTLING_TIME);
        fs::write(temp.path().join("secret.xml"), wait(1)).unwrap();
        fs::create_dir(temp.path().join("flows").join("..data")).unwrap();
        write(&temp, "..data/weekly.xml", &wait(2));
        let link = |target: &str, name: &str| {
            symlink(target, temp.path().join("flows").join(name)).unwrap();
        };
        link("..data/weekly.xml", "weekly.xml");
        link("../secret.xml", "secret.xml");
        link("..", "MAOTHER");
        link("missing.xml", "nowhere.xml");
        check(&folder, DEV, "weekly", Some(&wait(2)));
        check(&folder, DEV, "secret", None);
        check(&folder, OTHER, "secret", None);
        check(&folder, DEV, "nowhere", None);
    }

    #[test]
    fn a_change_is_seen_by_the_next_call_however_soon_it_comes() {
        let (temp, folder) = folder(SETTLING_TIME);
        for n in 100..400 {
            // The same length as before, and often within one tick of the file system's clock.
            write(&temp, "weekly.xml", &wait(n));
            check(&folder, DEV, "weekly", Some(&wait(n)));
            let file = folder.root.file("weekly").unwrap().unwrap();
            assert_eq!(file.known().unwrap(), None, "it is too young to be known");
            let name = format!("new-{n}");
            check(&folder, DEV, &name, None);
            write(&temp, &format!("{name}.xml"), &wait(n));
            check(&folder, DEV, &name, Some(&wait(n)));
        }
        fs::remove_file(temp.path().join("flows").join("weekly.xml")).unwrap();
        check(&folder, DEV, "weekly", None);
    }

    #[test]
    fn a_settled_file_is_read_again_only_after_a_change() {
        let (temp, folder) = folder(Duration::ZERO);
        write(&temp, "weekly.xml", &wait(1));
        let first = local(&folder, DEV, "weekly").unwrap().unwrap();
        let file = folder.root.file("weekly").unwrap().unwrap();
        assert!(file.known().unwrap().is_some());
        assert!(Arc::ptr_eq(&local(&folder, DEV, "weekly").unwrap().unwrap(), &first));
        assert!(Arc::ptr_eq(&folder.root.file("weekly").unwrap().unwrap(), &file));

        // Replaces the file by another one with the same length and modification time.
        let path = temp.path().join("flows").join("weekly.xml");
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        write(&temp, "weekly.new", &wait(2));
        let new = temp.path().join("flows").join("weekly.new");
        fs::File::options().write(true).open(&new).unwrap().set_modified(modified).unwrap();
        fs::rename(new, path).unwrap();
        check(&folder, DEV, "weekly", Some(&wait(2)));
    }

    #[test]
    fn known_files_are_dropped_with_their_folder() {
        let (temp, folder) = folder(Duration::ZERO);
        let flows = temp.path().join("flows");
        let fill = |folder: &Path| {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("weekly.xml"), wait(1)).unwrap();
        };
        let known = || local(&folder, OTHER, "weekly").map(|it| it.unwrap());
        fill(&flows.join(OTHER));
        let first = known().unwrap();
        assert!(Arc::ptr_eq(&known().unwrap(), &first));
        fs::rename(flows.join(OTHER), flows.join("away")).unwrap();
        check(&folder, OTHER, "weekly", None);
        symlink("away", flows.join(OTHER)).unwrap();
        assert!(known().is_some() && known().is_some());
        fill(&temp.path().join("outside"));
        fs::remove_file(flows.join(OTHER)).unwrap();
        symlink("../outside", flows.join(OTHER)).unwrap();
        check(&folder, OTHER, "weekly", None);
    }

    #[test]
    fn a_file_that_is_not_a_flow_is_an_error() {
        let (temp, folder) = folder(SETTLING_TIME);
        let long = format!("{}{}", wait(1), " ".repeat(100 * 1024));
        for (file, text) in [("broken.xml", "<Response>"), ("long.xml", &long)] {
            write(&temp, file, text);
            let found = local(&folder, DEV, file.trim_end_matches(".xml")).unwrap();
            assert!(matches!(found, Err(DocumentError::Invalid(_))), "{file}: {found:?}");
        }
    }

    #[test]
    fn an_empty_place_has_no_flows_until_they_come() {
        let temp = tempdir().unwrap();
        let path = temp.path().join("flows");
        let folder = FlowsFolder::new(path.clone(), Some(DEV.parse().unwrap()));
        check(&folder, DEV, "weekly", None);
        fs::create_dir(path).unwrap();
        write(&temp, "weekly.xml", &wait(1));
        check(&folder, DEV, "weekly", Some(&wait(1)));
    }

    fn fetch(folder: &FlowsFolder, url: &str) -> Fetched {
        let (sender, answer) = std::sync::mpsc::channel();
        let request = DocumentRequest {
            url: url.into(),
            method: RequestMethod::Post,
            purpose: Purpose::Redirect,
            fields: vec![],
            is_private: false,
        };
        let party = Party {
            from: "100".into(),
            to: "200".into(),
            caller_name: "".into(),
            direction: CallDirection::Inbound,
            dialect: Dialect::Vobiz,
            trusted: None,
            session: CallSession::at(SystemTime::UNIX_EPOCH),
        };
        let fetch = DocumentFetch {
            account: DEV.parse().unwrap(),
            call: CallId::of(1),
            party: Arc::new(party),
            status: CallStatus::InProgress,
            recipient: DocumentRecipient::Call { number: 7 },
            request,
            attempt: 1,
        };
        folder.fetch(
            fetch.clone(),
            Box::new(move |it, fetched, _| {
                assert_eq!(it, fetch);
                sender.send(fetched).unwrap();
            }),
        );
        answer.recv().unwrap()
    }

    #[test]
    fn a_url_leads_to_a_flow_or_says_why_not() {
        let (temp, folder) = folder(SETTLING_TIME);
        write(&temp, "weekly.xml", &wait(1));
        write(&temp, "daily.xml", &wait(2));
        assert!(fetch(&folder, "flow:weekly").is_ok());
        let say = |url| fetch(&folder, url).unwrap_err().to_string();
        let expected =
            "no flow \"monthly\" in the account's flows folder; there are: daily, weekly";
        assert_eq!(say("flow:monthly"), expected);
        assert_eq!(say("https://example.com/a.xml"), NO_HTTP);
        for url in ["ftp://example.com", "weekly", "", "sound:hold"] {
            assert!(matches!(fetch(&folder, url), Err(DocumentError::NotUrl(it)) if *it == *url));
        }
        for n in 0..30 {
            write(&temp, &format!("f{n:02}.xml"), &wait(1));
        }
        assert!(say("flow:monthly").ends_with("f18 and 12 more"), "{}", say("flow:monthly"));
    }
}
