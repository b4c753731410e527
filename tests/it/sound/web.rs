//! Web sounds: the cache, the guarded client, and servers of every kind.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::any,
};
use conflow::{
    audio::{clip::Clip, wav},
    fetch::{self, FetchClient},
    sound::{Settings, SoundCache, SoundSource, web::WebSounds},
    speech::{Speech, SpeechError, Utterance},
};
use parking_lot::Mutex;
use tokio::{sync::oneshot, time};

use crate::net::{Net, TestNetwork};

const SERVER: &str = "93.184.215.14:80";
const SECOND: Duration = Duration::from_secs(1);

/// A speech engine without languages.
struct Mute;

impl Speech for Mute {
    fn reads(&self, _: &str) -> bool {
        false
    }

    fn speak(&self, _: &Utterance) -> Result<Clip, SpeechError> {
        unreachable!("no text is read here")
    }
}

/// A cache, an in-memory network, and the log of its servers.
struct World {
    net: Arc<Net>,
    cache: SoundCache,
    asked: Arc<Mutex<Vec<String>>>,
}

impl World {
    fn new() -> Self {
        let net = Net::new();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let log = Arc::clone(&asked);
        let server = any(move |request: Request| {
            let condition = request.headers().get(header::IF_NONE_MATCH);
            let condition = condition.map(|it| format!(" {}", it.to_str().unwrap()));
            let (method, path) = (request.method(), request.uri().path());
            log.lock().push(format!("{method} {path}{}", condition.unwrap_or_default()));
            let answer = answer(request.uri().path(), &request);
            async move { answer }
        });
        net.serve(SERVER, Router::new().fallback(server));
        net.name("x.example", &[&["93.184.215.14"]]);
        net.name("inside.example", &[&["10.0.0.1"]]);
        let client =
            FetchClient::new(fetch::Settings::default(), Arc::new(TestNetwork(net.clone())))
                .unwrap();
        let tones = Arc::new(|_: &str, _| None);
        let web = Arc::new(WebSounds::new(client));
        let cache = SoundCache::new(Settings::default(), Arc::new(Mute), tones, web).unwrap();
        Self { net, cache, asked }
    }

    fn ask(&self, account: &str, url: &str) -> oneshot::Receiver<Result<usize, String>> {
        let (sender, receiver) = oneshot::channel();
        let source = SoundSource::Web { account: account.parse().unwrap(), url: url.into() };
        self.cache.load(&source, 8_000, move |sound| {
            let sound = sound.map(|it| it.len()).map_err(|error| error.to_string());
            drop(sender.send(sound));
        });
        receiver
    }

    /// Returns the number of samples at 8,000 Hz, or the error.
    async fn load(&self, url: &str) -> Result<usize, String> {
        self.ask("MA1", url).await.unwrap()
    }

    /// The requests to the servers since the last call.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock())
    }
}

fn tone() -> Vec<u8> {
    wav::write(&Clip { rate: 8_000, samples: vec![5; 800].into() })
}

fn answer(path: &str, request: &Request) -> Response {
    let with = |name: HeaderName, value: &str| {
        let value = HeaderValue::from_str(value).unwrap();
        ([(name, value), (header::ETAG, HeaderValue::from_static("\"a1\""))], tone())
    };
    let to = |url: &str| (StatusCode::FOUND, [(header::LOCATION, url.to_owned())]).into_response();
    match path {
        "/tone.wav" => with(header::CACHE_CONTROL, "max-age=60").into_response(),
        "/tagged" if request.headers().contains_key(header::IF_NONE_MATCH) => {
            StatusCode::NOT_MODIFIED.into_response()
        }
        "/tagged" => with(header::CACHE_CONTROL, "no-cache").into_response(),
        // The server declares a wrong type; the bytes decide.
        "/download.php" => include_bytes!("../../sounds/tones.mp3").into_response(),
        "/text" => "no sound".into_response(),
        "/moved" => to("/tone.wav"),
        "/inside" => to("http://127.0.0.1/tone.wav"),
        "/round" => to("/round"),
        "/large" => vec![0; 10_000_001].into_response(),
        "/busy" => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

#[tokio::test]
async fn a_sound_is_fetched_once_for_all_who_wait_and_each_account_has_its_own() {
    let world = World::new();
    let url = "http://x.example/tone.wav";
    let waiting = [(); 20].map(|()| world.ask("MA1", url));
    for it in waiting {
        assert_eq!(it.await.unwrap(), Ok(800));
    }
    assert_eq!(world.load(url).await, Ok(800));
    assert_eq!(world.asked(), ["GET /tone.wav"]);
    assert_eq!(world.ask("MA2", url).await.unwrap(), Ok(800));
    assert_eq!(world.asked(), ["GET /tone.wav"], "each account has its own cache");
    // The fragment is part of the cache key: with another fragment it is another sound.
    assert_eq!(world.load("http://x.example/tone.wav#ct=100").await, Ok(800));
    assert_eq!(world.asked(), ["GET /tone.wav"]);
}

#[tokio::test]
async fn a_sound_is_kept_as_long_as_its_server_says_and_then_revalidated_by_its_etag() {
    let world = World::new();
    let after = async |wait: Duration| {
        time::pause();
        time::advance(wait).await;
        time::resume();
    };
    for (url, fresh) in [("http://x.example/tone.wav", 60), ("http://x.example/tagged", 10)] {
        let path = url.strip_prefix("http://x.example").unwrap();
        assert_eq!(world.load(url).await, Ok(800));
        assert_eq!(world.asked(), [format!("GET {path}")]);
        after((fresh - 2) * SECOND).await;
        assert_eq!(world.load(url).await, Ok(800));
        assert_eq!(world.asked(), [""; 0], "it is fresh");
        after(3 * SECOND).await;
        assert_eq!(world.load(url).await, Ok(800));
        assert_eq!(world.asked(), [format!("GET {path} \"a1\"")]);
    }
}

#[tokio::test]
async fn the_bytes_decide_the_kind_of_a_sound_and_an_error_names_the_url() {
    let world = World::new();
    let check = async |url: &str, expected: Result<usize, &str>| {
        let loaded = world.load(url).await;
        assert_eq!(loaded.as_ref().map_err(String::as_str), expected.as_ref().map_err(|it| *it));
    };
    check("http://x.example/download.php?file=1", Ok(8_000)).await;
    check("http://x.example/moved", Ok(800)).await;
    let text = "http://x.example/text: neither a WAV nor an MP3 file: convert it to one of these";
    check("http://x.example/text?key=secret", Err(text)).await;
    let large = "http://x.example/large: the answer is larger than 10000000 bytes: shorten it";
    check("http://x.example/large", Err(large)).await;
    let user = "the URL must not name a user or a password: callbacks are signed instead";
    check("http://me:secret@x.example/tone.wav", Err(user)).await;
    world.asked();
    let missing = "http://x.example/missing: it answered 404 Not Found, and only 2xx is good";
    check("http://x.example/missing", Err(missing)).await;
    check("http://x.example/missing", Err(missing)).await;
    // Each fetch of a sound is tried twice, whatever the status.
    assert_eq!(world.asked(), ["GET /missing"; 4]);
}

#[tokio::test]
async fn the_guard_refuses_forbidden_addresses() {
    let world = World::new();
    let closed = [
        "http://127.0.0.1/tone.wav",
        "http://[::ffff:7f00:1]/tone.wav",
        "http://169.254.169.254/latest/meta-data",
        "http://inside.example/tone.wav",
        "http://x.example/inside",
    ];
    for url in closed {
        let error = world.load(url).await.unwrap_err();
        assert!(error.contains("which may not be reached"), "{url}: {error}");
    }
    assert_eq!(world.net.dialed(), [SERVER], "only the redirecting server was contacted");
    let round = world.load("http://x.example/round").await.unwrap_err();
    assert!(round.contains("redirects more than 3 times"), "{round}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up_and_delays_only_its_own_account() {
    let world = World::new();
    world.net.name("silent.example", &[&["93.184.215.15"]]);
    let reached = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&reached);
    let never = any(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        std::future::pending::<Response>()
    });
    world.net.serve("93.184.215.15:80", Router::new().fallback(never));
    let slow = |n| world.ask("MA1", &format!("http://silent.example/{n}.wav"));
    let slow: Vec<_> = (0..20).map(slow).collect();
    let start = time::Instant::now();
    while reached.load(Ordering::Relaxed) < 8 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.ask("MA2", "http://x.example/tone.wav").await.unwrap(), Ok(800));
    for it in slow {
        let error = it.await.unwrap().unwrap_err();
        let is_late = error.contains("no complete answer within 120000 ms")
            || error.contains("not done within 125000 ms")
            || error == "too many sounds are downloading: try again later";
        assert!(is_late, "{error}");
    }
    assert!(start.elapsed() >= 120 * SECOND, "{:?}", start.elapsed());
    // The requests of an account never exceed its limit, first and second tries included.
    assert!(reached.load(Ordering::Relaxed) <= 3 * 2 * 8, "{reached:?}");
}
