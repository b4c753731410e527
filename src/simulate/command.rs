//! `conflow simulate`: reads the files, runs the simulation and prints the report.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};

use crate::check::watch::at_each_save;
use crate::{
    cli::simulate::SimulateArgs,
    simulate::{self, Schedule, Script, SimulatedFlows},
};

/// Runs `conflow simulate`. False if the report differs from the expected one.
///
/// # Errors
///
/// A file cannot be read or is invalid, or the simulation does not end.
pub fn simulate(arguments: &SimulateArgs, out: &mut impl Write) -> Result<bool> {
    if !arguments.watch {
        return once(arguments, out);
    }
    let folder = |path: &PathBuf| match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        Some(_) | None => PathBuf::from("."),
    };
    let mut paths = vec![folder(&arguments.flow)];
    paths.extend(arguments.events.iter().chain(&arguments.verify).cloned());
    let forever: io::Result<bool> = at_each_save(&paths, || {
        // The next save may correct the error.
        if let Err(error) = once(arguments, out) {
            writeln!(out, "conflow: {}", crate::app::causes(&error))?;
        }
        writeln!(io::stderr(), "waiting for a change; Ctrl-C ends it")
    });
    Ok(forever?)
}

fn once(arguments: &SimulateArgs, out: &mut impl Write) -> Result<bool> {
    let SimulateArgs { flow, events, watch: _, json, seed, explore, verify, update } = arguments;
    let script = Arc::new(script(events.as_deref())?);
    let (name, flows) = main_flow(flow, &script)?;
    if let Some(runs) = explore {
        let explored = simulate::explore(&script, &flows, &name, *runs)?;
        match json {
            true => writeln!(out, "{}", serde_json::to_string_pretty(&explored)?)?,
            false => write!(out, "{explored}")?,
        }
        return Ok(explored.is_settled());
    }

    let schedule = seed.map_or(Schedule::Orderly, Schedule::Seeded);
    let report = simulate::run(&script, &flows, &name, schedule)?;
    let text = match json {
        true => serde_json::to_string_pretty(&report)? + "\n",
        false => report.to_string(),
    };
    match (verify, update) {
        (Some(path), _) => compare(path, &text, out),
        (None, Some(path)) => {
            fs::write(path, &text).with_context(|| format!("cannot write {}", path.display()))?;
            Ok(true)
        }
        (None, None) => {
            out.write_all(text.as_bytes())?;
            Ok(true)
        }
    }
}

fn script(path: Option<&Path>) -> Result<Script> {
    let Some(path) = path else { return Ok(Script::one_call()) };
    let folder = path.parent().unwrap_or_else(|| Path::new("")).to_owned();
    let beside = move |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let text = read(path)?;
    Script::parse(&text, &beside).with_context(|| path.display().to_string())
}

/// Folder and name of the main flow, which must be valid.
fn main_flow(flow: &Path, script: &Script) -> Result<(String, Arc<SimulatedFlows>)> {
    read(flow)?;
    let name = flow.file_stem().and_then(|it| it.to_str());
    let Some(name) = name.filter(|_| flow.extension().is_some_and(|it| it == "xml")) else {
        bail!("{}: the file name must be NAME.xml", flow.display());
    };
    let folder = flow.parent().filter(|it| !it.as_os_str().is_empty());
    let flows = SimulatedFlows::new(folder.unwrap_or_else(|| Path::new(".")));
    let names = script.callers.iter().filter_map(|it| it.flow.as_deref()).chain([name]);
    for name in names {
        match flows.flow(name, script.dialect) {
            Some(Ok(_)) => (),
            Some(Err(missing)) => bail!("{name}.xml:{missing}"),
            None => bail!("there is no {name}.xml in {}", flow.display()),
        }
    }
    Ok((name.to_owned(), Arc::new(flows)))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Prints the first line that differs.
fn compare(path: &Path, text: &str, out: &mut impl Write) -> Result<bool> {
    let expected = read(path)?;
    if expected == text {
        return Ok(true);
    }
    let (mut old, mut new) = (expected.lines(), text.lines());
    for line in 1.. {
        let (old, new) = (old.next(), new.next());
        if old == new && old.is_some() {
            continue;
        }
        writeln!(out, "{}:{line} differs (--update replaces the file)", path.display())?;
        writeln!(out, "- {}", old.unwrap_or("(the end)"))?;
        writeln!(out, "+ {}", new.unwrap_or("(the end)"))?;
        break;
    }
    Ok(false)
}
