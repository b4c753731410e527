//! The terminal: taken over, given back whatever happens, and its keys.

use std::{io, thread};

use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
};
use tokio::sync::mpsc;

use crate::watch::{self, Key, Model};

/// So many keys may wait while a screen is drawn.
const PRESSED_MAX: usize = 64;

/// The whole terminal. Dropped, or in a panic, it is as it was before.
pub(super) struct Screen(DefaultTerminal);

/// What somebody does at it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pressed {
    Key(Key),
    Quit,
    /// It has another size: so many columns and rows.
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
        // If there is no terminal any more, there is nothing to give back.
        drop(ratatui::try_restore());
    }
}

/// Reads keys on a thread of its own, which ends with the process: to read is to wait.
pub(super) fn pressed() -> mpsc::Receiver<Pressed> {
    let (tell, told) = mpsc::channel(PRESSED_MAX);
    thread::spawn(move || {
        while let Ok(event) = event::read() {
            if let Some(pressed) = understand(&event)
                && tell.blocking_send(pressed).is_err()
            {
                return;
            }
        }
    });
    told
}

fn understand(event: &Event) -> Option<Pressed> {
    let key = match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => key,
        Event::Resize(columns, rows) => return Some(Pressed::Size(*columns, *rows)),
        Event::FocusGained
        | Event::FocusLost
        | Event::Key(_)
        | Event::Mouse(_)
        | Event::Paste(_) => return None,
    };
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return (key.code == KeyCode::Char('c')).then_some(Pressed::Quit);
    }
    KEYS.iter().find(|(code, _)| *code == key.code).map(|(_, pressed)| *pressed)
}

const KEYS: [(KeyCode, Pressed); 19] = [
    (KeyCode::Char('q'), Pressed::Quit),
    (KeyCode::Esc, Pressed::Quit),
    (KeyCode::Up, Pressed::Key(Key::Up)),
    (KeyCode::Char('k'), Pressed::Key(Key::Up)),
    (KeyCode::Down, Pressed::Key(Key::Down)),
    (KeyCode::Char('j'), Pressed::Key(Key::Down)),
    (KeyCode::Left, Pressed::Key(Key::Left)),
    (KeyCode::Char('h'), Pressed::Key(Key::Left)),
    (KeyCode::Right, Pressed::Key(Key::Right)),
    (KeyCode::Char('l'), Pressed::Key(Key::Right)),
    (KeyCode::Tab, Pressed::Key(Key::Switch)),
    (KeyCode::BackTab, Pressed::Key(Key::Switch)),
    (KeyCode::PageUp, Pressed::Key(Key::PageUp)),
    (KeyCode::PageDown, Pressed::Key(Key::PageDown)),
    (KeyCode::Home, Pressed::Key(Key::First)),
    (KeyCode::Char('g'), Pressed::Key(Key::First)),
    (KeyCode::End, Pressed::Key(Key::Last)),
    (KeyCode::Char('G'), Pressed::Key(Key::Last)),
    (KeyCode::Enter, Pressed::Key(Key::Right)),
];

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::KeyEvent;

    use super::*;

    #[test]
    fn keys_move_and_end_and_change_nothing_else() {
        let check = |code, modifiers, expected| {
            let event = Event::Key(KeyEvent::new(code, modifiers));
            assert_eq!(understand(&event), expected, "{code:?}");
        };
        let none = KeyModifiers::NONE;
        check(KeyCode::Char('q'), none, Some(Pressed::Quit));
        check(KeyCode::Esc, none, Some(Pressed::Quit));
        check(KeyCode::Char('c'), KeyModifiers::CONTROL, Some(Pressed::Quit));
        check(KeyCode::Char('c'), none, None);
        check(KeyCode::Char('k'), none, Some(Pressed::Key(Key::Up)));
        check(KeyCode::Char('G'), KeyModifiers::SHIFT, Some(Pressed::Key(Key::Last)));
        check(KeyCode::Char('K'), KeyModifiers::SHIFT, None);
        assert_eq!(understand(&Event::Resize(3, 4)), Some(Pressed::Size(3, 4)));
    }
}
