//! Speech process: runs a program with time and size limits.

use std::{
    io::{self, Read, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};

use super::SpeechError;

/// Default time limit: espeak-ng takes 2 s for the longest text, and a caller has waited long
/// enough then.
pub(super) const TIME_MAX: Duration = Duration::from_secs(20);

/// Limit of the output: 600 s at 22,050 samples per second, the rate of espeak-ng.
const OUTPUT_BYTES_MAX: u64 = 27_000_000;

/// Limit of the error output that is read.
const STDERR_BYTES_MAX: u64 = 300;

/// Time to exit after the output has ended.
const GRACE: Duration = Duration::from_secs(1);

/// Runs a program in its own process group: `input` goes to its standard input, and its
/// standard output is returned. Uses no shell. `name` is for error messages. At the time limit, the
/// whole group is killed.
///
/// # Errors
///
/// The program cannot be started, fails, writes too much, or takes too long (temporary: the
/// machine may be busy).
pub(super) fn run(
    name: &str,
    argv: &[String],
    input: Vec<u8>,
    time_max: Duration,
) -> Result<Vec<u8>, SpeechError> {
    let [program, args @ ..] = argv else {
        return Err(SpeechError::permanent("no speech program is configured"));
    };
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| SpeechError::permanent(format!("{name} cannot be started: {error}")))?;
    let stdin = child.stdin.take();
    // A program that does not read its input closes the pipe; its output counts.
    thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
    let output = drain(child.stdout.take(), OUTPUT_BYTES_MAX + 1);
    let message = drain(child.stderr.take(), STDERR_BYTES_MAX);

    let output = output.recv_timeout(time_max);
    // Its standard error ends when it exits. If it lingers, it is killed, and its output counts.
    let message = output.as_ref().ok().and_then(|_| message.recv_timeout(GRACE).ok());
    let status = end(&mut child);
    let Ok(output) = output else {
        let seconds = time_max.as_secs_f32();
        return Err(SpeechError::temporary(format!("{name} took longer than {seconds} s")));
    };
    let broken = |error| SpeechError::temporary(format!("{name} cannot be read: {error}"));
    let output = output.map_err(broken)?;
    if output.len() as u64 > OUTPUT_BYTES_MAX {
        let message = format!("{name} gave more than {OUTPUT_BYTES_MAX} bytes");
        return Err(SpeechError::permanent(message));
    }
    let Some(message) = message else { return Ok(output) };
    let status = status.map_err(broken)?;
    if status.success() {
        return Ok(output);
    }
    let message = message.unwrap_or_default();
    let message = String::from_utf8_lossy(&message);
    Err(SpeechError::permanent(format!("{name} failed ({status}): {}", message.trim())))
}

/// Reads to the end or to the limit in a separate thread.
fn drain(pipe: Option<impl Read + Send + 'static>, limit: u64) -> Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = pipe.map_or(Ok(0), |pipe| pipe.take(limit).read_to_end(&mut bytes));
        // The receiver is gone if the time limit was reached.
        let _late = sender.send(read.map(|_| bytes));
    });
    receiver
}

/// Kills the process group and waits for the child. Returns the exit status.
///
/// The child is not waited for earlier, so its process id cannot belong to another process yet.
fn end(child: &mut Child) -> io::Result<ExitStatus> {
    // An error means that no process is left.
    let _gone = kill_process_group(Pid::from_child(child), Signal::KILL);
    child.wait()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, input: &str, time_max: Duration) -> Result<String, String> {
        let argv = ["sh", "-c", script].map(str::to_owned);
        let output = run("sh", &argv, input.into(), time_max).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(output).unwrap())
    }

    #[test]
    fn a_program_answers_or_its_failure_is_an_error() {
        let check = |script: &str, input: &str, expected: Result<&str, &str>| {
            let answer = sh(script, input, TIME_MAX);
            assert_eq!(answer.as_deref().map_err(String::as_str), expected, "{script}");
        };
        check("cat", "hello", Ok("hello"));
        check("cat", &"long ".repeat(100_000), Ok(&"long ".repeat(100_000)));
        check("echo deaf", &"long ".repeat(100_000), Ok("deaf\n"));
        check(
            "echo half; echo no voice >&2; exit 3",
            "",
            Err("sh failed (exit status: 3): no voice"),
        );
        check("exec >&-; exit 7", "", Err("sh failed (exit status: 7): "));
        check("echo half; kill -SEGV $$", "", Err("sh failed (signal: 11 (SIGSEGV)): "));
        check("true", "", Ok(""));
        check("head -c 27000001 /dev/zero", "", Err("sh gave more than 27000000 bytes"));
    }

    #[test]
    fn a_missing_program_is_an_error() {
        let argv = ["no-such-program".to_owned()];
        let error = run("it", &argv, Vec::new(), TIME_MAX).unwrap_err().to_string();
        assert!(error.starts_with("it cannot be started: "), "{error}");
        assert!(run("it", &[], Vec::new(), TIME_MAX).is_err());
    }

    #[test]
    fn a_program_that_takes_too_long_is_killed_with_its_children() {
        let marker = format!("31.{}", std::process::id());
        let script = format!("sleep {marker} & sleep {marker}; echo late");
        let error = sh(&script, "", Duration::from_millis(200)).unwrap_err();
        assert_eq!(error, "sh took longer than 0.2 s");
        let sleeps = format!("sleep\0{marker}\0");
        let left = || {
            let processes = std::fs::read_dir("/proc").unwrap().flatten();
            let lines = processes.map(|process| process.path().join("cmdline"));
            lines.filter_map(|line| std::fs::read_to_string(line).ok()).any(|line| line == sleeps)
        };
        // Killed processes disappear soon, but not at once; others sleep longer than this loop
        // runs.
        assert!((0..1_000).any(|_| !left()));
    }

    #[test]
    fn a_program_that_has_said_all_need_not_end() {
        assert_eq!(sh("echo done; exec >&-; sleep 34", "", TIME_MAX).unwrap(), "done\n");
    }

    #[test]
    fn children_that_outlive_the_program_do_not_keep_it() {
        assert_eq!(sh("sleep 33 >&- 2>&- <&- & echo done", "", TIME_MAX).unwrap(), "done\n");
    }
}
