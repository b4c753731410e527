//! Program of `conflow watch`: drives the [`Model`] with the clock, the terminal and the network.

mod ask;
mod listen;
mod screen;

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use ratatui::crossterm::terminal;
use tokio::{
    select,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

use self::{
    listen::StreamMessage,
    screen::{Screen, TerminalInput},
};
use crate::{
    cli::watch::WatchArgs,
    client::{
        login::connect,
        server::{AccessDenied, ServerClient},
        signals::EndSignals,
    },
    watch::{self, FeedState, Model, PendingQuery, QueryResult},
};

/// Interval of screens and requests.
const TICK: Duration = Duration::from_millis(100);
/// At most 150 requests within 5 seconds: half of an account's default limit.
const REQUESTS_PER_TICK_MAX: usize = 3;
/// Events between two screens; further ones wait for the next.
const EVENTS_PER_TICK_MAX: usize = 4_096;
/// Concurrent requests for a single screen.
const REQUESTS_AT_ONCE_MAX: usize = 8;
/// Size of a single screen without a terminal.
const SCREEN: (u16, u16) = (100, 30);

/// Watches until the user quits, or prints one screen.
///
/// # Errors
///
/// There is no token or no terminal, or the server denies access; for one screen also that the
/// server does not answer.
pub async fn watch(flags: WatchArgs, token: Option<String>) -> Result<()> {
    let about = format!("at {}", flags.server.url);
    let client = connect(flags.server, token)?;
    let about = format!("conflow  {} {about}", client.account);
    if flags.once {
        let size = if io::stdout().is_terminal() { terminal::size()? } else { SCREEN };
        let mut model = Model::new(about, FeedState::Once, size, flags.room);
        return once(&mut model, &client).await;
    }
    if !io::stdout().is_terminal() {
        bail!("there is no terminal to draw on: use --once to print one screen");
    }
    let mut screen = Screen::open().context("cannot draw on the terminal")?;
    let model = Model::new(about, FeedState::Connecting, screen.size()?, flags.room);
    let done = LiveWatch { model, client, requests: JoinSet::new(), began: Instant::now() };
    done.run(&mut screen).await
}

/// Sends queries until everything visible is known, and prints it.
async fn once(model: &mut Model, client: &ServerClient) -> Result<()> {
    let now = Duration::ZERO;
    let mut requests = JoinSet::new();
    loop {
        for asked in model.next_queries(now, REQUESTS_AT_ONCE_MAX) {
            requests.spawn(ask(client.clone(), asked));
        }
        let Some(answered) = requests.join_next().await else { break };
        let (asked, answer) = answered?;
        model.take(asked, answer.context("the server does not answer")?, now);
    }
    Ok(io::stdout().write_all(watch::text(model).as_bytes())?)
}

async fn ask(client: ServerClient, asked: PendingQuery) -> (PendingQuery, Result<QueryResult>) {
    let answer = ask::ask(&client, &asked.query).await;
    (asked, answer)
}

struct LiveWatch {
    model: Model,
    client: ServerClient,
    requests: JoinSet<(PendingQuery, Result<QueryResult>)>,
    began: Instant,
}

impl LiveWatch {
    async fn run(mut self, screen: &mut Screen) -> Result<()> {
        let mut signals = EndSignals::listen()?;
        let mut keys = screen::read_input();
        let mut stream = listen::listen(self.client.clone());
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        screen.draw(&self.model)?;
        loop {
            select! {
                () = signals.next() => return Ok(()),
                pressed = keys.recv() => match pressed {
                    Some(TerminalInput::Key(key)) => self.model.press(key),
                    Some(TerminalInput::Size(columns, rows)) => self.model.resize(columns, rows),
                    // Without keys, the user could not quit.
                    Some(TerminalInput::Quit) | None => return Ok(()),
                },
                _ = ticks.tick() => {
                    for _ in 0..EVENTS_PER_TICK_MAX {
                        let Ok(message) = stream.try_recv() else { break };
                        self.take_message(message)?;
                    }
                    self.ask()?;
                }
            }
            screen.draw(&self.model)?;
        }
    }

    fn take_message(&mut self, message: StreamMessage) -> Result<()> {
        let now = self.began.elapsed();
        match message {
            StreamMessage::FeedState(link) => self.model.set_feed_state(link),
            StreamMessage::Missed => self.model.events_missed(),
            StreamMessage::Event(event) => self.model.apply_event(&event, now),
            StreamMessage::Denied(why) => return Err(why.into()),
        }
        Ok(())
    }

    /// Applies responses and sends further queries.
    fn ask(&mut self) -> Result<()> {
        let now = self.began.elapsed();
        while let Some(answered) = self.requests.try_join_next() {
            let (asked, answer) = answered?;
            match answer {
                Ok(answer) => self.model.take(asked, answer, now),
                Err(why) if why.is::<AccessDenied>() => return Err(why),
                Err(why) => self.model.fail(&asked, format!("{why:#}"), now),
            }
        }
        self.model.tick(now);
        for asked in self.model.next_queries(now, REQUESTS_PER_TICK_MAX) {
            self.requests.spawn(ask(self.client.clone(), asked));
        }
        Ok(())
    }
}
