//! `conflow watch`: the shell around the [`Model`], with the clock, the terminal and the net.

pub(crate) mod client;
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
    client::{Client, Unwelcome},
    listen::Told,
    screen::{Pressed, Screen},
};
use crate::app::{login::login, signals::Ends};
use crate::{
    cli::watch::Watch,
    watch::{self, Answer, Asked, Link, Model},
};

/// A screen is drawn so often at most, and requests go out.
const TICK: Duration = Duration::from_millis(100);
/// So that there are 150 within 5 seconds at most: half of what an account has by default.
const REQUESTS_PER_TICK_MAX: usize = 3;
/// Events between two screens; the rest has its turn after the next.
const EVENTS_PER_TICK_MAX: usize = 4_096;
/// At a time, for a single screen.
const REQUESTS_AT_ONCE_MAX: usize = 8;
/// Of a single screen where there is no terminal.
const SCREEN: (u16, u16) = (100, 30);

/// Watches until somebody quits, or prints one screen.
///
/// # Errors
///
/// There is no token or no terminal, or the server does not let us in; for one screen, also that
/// the server does not answer.
pub async fn watch(flags: Watch, token: Option<String>) -> Result<()> {
    let (account, token) = login(flags.login, token)?;
    let client = Client::new(&flags.url, account.clone(), &token)?;
    let about = format!("conflow  {account} at {}", flags.url);
    if flags.once {
        let size = if io::stdout().is_terminal() { terminal::size()? } else { SCREEN };
        let mut model = Model::new(about, Link::Once, size, flags.room);
        return once(&mut model, &client).await;
    }
    if !io::stdout().is_terminal() {
        bail!("there is no terminal to draw on: --once prints one screen without");
    }
    let mut screen = Screen::open().context("the terminal cannot be drawn on")?;
    let model = Model::new(about, Link::Connecting, screen.size()?, flags.room);
    let done = Live { model, client, asking: JoinSet::new(), began: Instant::now() };
    done.run(&mut screen).await
}

/// Asks until all is known that is seen, and prints it.
async fn once(model: &mut Model, client: &Client) -> Result<()> {
    let now = Duration::ZERO;
    let mut asking = JoinSet::new();
    loop {
        for asked in model.wants(now, REQUESTS_AT_ONCE_MAX) {
            asking.spawn(ask(client.clone(), asked));
        }
        let Some(answered) = asking.join_next().await else { break };
        let (asked, answer) = answered?;
        model.take(asked, answer.context("the server does not answer")?, now);
    }
    Ok(io::stdout().write_all(watch::text(model).as_bytes())?)
}

async fn ask(client: Client, asked: Asked) -> (Asked, Result<Answer>) {
    let answer = client.ask(&asked.want).await;
    (asked, answer)
}

/// A watch that goes on.
struct Live {
    model: Model,
    client: Client,
    asking: JoinSet<(Asked, Result<Answer>)>,
    began: Instant,
}

impl Live {
    async fn run(mut self, screen: &mut Screen) -> Result<()> {
        let mut ends = Ends::listen()?;
        let mut keys = screen::pressed();
        let mut stream = listen::listen(self.client.clone());
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        screen.draw(&self.model)?;
        loop {
            select! {
                () = ends.next() => return Ok(()),
                pressed = keys.recv() => match pressed {
                    Some(Pressed::Key(key)) => self.model.press(key),
                    Some(Pressed::Size(columns, rows)) => self.model.resize(columns, rows),
                    // Nobody can quit without keys.
                    Some(Pressed::Quit) | None => return Ok(()),
                },
                _ = ticks.tick() => {
                    for _ in 0..EVENTS_PER_TICK_MAX {
                        let Ok(told) = stream.try_recv() else { break };
                        self.hear(told)?;
                    }
                    self.ask()?;
                }
            }
            screen.draw(&self.model)?;
        }
    }

    fn hear(&mut self, told: Told) -> Result<()> {
        let now = self.began.elapsed();
        match told {
            Told::Link(link) => self.model.link(link),
            Told::Missed => self.model.missed(),
            Told::News(news) => self.model.hear(&news, now),
            Told::Unwelcome(why) => return Err(why.into()),
        }
        Ok(())
    }

    /// Takes what has been answered, and asks for more.
    fn ask(&mut self) -> Result<()> {
        let now = self.began.elapsed();
        while let Some(answered) = self.asking.try_join_next() {
            let (asked, answer) = answered?;
            match answer {
                Ok(answer) => self.model.take(asked, answer, now),
                Err(why) if why.is::<Unwelcome>() => return Err(why),
                Err(why) => self.model.fail(&asked, format!("{why:#}"), now),
            }
        }
        self.model.tick(now);
        for asked in self.model.wants(now, REQUESTS_PER_TICK_MAX) {
            self.asking.spawn(ask(self.client.clone(), asked));
        }
        Ok(())
    }
}
