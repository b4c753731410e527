//! Program loader: requests the sounds of a program when its order arrives; the mixer thread finds
//! them without a lock.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, OnceLock},
};

use crate::{
    audio::{
        cursor::{SoundLookup, SoundState},
        playout,
        tone::Tones,
    },
    base::ids::CallId,
    media::{AnnouncementKind, Program, Sound, SoundKind},
    rtp::g711,
};

/// Source of sounds that are not built in: files, URLs and speech.
pub trait SoundLoader: Send + Sync + 'static {
    /// Loads the samples of a sound: 8,000 a second, mono. The account of the call decides which
    /// file `flow:FILE` is. Returns at once; `done` is called once, now or later, on any thread.
    /// Its error says what cannot be loaded and why; that of a URL has been logged.
    ///
    /// Never called for beeps, silence or a built-in `sound:`. The same sound is requested again
    /// and again, so recent ones must be available at once.
    fn load(&self, call: CallId, what: &SoundKind, done: OnSoundLoaded);

    /// Loads a sound that will probably be played. An error will be reported then.
    fn prepare(&self, call: CallId, what: &SoundKind) {
        self.load(call, what, Box::new(drop));
    }
}

/// Callback that receives the samples, or the error text.
pub type OnSoundLoaded = Box<dyn FnOnce(Result<Arc<[i16]>, String>) + Send>;

/// Turns programs into loaded programs.
pub(super) struct ProgramLoader {
    loader: Arc<dyn SoundLoader>,
    tones: Arc<Tones>,
}

/// A program and its sounds, as far as they have been loaded.
#[derive(Clone, Debug)]
pub(super) struct LoadedProgram {
    pub(super) program: Program,
    /// The sounds that are not built in; most programs have one.
    slots: Arc<[LoadedSound]>,
}

/// A sound that has been requested, and its samples once they arrive.
#[derive(Clone, Debug)]
struct LoadedSound {
    what: SoundKind,
    /// The inner None means that loading failed.
    sound: Arc<OnceLock<Option<Arc<[i16]>>>>,
}

/// The programs whose sounds a leg's playout may need.
#[derive(Debug, Default)]
pub(super) struct LegPrograms {
    played: Option<LoadedProgram>,
    waiting: Option<LoadedProgram>,
    announced: VecDeque<LoadedProgram>,
    /// The overlays: one `Play` and one `Speak`.
    over: [Option<LoadedProgram>; 2],
}

/// A leg's programs, and the built-in sounds.
pub(super) struct LegSounds<'a> {
    pub(super) tones: &'a Tones,
    pub(super) programs: &'a LegPrograms,
}

impl ProgramLoader {
    pub(super) fn new(loader: Arc<dyn SoundLoader>, tones: Arc<Tones>) -> Self {
        Self { loader, tones }
    }

    /// Requests all sounds of a program for this call.
    pub(super) fn load_program(&self, call: CallId, program: &Program) -> LoadedProgram {
        let mut slots: Vec<LoadedSound> = Vec::new();
        for sound in program.iter() {
            let what = &sound.what;
            if self.is_built_in(what) || slots.iter().any(|it| it.what == *what) {
                continue;
            }
            let slot = LoadedSound { what: what.clone(), sound: Arc::default() };
            self.load_sound(call, &slot);
            slots.push(slot);
        }
        LoadedProgram { program: Arc::clone(program), slots: slots.into() }
    }

    /// Requests the sounds of a program in advance, so that they are cached when it is played.
    pub(super) fn prefetch(&self, call: CallId, program: &Program) {
        for sound in program.iter().filter(|it| !self.is_built_in(&it.what)) {
            self.loader.prepare(call, &sound.what);
        }
    }

    fn is_built_in(&self, what: &SoundKind) -> bool {
        matches!(what, SoundKind::Silence(_)) || self.tones.of(what).is_some()
    }

    fn load_sound(&self, call: CallId, slot: &LoadedSound) {
        let LoadedSound { what, sound } = slot.clone();
        let tones = Arc::clone(&self.tones);
        let done = move |loaded: Result<Arc<[i16]>, String>| {
            let loaded = match loaded {
                Ok(samples) => Some(samples),
                Err(complaint) => {
                    // Speech that cannot be synthesized is replaced with a beep, not skipped.
                    let is_speech = matches!(what, SoundKind::Speech { .. });
                    if is_speech {
                        let sound = name_of(&what);
                        tracing::warn!(%call, sound, complaint, "a text cannot be spoken");
                    }
                    is_speech.then(|| tones.of(&SoundKind::Beep(1)).cloned()).flatten()
                }
            };
            // Only the first call of `done` counts.
            drop(sound.set(loaded));
        };
        self.loader.load(call, &slot.what, Box::new(done));
    }
}

impl LoadedProgram {
    /// The number of samples that it lasts, at most [`ENDLESS`]. None while a sound is loading.
    pub(super) fn samples(&self, tones: &Tones) -> Option<u64> {
        let length = |it: &Sound| {
            let length = match (&it.what, tones.of(&it.what)) {
                (SoundKind::Silence(length), _) => length.as_millis() as u64 * SAMPLES_PER_MS,
                (_, Some(tone)) => tone.len() as u64,
                (what, None) => match self.slots.iter().find(|slot| slot.what == *what) {
                    Some(slot) => slot.sound.get()?.as_ref().map_or(0, |it| it.len() as u64),
                    None => 0,
                },
            };
            Some(if it.times == 0 { ENDLESS } else { length.saturating_mul(it.times.into()) })
        };
        self.program.iter().try_fold(0, |sum: u64, it| Some(sum.saturating_add(length(it)?)))
    }
}

const SAMPLES_PER_MS: u64 = g711::RATE as u64 / 1_000;

/// Longer than any call.
const ENDLESS: u64 = u64::MAX;

impl fmt::Debug for ProgramLoader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProgramLoader").finish_non_exhaustive()
    }
}

/// Name for the log: contains no text of a flow and no secret of a URL. The error says which URL.
fn name_of(what: &SoundKind) -> &str {
    match what {
        SoundKind::Beep(_) => "beep",
        SoundKind::Silence(_) => "silence",
        SoundKind::Url(url) => match url.split_once("://") {
            Some((scheme, _)) => scheme,
            None => url,
        },
        SoundKind::Speech { language, .. } => language,
    }
}

impl LegPrograms {
    pub(super) fn play(&mut self, loaded: LoadedProgram) {
        self.played = Some(loaded);
    }

    /// Replaces the played program with the wait sound.
    pub(super) fn wait(&mut self, loaded: Option<LoadedProgram>) {
        (self.played, self.waiting) = (None, loaded);
    }

    pub(super) fn play_over(&mut self, kind: AnnouncementKind, loaded: LoadedProgram) {
        let [play, speak] = &mut self.over;
        match kind {
            AnnouncementKind::Play => *play = Some(loaded),
            AnnouncementKind::Speak => *speak = Some(loaded),
        }
    }

    /// Keeps as many programs as announcements may wait.
    pub(super) fn announce(&mut self, loaded: LoadedProgram) {
        if self.announced.len() == playout::ANNOUNCEMENTS_MAX {
            self.announced.pop_front();
        }
        self.announced.push_back(loaded);
    }

    pub(super) fn leave(&mut self) {
        self.waiting = None;
        self.announced.clear();
    }

    fn find(&self, what: &SoundKind) -> Option<&LoadedSound> {
        let over = self.over.iter().flatten();
        let programs = over.chain(&self.announced).chain(&self.played).chain(&self.waiting);
        programs.flat_map(|loaded| loaded.slots.iter()).find(|slot| slot.what == *what)
    }
}

impl SoundLookup for LegSounds<'_> {
    fn find(&mut self, what: &SoundKind) -> SoundState {
        if let Some(tone) = self.tones.of(what) {
            return SoundState::Ready(Arc::clone(tone));
        }
        match self.programs.find(what).map(|slot| slot.sound.get()) {
            Some(Some(Some(samples))) => SoundState::Ready(Arc::clone(samples)),
            Some(None) => SoundState::Loading,
            Some(Some(None)) | None => SoundState::Failed,
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

    const CALL: CallId = CallId::of(1);

    /// A loader that completes when the test says so.
    #[derive(Default)]
    struct SlowLoader(Mutex<Vec<(SoundKind, OnSoundLoaded)>>);

    impl SoundLoader for SlowLoader {
        fn load(&self, _: CallId, what: &SoundKind, done: OnSoundLoaded) {
            self.0.lock().unwrap().push((what.clone(), done));
        }
    }

    fn url(name: &str) -> SoundKind {
        SoundKind::Url(name.into())
    }

    fn speech() -> SoundKind {
        SoundKind::Speech { text: "hi".into(), voice: "MAN".into(), language: "xx-XX".into() }
    }

    fn program_loader() -> (Arc<SlowLoader>, Arc<Tones>, ProgramLoader) {
        let (slow, tones) = (Arc::new(SlowLoader::default()), Arc::new(Tones::new(g711::RATE)));
        let program_loader = ProgramLoader::new(slow.clone(), tones.clone());
        (slow, tones, program_loader)
    }

    #[test]
    fn sounds_are_asked_for_once_and_only_those_that_are_not_ours() {
        let (slow, _, program_loader) = program_loader();
        let program =
            [url("flow:a.wav"), SoundKind::Beep(1), url("sound:hold"), url("flow:a.wav"), speech()];
        let program: Program = program.map(Into::into).into();
        let loaded = program_loader.load_program(CALL, &program);
        let asked: Vec<_> = slow.0.lock().unwrap().drain(..).map(|it| it.0).collect();
        assert_eq!(asked, [url("flow:a.wav"), speech()]);
        assert_eq!(loaded.slots.len(), 2);
    }

    #[test]
    fn a_sound_is_coming_until_it_is_there() {
        let (slow, tones, program_loader) = program_loader();
        let whats = [url("flow:good"), url("flow:bad"), speech()];
        let mut programs = LegPrograms::default();
        programs.play(program_loader.load_program(CALL, &whats.clone().map(Into::into).into()));
        let mut sounds = LegSounds { tones: &tones, programs: &programs };
        let mut check = |expected: [SoundState; 3]| {
            assert_eq!(whats.clone().map(|what| sounds.find(&what)), expected);
        };
        check([SoundState::Loading, SoundState::Loading, SoundState::Loading]);
        for (what, done) in slow.0.lock().unwrap().drain(..) {
            done(if what == url("flow:good") { Ok([7].into()) } else { Err("no".to_owned()) });
        }
        let beep = tones.of(&SoundKind::Beep(1)).unwrap();
        check([
            SoundState::Ready([7].into()),
            SoundState::Failed,
            SoundState::Ready(Arc::clone(beep)),
        ]);
    }

    #[test]
    fn a_sound_of_no_program_is_not_waited_for() {
        let (_, tones, program_loader) = program_loader();
        let mut programs = LegPrograms::default();
        programs.announce(program_loader.load_program(CALL, &[url("flow:a").into()].into()));
        programs.wait(Some(program_loader.load_program(CALL, &[url("flow:b").into()].into())));
        let find =
            |programs: &LegPrograms, name| LegSounds { tones: &tones, programs }.find(&url(name));
        assert_eq!(
            [find(&programs, "flow:a"), find(&programs, "flow:b")],
            [const { SoundState::Loading }; 2]
        );
        programs.leave();
        assert_eq!(
            [find(&programs, "flow:a"), find(&programs, "flow:b")],
            [const { SoundState::Failed }; 2]
        );
    }
}
