//! Speech by an external program: `espeak-ng` if it is installed, or a configured one.

use std::{env, path::Path, time::Duration};

use super::{
    Speech, SpeechError, Utterance,
    process::{self, TIME_MAX},
    words::{self, Timbre},
};
use crate::audio::{clip::Clip, decode};

/// Speech backend that runs a program for each text.
pub struct CommandSpeech {
    settings: Settings,
}

/// Command line of a program, its languages and its limits.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The program and its arguments, run without a shell. `{language}` and `{voice}` are replaced
    /// within arguments; an argument that is exactly `{text}` becomes the text. Without `{text}`,
    /// the text goes to the standard input. The program writes a WAV file to its standard output.
    pub argv: Vec<String>,
    /// Languages that it speaks, in lower case (`pt-br`, `pt`). None: all languages.
    pub languages: Option<Vec<String>>,
    /// Replacement of `{voice}` for a woman's voice.
    pub woman: String,
    /// Replacement of `{voice}` for a man's voice.
    pub man: String,
    /// Time limit for one text.
    pub time_max: Duration,
}

impl Settings {
    /// Settings for a program that speaks all languages.
    pub fn new(argv: Vec<String>) -> Self {
        let (woman, man) = ("WOMAN".to_owned(), "MAN".to_owned());
        Self { argv, languages: None, woman, man, time_max: TIME_MAX }
    }
}

impl CommandSpeech {
    /// Checks that the program exists.
    ///
    /// # Errors
    ///
    /// The program does not exist, or an argument has unknown braces.
    pub fn new(settings: Settings) -> Result<Self, SpeechError> {
        let program = settings.argv.first().map_or("", String::as_str);
        if !is_there(program) {
            let message = format!("no speech program {program:?}: install it, or give its path");
            return Err(SpeechError::permanent(message));
        }
        for argument in &settings.argv[1..] {
            let rest = argument.replace("{language}", "").replace("{voice}", "");
            if argument != TEXT && rest.contains(['{', '}']) {
                let message = format!(
                    "{argument:?} of {program}: {{language}} and {{voice}} may be part of an \
                     argument, {{text}} alone as one"
                );
                return Err(SpeechError::permanent(message));
            }
        }
        Ok(Self { settings })
    }

    /// Uses `espeak-ng` with the languages that it lists.
    ///
    /// # Errors
    ///
    /// The program is not on the `PATH`, or does not list its languages.
    pub fn espeak() -> Result<Self, SpeechError> {
        let argv = ["espeak-ng", "-b", "1", "-v", "{language}+{voice}", "--stdin", "--stdout"];
        let mut settings = Settings::new(argv.map(str::to_owned).to_vec());
        (settings.woman, settings.man) = ("f2".to_owned(), "m3".to_owned());
        let mut program = Self::new(settings)?;
        let voices = ["espeak-ng", "--voices"].map(str::to_owned);
        let voices = process::run("espeak-ng", &voices, Vec::new(), TIME_MAX)?;
        let voices = String::from_utf8_lossy(&voices);
        // The second column has the language; the first line is the header.
        let column = |line: &str| words::language(line.split_whitespace().nth(1)?);
        program.settings.languages = Some(voices.lines().skip(1).filter_map(column).collect());
        Ok(program)
    }

    /// The program's name for a language: an exact match, the language without its region, or with
    /// another region.
    fn language(&self, tag: &str) -> Option<String> {
        let tag = words::language(tag)?;
        let Some(languages) = &self.settings.languages else { return Some(tag) };
        // Callers say zh, the program says cmn (ISO 639-3).
        let primary = if words::primary(&tag) == "zh" { "cmn" } else { words::primary(&tag) };
        let find = |fits: &dyn Fn(&str) -> bool| languages.iter().find(|name| fits(name));
        find(&|name| name == tag)
            .or_else(|| find(&|name| name == primary))
            .or_else(|| find(&|name| words::primary(name) == primary))
            .cloned()
    }

    /// Command line for one text.
    fn argv(&self, language: &str, voice: &str, text: &str) -> Vec<String> {
        let fill = |argument: &String| {
            if argument == TEXT {
                // Most programs take a leading dash for an option; after a space they do not.
                let dash = if text.starts_with('-') { " " } else { "" };
                return format!("{dash}{text}");
            }
            argument.replace("{language}", language).replace("{voice}", voice)
        };
        self.settings.argv.iter().map(fill).collect()
    }
}

const TEXT: &str = "{text}";

impl Speech for CommandSpeech {
    fn reads(&self, language: &str) -> bool {
        self.language(language).is_some()
    }

    fn speak(&self, utterance: &Utterance) -> Result<Clip, SpeechError> {
        let language = self.language(&utterance.language);
        let language = language.ok_or_else(|| SpeechError::no_voice(&utterance.language))?;
        let text = words::plain(&utterance.text);
        if text.is_empty() {
            return Ok(Clip { rate: 8_000, samples: [].into() });
        }

        // Only known names become arguments, never text from a flow.
        let voice = match Timbre::of(&utterance.voice) {
            Some(Timbre::Man) => &self.settings.man,
            Some(Timbre::Woman) | None => &self.settings.woman,
        };
        let argv = self.argv(&language, voice, &text);
        let wav = process::run(&argv[0], &argv, text.into_bytes(), self.settings.time_max)?;
        let name = format!("the sound of {}", argv[0]);
        decode::decode(&name, &wav).map_err(|error| SpeechError::permanent(error.to_string()))
    }
}

/// Whether the file exists, or a file of this name is in a folder of the `PATH`.
fn is_there(program: &str) -> bool {
    if program.is_empty() || program.contains('/') {
        return Path::new(program).is_file();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audio::wav,
        speech::suite::{self, utterance},
    };
    use std::path::PathBuf;

    /// A program that plays one beep of 0.3 s for each word.
    fn beeper(name: &str, with: &str) -> CommandSpeech {
        let beep: Vec<i16> =
            (0..2_400).map(|n| if n / 10 % 2 == 0 { 4_000 } else { -4_000 }).collect();
        let beep = wav::write(&Clip { rate: 8_000, samples: beep.into() });
        let path = PathBuf::from(env!("OUT_DIR")).join(name);
        std::fs::write(path.with_extension("wav"), &beep).unwrap();
        let wav = path.with_extension("wav");
        let wav = wav.to_str().unwrap();
        let script = format!(
            "{with} head -c 40 {wav}; printf '\\377\\377\\377\\377'; \
             for word in $text; do tail -c +45 {wav}; done"
        );
        let argv = ["sh", "-c", &script, "{language}", "{text}"].map(str::to_owned);
        CommandSpeech::new(Settings::new(argv.to_vec())).unwrap()
    }

    #[test]
    fn programs_pass_the_suite() {
        let by_argument = beeper("argument", "text=$1;");
        suite::check(&by_argument, "ru-RU", "one two three");
        let mut by_input = beeper("input", "text=$(cat);");
        by_input.settings.argv.pop();
        suite::check(&by_input, "ru-RU", "one two three");
    }

    #[test]
    fn a_program_is_looked_for_at_once() {
        fn check(argv: &[&str], expected: &str) {
            let argv = argv.iter().map(|argument| (*argument).to_owned()).collect();
            let error =
                CommandSpeech::new(Settings::new(argv)).err().map(|error| error.to_string());
            let error = error.as_deref().unwrap_or_default();
            assert!(error.contains(expected), "{error:?}");
            assert_eq!(error.is_empty(), expected.is_empty(), "{error:?}");
        }
        check(&["sh"], "");
        check(&["/bin/sh", "-c", "{text}", "-v{language}+{voice}"], "");
        check(&[], "no speech program \"\"");
        check(&["no-such-program"], "no speech program \"no-such-program\": install it");
        check(&["/bin/no-such"], "\"/bin/no-such\"");
        check(&["sh", "say {text}"], "\"say {text}\" of sh");
        check(&["sh", "{txt}"], "\"{txt}\" of sh");
    }

    #[test]
    fn arguments_are_filled_and_no_text_is_an_option() {
        let argv = ["sh", "-v", "{language}+{voice}", "{text}"].map(str::to_owned).to_vec();
        let program = CommandSpeech::new(Settings::new(argv)).unwrap();
        let check = |text: &str, expected: [&str; 4]| {
            assert_eq!(program.argv("pt-br", "MAN", text), expected);
        };
        check("a b", ["sh", "-v", "pt-br+MAN", "a b"]);
        check("--help", ["sh", "-v", "pt-br+MAN", " --help"]);
        check("$(id) `id` ; | {voice}", ["sh", "-v", "pt-br+MAN", "$(id) `id` ; | {voice}"]);
    }

    #[test]
    fn languages_are_met_by_the_programs_names() {
        let mut program = CommandSpeech::new(Settings::new(vec!["sh".to_owned()])).unwrap();
        let names = ["cmn", "en-gb", "pt", "pt-br", "ru", "uk"];
        program.settings.languages = Some(names.map(str::to_owned).to_vec());
        for (tag, expected) in [
            ("pt-BR", Some("pt-br")),
            ("pt-PT", Some("pt")),
            ("ru-RU", Some("ru")),
            ("en-US", Some("en-gb")),
            ("zh-CN", Some("cmn")),
            ("xx", None),
            ("u", None),
        ] {
            assert_eq!(program.language(tag).as_deref(), expected, "{tag}");
            assert_eq!(program.reads(tag), expected.is_some());
        }
    }

    #[test]
    fn output_that_is_not_a_sound_is_an_error() {
        let argv = ["sh", "-c", "echo no sound"].map(str::to_owned).to_vec();
        let mut settings = Settings::new(argv);
        let error = CommandSpeech::new(settings.clone()).unwrap().speak(&utterance("ru", "x"));
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("the sound of sh: neither a WAV nor an MP3"), "{error}");
        settings.argv[2] = "sleep 30".to_owned();
        settings.time_max = Duration::from_millis(100);
        let error = CommandSpeech::new(settings).unwrap().speak(&utterance("ru", "x")).unwrap_err();
        assert!(error.is_temporary(), "{error}");
    }

    #[test]
    fn espeak_passes_the_suite_where_it_is_installed() {
        let Ok(espeak) = CommandSpeech::espeak() else {
            assert!(!is_there("espeak-ng"));
            return;
        };
        suite::check(&espeak, "ru-RU", "Вас удалили из конференции. До свидания.");
        suite::check(&espeak, "pt-BR", "Você foi removido da conferência. Adeus.");
        let mut man = utterance("pl-PL", "Do widzenia");
        let woman = espeak.speak(&man).unwrap();
        man.voice = "MAN".into();
        assert_ne!(espeak.speak(&man).unwrap(), woman);
        assert!(!espeak.reads("xx-XX"));
    }
}
