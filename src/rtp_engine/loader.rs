//! Programs whose sounds are on their way: asked for when the order comes, and found by the tick
//! thread without a lock.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, OnceLock},
};

use crate::{
    audio::{
        cursor::{Found, Sounds},
        playout,
        tone::Tones,
    },
    base::ids::CallId,
    media::{AnnouncementKind, Program, What},
};

/// Where sounds come from that are not our own: files, URLs and speech.
pub trait Loader: Send + Sync + 'static {
    /// Gets the samples of a sound at 8,000 a second, mono, for this call: whose account says
    /// what `flow:FILE` is. Returns at once; `done` is called once, now or later, on any thread.
    /// The error says what cannot be had and why.
    ///
    /// Never asked for beeps, silence, or a `sound:` of ours. The same sound is asked for again
    /// and again: what was loaded lately is to be had at once.
    fn load(&self, call: CallId, what: &What, done: Done);
}

/// Takes a sound, or what is wrong with it.
pub type Done = Box<dyn FnOnce(Result<Arc<[i16]>, String>) + Send>;

/// What makes scores of programs.
pub(super) struct Studio {
    loader: Arc<dyn Loader>,
    tones: Arc<Tones>,
}

/// A program, and its sounds as far as they have come.
#[derive(Clone, Debug)]
pub(super) struct Score {
    pub(super) program: Program,
    /// Those that are none of ours; most programs have one.
    slots: Arc<[Slot]>,
}

/// A sound that comes, or has come.
#[derive(Clone, Debug)]
struct Slot {
    what: What,
    /// None in it: it cannot be had.
    sound: Arc<OnceLock<Option<Arc<[i16]>>>>,
}

/// The scores that a leg's playout may look into.
#[derive(Debug, Default)]
pub(super) struct Scores {
    played: Option<Score>,
    waiting: Option<Score>,
    announced: VecDeque<Score>,
    /// A Play and a Speak.
    over: [Option<Score>; 2],
}

/// A leg's scores, and the sounds that are always there.
pub(super) struct Shelf<'a> {
    pub(super) tones: &'a Tones,
    pub(super) scores: &'a Scores,
}

impl Studio {
    pub(super) fn new(loader: Arc<dyn Loader>, tones: Arc<Tones>) -> Self {
        Self { loader, tones }
    }

    /// Asks for all the sounds of a program, as this call hears it.
    pub(super) fn score(&self, call: CallId, program: &Program) -> Score {
        let mut slots: Vec<Slot> = Vec::new();
        for sound in program.iter() {
            let what = &sound.what;
            if self.has(what) || slots.iter().any(|it| it.what == *what) {
                continue;
            }
            let slot = Slot { what: what.clone(), sound: Arc::default() };
            self.load(call, &slot);
            slots.push(slot);
        }
        Score { program: Arc::clone(program), slots: slots.into() }
    }

    /// Has the sounds of a program loaded, so that they are at hand when it is played.
    pub(super) fn warm(&self, call: CallId, program: &Program) {
        for sound in program.iter().filter(|it| !self.has(&it.what)) {
            // What cannot be had is told of when it is played.
            self.loader.load(call, &sound.what, Box::new(drop));
        }
    }

    fn has(&self, what: &What) -> bool {
        matches!(what, What::Silence(_)) || self.tones.of(what).is_some()
    }

    fn load(&self, call: CallId, slot: &Slot) {
        let Slot { what, sound } = slot.clone();
        let tones = Arc::clone(&self.tones);
        let done = move |loaded: Result<Arc<[i16]>, String>| {
            let loaded = match loaded {
                Ok(samples) => Some(samples),
                Err(complaint) => {
                    let sound = name_of(&what);
                    tracing::warn!(%call, sound, complaint, "a sound cannot be played");
                    // Words that nobody can read are not passed over in silence.
                    let is_speech = matches!(what, What::Speech { .. });
                    is_speech.then(|| tones.of(&What::Beep(1)).cloned()).flatten()
                }
            };
            // A loader that calls twice is not heard twice.
            drop(sound.set(loaded));
        };
        self.loader.load(call, &slot.what, Box::new(done));
    }
}

impl fmt::Debug for Studio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Studio").finish_non_exhaustive()
    }
}

/// For the log: no words of a caller's flow, and no secrets of a URL. Which URL, the complaint
/// tells.
fn name_of(what: &What) -> &str {
    match what {
        What::Beep(_) => "beep",
        What::Silence(_) => "silence",
        What::Url(url) => match url.split_once("://") {
            Some((scheme, _)) => scheme,
            None => url,
        },
        What::Speech { language, .. } => language,
    }
}

impl Scores {
    pub(super) fn play(&mut self, score: Score) {
        self.played = Some(score);
    }

    /// What was played is over, and this is heard while it waits.
    pub(super) fn wait(&mut self, score: Option<Score>) {
        (self.played, self.waiting) = (None, score);
    }

    /// Over all else.
    pub(super) fn play_over(&mut self, kind: AnnouncementKind, score: Score) {
        let [play, speak] = &mut self.over;
        match kind {
            AnnouncementKind::Play => *play = Some(score),
            AnnouncementKind::Speak => *speak = Some(score),
        }
    }

    /// As many are kept as can wait.
    pub(super) fn announce(&mut self, score: Score) {
        if self.announced.len() == playout::ANNOUNCEMENTS_MAX {
            self.announced.pop_front();
        }
        self.announced.push_back(score);
    }

    /// Out of the room.
    pub(super) fn leave(&mut self) {
        self.waiting = None;
        self.announced.clear();
    }

    fn find(&self, what: &What) -> Option<&Slot> {
        let over = self.over.iter().flatten();
        let scores = over.chain(&self.announced).chain(&self.played).chain(&self.waiting);
        scores.flat_map(|score| score.slots.iter()).find(|slot| slot.what == *what)
    }
}

impl Sounds for Shelf<'_> {
    fn find(&mut self, what: &What) -> Found {
        if let Some(tone) = self.tones.of(what) {
            return Found::Ready(Arc::clone(tone));
        }
        match self.scores.find(what).map(|slot| slot.sound.get()) {
            Some(Some(Some(samples))) => Found::Ready(Arc::clone(samples)),
            Some(None) => Found::Coming,
            Some(Some(None)) | None => Found::Failed,
        }
    }

    fn key(&mut self, key: char) -> Option<Arc<[i16]>> {
        self.tones.key(key).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::rtp::g711;

    const CALL: CallId = CallId::of(1);

    /// Calls back when it is told to.
    #[derive(Default)]
    struct Slow(Mutex<Vec<(What, Done)>>);

    impl Loader for Slow {
        fn load(&self, _: CallId, what: &What, done: Done) {
            self.0.lock().unwrap().push((what.clone(), done));
        }
    }

    fn url(name: &str) -> What {
        What::Url(name.into())
    }

    fn speech() -> What {
        What::Speech { text: "hi".into(), voice: "MAN".into(), language: "xx-XX".into() }
    }

    fn studio() -> (Arc<Slow>, Arc<Tones>, Studio) {
        let (slow, tones) = (Arc::new(Slow::default()), Arc::new(Tones::new(g711::RATE)));
        let studio = Studio::new(slow.clone(), tones.clone());
        (slow, tones, studio)
    }

    #[test]
    fn sounds_are_asked_for_once_and_only_those_that_are_not_ours() {
        let (slow, _, studio) = studio();
        let program =
            [url("flow:a.wav"), What::Beep(1), url("sound:hold"), url("flow:a.wav"), speech()];
        let program: Program = program.map(Into::into).into();
        let score = studio.score(CALL, &program);
        let asked: Vec<_> = slow.0.lock().unwrap().drain(..).map(|it| it.0).collect();
        assert_eq!(asked, [url("flow:a.wav"), speech()]);
        assert_eq!(score.slots.len(), 2);
    }

    #[test]
    fn a_sound_is_coming_until_it_is_there() {
        let (slow, tones, studio) = studio();
        let whats = [url("flow:good"), url("flow:bad"), speech()];
        let mut scores = Scores::default();
        scores.play(studio.score(CALL, &whats.clone().map(Into::into).into()));
        let mut shelf = Shelf { tones: &tones, scores: &scores };
        let mut check = |expected: [Found; 3]| {
            assert_eq!(whats.clone().map(|what| shelf.find(&what)), expected);
        };
        check([Found::Coming, Found::Coming, Found::Coming]);
        for (what, done) in slow.0.lock().unwrap().drain(..) {
            done(if what == url("flow:good") { Ok([7].into()) } else { Err("no".to_owned()) });
        }
        let beep = tones.of(&What::Beep(1)).unwrap();
        check([Found::Ready([7].into()), Found::Failed, Found::Ready(Arc::clone(beep))]);
    }

    #[test]
    fn what_is_not_in_any_score_is_not_waited_for() {
        let (_, tones, studio) = studio();
        let mut scores = Scores::default();
        scores.announce(studio.score(CALL, &[url("flow:a").into()].into()));
        scores.wait(Some(studio.score(CALL, &[url("flow:b").into()].into())));
        let find = |scores: &Scores, name| Shelf { tones: &tones, scores }.find(&url(name));
        assert_eq!(
            [find(&scores, "flow:a"), find(&scores, "flow:b")],
            [const { Found::Coming }; 2]
        );
        scores.leave();
        assert_eq!(
            [find(&scores, "flow:a"), find(&scores, "flow:b")],
            [const { Found::Failed }; 2]
        );
    }
}
