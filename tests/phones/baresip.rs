//! baresip without a sound card: it sends a tone, records what it receives, and takes commands over
//! a control connection.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
};

use conflow::rtp::g711::RATE;
use parking_lot::Mutex;
use tempfile::{TempDir, tempdir};

use crate::{
    ear,
    program::{self, eventually},
};

/// The bytes of a WAV file's header.
const HEADER: usize = 44;

/// Longer than any test.
const TONE_SECONDS: usize = 120;

pub(crate) struct Baresip {
    pub(crate) user: &'static str,
    /// The tone that it sends, in Hz.
    pub(crate) tone: f64,
    child: Child,
    control: TcpStream,
    /// Everything received over the control connection.
    said: Arc<Mutex<String>>,
    home: TempDir,
}

impl Baresip {
    /// Calls `sip:{to}@…` at this address.
    pub(crate) fn call(server: SocketAddr, to: &str, user: &'static str, tone: f64) -> Self {
        let mut phone = Self::start(server, "udp", user, tone, "regint=0", "");
        phone.dial(server, to);
        phone
    }

    /// Registers, or tries to, over `udp` or `tcp`.
    pub(crate) fn register(
        server: SocketAddr,
        transport: &str,
        user: &'static str,
        password: &str,
    ) -> Self {
        let account = format!("regint=60;auth_pass={password}");
        Self::start(server, transport, user, 500.0, &account, "")
    }

    /// Registers without a password, and answers calls at once.
    pub(crate) fn answering(server: SocketAddr, transport: &str, user: &'static str) -> Self {
        Self::start(server, transport, user, 500.0, "regint=60;answermode=auto", "")
    }

    /// Calls `sip:{to}@…` at this address.
    pub(crate) fn dial(&mut self, server: SocketAddr, to: &str) {
        self.tell("dial", &format!("sip:{to}@{server}"));
        self.wait_for("CALL_ESTABLISHED");
    }

    /// `account` has parameters of its account, and `settings` further lines of its settings.
    pub(crate) fn start(
        server: SocketAddr,
        transport: &str,
        user: &'static str,
        tone: f64,
        account: &str,
        settings: &str,
    ) -> Self {
        let home = tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = home.path().to_str().unwrap();
        fs::write(home.path().join("tone.wav"), ear::wav(ear::tone(tone, TONE_SECONDS))).unwrap();
        fs::write(home.path().join("config"), config(folder, port) + settings).unwrap();
        let account = format!(
            "<sip:{user}@127.0.0.1>;{account};outbound=\"sip:{server};transport={transport}\"\n"
        );
        fs::write(home.path().join("accounts"), account).unwrap();
        let log = File::create(home.path().join("log")).unwrap();
        let child = Command::new("baresip")
            .args(["-f", folder])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("baresip is installed (baresip-core)");
        let control = eventually("baresip", || TcpStream::connect(("127.0.0.1", port)).ok());
        let (said, mut words) = (Arc::<Mutex<String>>::default(), control.try_clone().unwrap());
        let kept = Arc::clone(&said);
        // Ends with the connection.
        thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(len @ 1..) = words.read(&mut bytes) {
                *kept.lock() += &String::from_utf8_lossy(&bytes[..len]);
            }
        });
        Self { user, tone, child, control, said, home }
    }

    /// Sends a menu command: `dial`, `hold`, `resume`, `hangup`, `sndcode`.
    pub(crate) fn tell(&mut self, command: &str, params: &str) {
        let order = serde_json::json!({ "command": command, "params": params }).to_string();
        write!(self.control, "{}:{order},", order.len()).unwrap();
    }

    /// Waits for an event, or for words in the log, which alone has what happens before the first
    /// command.
    #[track_caller]
    pub(crate) fn wait_for(&self, event: &str) {
        eventually(&format!("{} of {}", event, self.user), || {
            (self.said.lock().contains(event) || self.log().contains(event)).then_some(())
        });
    }

    fn log(&self) -> String {
        let log = fs::read(self.home.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).replace('\r', "\n")
    }

    /// The number of samples received.
    pub(crate) fn received(&self) -> usize {
        let len = self.recording().and_then(|path| Some(fs::metadata(path).ok()?.len()));
        (len.unwrap_or_default() as usize).saturating_sub(HEADER) / 2
    }

    /// All samples received.
    pub(crate) fn heard(&self) -> Vec<i16> {
        let bytes = self.recording().map_or_else(Vec::new, |path| fs::read(path).unwrap());
        let (samples, _odd) = bytes.get(HEADER..).unwrap_or_default().as_chunks();
        samples.iter().map(|it| i16::from_le_bytes(*it)).collect()
    }

    /// Waits for `ms` milliseconds of sound after the sample `from`, and returns them.
    #[track_caller]
    pub(crate) fn listen(&self, from: usize, ms: usize) -> Vec<i16> {
        let to = from + samples(ms);
        eventually(&format!("{ms} ms of sound for {}", self.user), || {
            (to <= self.received()).then_some(())
        });
        self.heard()[from..to].to_vec()
    }

    fn recording(&self) -> Option<PathBuf> {
        let entries = fs::read_dir(self.home.path()).ok()?;
        entries.flatten().map(|it| it.path()).find(|it| it.to_string_lossy().ends_with("-dec.wav"))
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        program::end(&mut self.child);
        if thread::panicking() {
            let log = self.log();
            let lines = log.lines().filter(|it| !it.contains("(bit/s)"));
            let log: String = lines.map(|it| format!("{it}\n")).collect();
            program::write_out(&format!("--- the log of {}:\n{log}", self.user));
        }
    }
}

/// The number of samples in `ms` milliseconds.
pub(crate) fn samples(ms: usize) -> usize {
    ms * RATE as usize / 1_000
}

/// The necessary settings, and none that needs a sound card.
fn config(folder: &str, control: u16) -> String {
    format!(
        "poll_method epoll\nsip_listen 127.0.0.1:0\nnet_interface 127.0.0.1\n\
         rtp_ports 33000-40000\naudio_player aubridge,nil\naudio_alert aubridge,nil\n\
         audio_source aufile,{folder}/tone.wav\nsnd_path {folder}\n\
         ctrl_tcp_listen 127.0.0.1:{control}\nmodule_path /usr/lib/baresip/modules\n\
         module g711.so\nmodule aubridge.so\nmodule aufile.so\nmodule sndfile.so\n\
         module_tmp account.so\nmodule_app menu.so\nmodule_app ctrl_tcp.so\n"
    )
}
