//! Terminal: draws screens, reads keys, and restores the terminal in any case.

use std::{io, thread};

use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
};
use tokio::sync::mpsc;

use crate::watch::{self, Model, WatchKey};

/// Keys that may wait while a screen is drawn.
const INPUTS_MAX: usize = 64;

/// The whole terminal. It is restored on drop and on a panic.
pub(super) struct Screen(DefaultTerminal);

/// Input from the terminal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum TerminalInput {
    Key(WatchKey),
    Quit,
    /// New size of the screen, in columns and rows.
    Size(u16, u16),
}

impl Screen {
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self(ratatui::try_init()?))
    }

    pub(super) fn draw(&mut self, model: &Model) -> io::Result<()> {
        self.0.draw(|frame| watch::draw(model, frame.buffer_mut()))?;
        Ok(())
    }

    pub(super) fn size(&self) -> io::Result<(u16, u16)> {
        let size = self.0.size()?;
        Ok((size.width, size.height))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // If the terminal is gone, there is nothing to restore.
        drop(ratatui::try_restore());
    }
}

/// Reads keys on a separate thread, since reading blocks; the thread ends with the process.
pub(super) fn read_input() -> mpsc::Receiver<TerminalInput> {
    let (sender, inputs) = mpsc::channel(INPUTS_MAX);
    thread::spawn(move || {
        while let Ok(event) = event::read() {
            if let Some(pressed) = to_input(&event)
                && sender.blocking_send(pressed).is_err()
            {
                return;
            }
        }
    });
    inputs
}

fn to_input(event: &Event) -> Option<TerminalInput> {
    let key = match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => key,
        Event::Resize(columns, rows) => return Some(TerminalInput::Size(*columns, *rows)),
        Event::FocusGained
        | Event::FocusLost
        | Event::Key(_)
        | Event::Mouse(_)
        | Event::Paste(_) => return None,
    };
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return (key.code == KeyCode::Char('c')).then_some(TerminalInput::Quit);
    }
    KEYS.iter().find(|(code, _)| *code == key.code).map(|(_, pressed)| *pressed)
}

const KEYS: [(KeyCode, TerminalInput); 19] = [
    (KeyCode::Char('q'), TerminalInput::Quit),
    (KeyCode::Esc, TerminalInput::Quit),
    (KeyCode::Up, TerminalInput::Key(WatchKey::Up)),
    (KeyCode::Char('k'), TerminalInput::Key(WatchKey::Up)),
    (KeyCode::Down, TerminalInput::Key(WatchKey::Down)),
    (KeyCode::Char('j'), TerminalInput::Key(WatchKey::Down)),
    (KeyCode::Left, TerminalInput::Key(WatchKey::Left)),
    (KeyCode::Char('h'), TerminalInput::Key(WatchKey::Left)),
    (KeyCode::Right, TerminalInput::Key(WatchKey::Right)),
    (KeyCode::Char('l'), TerminalInput::Key(WatchKey::Right)),
    (KeyCode::Tab, TerminalInput::Key(WatchKey::Switch)),
    (KeyCode::BackTab, TerminalInput::Key(WatchKey::Switch)),
    (KeyCode::PageUp, TerminalInput::Key(WatchKey::PageUp)),
    (KeyCode::PageDown, TerminalInput::Key(WatchKey::PageDown)),
    (KeyCode::Home, TerminalInput::Key(WatchKey::First)),
    (KeyCode::Char('g'), TerminalInput::Key(WatchKey::First)),
    (KeyCode::End, TerminalInput::Key(WatchKey::Last)),
    (KeyCode::Char('G'), TerminalInput::Key(WatchKey::Last)),
    (KeyCode::Enter, TerminalInput::Key(WatchKey::Right)),
];

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::KeyEvent;

    use super::*;

    #[test]
    fn keys_move_and_end_and_change_nothing_else() {
        let check = |code, modifiers, expected| {
            let event = Event::Key(KeyEvent::new(code, modifiers));
            assert_eq!(to_input(&event), expected, "{code:?}");
        };
        let none = KeyModifiers::NONE;
        check(KeyCode::Char('q'), none, Some(TerminalInput::Quit));
        check(KeyCode::Esc, none, Some(TerminalInput::Quit));
        check(KeyCode::Char('c'), KeyModifiers::CONTROL, Some(TerminalInput::Quit));
        check(KeyCode::Char('c'), none, None);
        check(KeyCode::Char('k'), none, Some(TerminalInput::Key(WatchKey::Up)));
        check(KeyCode::Char('G'), KeyModifiers::SHIFT, Some(TerminalInput::Key(WatchKey::Last)));
        check(KeyCode::Char('K'), KeyModifiers::SHIFT, None);
        assert_eq!(to_input(&Event::Resize(3, 4)), Some(TerminalInput::Size(3, 4)));
    }
}
