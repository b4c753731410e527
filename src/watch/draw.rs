//! Drawing: turns the model into cells; it looks only at visible rows.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
    text::Span,
};

use super::{
    cursor::WatchedPlace,
    layout::visible_rows,
    model::{CallerPhone, CallerState, FeedState, Model, WatchedCaller, WatchedRoom},
    sound_text,
};
use crate::{base::ids::CallId, client::printable::is_unseen};

const PLAIN: Style = Style::new();
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const SELECTED: Style = Style::new().add_modifier(Modifier::REVERSED);
const GOOD: Style = Style::new().fg(Color::Green);
const BAD: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);

/// Widths of a caller's columns: name and state. The sound has the rest.
const WHO_COLUMNS: (u16, u16) = (12, 24);
const STATE_COLUMNS: u16 = 16;
/// Minimum width of a member id.
const MEMBER_DIGITS_MIN: usize = 3;
/// Width of the number of members.
const COUNT_COLUMNS: u16 = 6;
const KEYS: &str = "arrows or hjkl: select   q: quit";

/// Draws the whole screen into the buffer.
pub fn draw(model: &Model, buffer: &mut Buffer) {
    let layout = model.layout();
    title(model, layout.title, buffer);
    rooms(model, layout.rooms_heading, layout.rooms, buffer);
    members(model, layout.members_heading, layout.members, buffer);
    if layout.rooms.right() < layout.members.x {
        let (first, end) = (layout.rooms_heading.y, layout.members.bottom());
        (first..end).for_each(|y| put(buffer, at(layout.rooms.right(), y, 1), "│", DIM));
    }
    timeline(model, layout.timeline, buffer);
    foot(model, layout.foot, buffer);
}

/// The screen as text, without trailing spaces and empty lines.
pub fn text(model: &Model) -> String {
    let (columns, rows) = model.size;
    let mut buffer = Buffer::empty(Rect::new(0, 0, columns, rows));
    draw(model, &mut buffer);
    let line = |y| {
        let (mut line, mut x) = (String::new(), 0);
        while x < columns {
            let symbol = buffer[(x, y)].symbol();
            line += symbol;
            // The cell after a wide character is empty.
            x += width(symbol).max(1);
        }
        line.trim_end().to_owned() + "\n"
    };
    let text: String = (0..rows).map(line).collect();
    text.trim_end().to_owned() + "\n"
}

fn title(model: &Model, area: Rect, buffer: &mut Buffer) {
    let (feed_text, style) = match &model.feed_state {
        FeedState::Connecting => ("connecting".to_owned(), PLAIN),
        FeedState::Live => ("live".to_owned(), GOOD),
        FeedState::Lost(why) => (format!("NO CONNECTION, trying again: {why}"), BAD),
        FeedState::Once => (String::new(), PLAIN),
    };
    // An error is more important than the address.
    let columns = width(&feed_text).min(area.width);
    let (left, right) = split(area, area.width - columns);
    put(buffer, right, &feed_text, style);
    put(buffer, Rect { width: left.width.saturating_sub(1), ..left }, &model.about, BOLD);
}

fn rooms(model: &Model, heading: Rect, area: Rect, buffer: &mut Buffer) {
    let rooms = model.rooms.keys().filter(|it| it.is_some()).count();
    let style = if model.cursor.is_in_room { DIM } else { BOLD };
    put(buffer, heading, &format!("  {rooms} {}", plural(rooms, "room")), style);
    let at = model.selected_room_index();
    let seen = visible_rows(model.rooms.len(), at, area.height);
    let rows = model.rooms.iter().enumerate().skip(seen.start).take(seen.len());
    for ((number, (place, room)), y) in rows.zip(area.y..) {
        let is_selected = at == Some(number);
        let line = Rect { y, height: 1, ..area };
        let style = match (is_selected, room.is_over) {
            (true, _) if model.cursor.is_in_room => BOLD,
            (true, _) => SELECTED,
            (false, true) => DIM,
            (false, false) => PLAIN,
        };
        let (name, count) = split(line, line.width.saturating_sub(COUNT_COLUMNS));
        let mark = if is_selected { ">" } else { " " };
        let name_width = Rect { width: name.width.saturating_sub(1), ..name };
        fill(buffer, line, style);
        put(buffer, name_width, &format!("{mark} {}", name_of(place)), style);
        put(buffer, count, &format!("{:>5}", count_of(model, place, room)), style);
    }
}

fn name_of(place: &WatchedPlace) -> &str {
    place.as_ref().map_or("(in no room)", |it| it.as_str())
}

fn count_of(model: &Model, place: &WatchedPlace, room: &WatchedRoom) -> String {
    match (place, room.is_over) {
        (None, _) => room.callers.len().to_string(),
        (Some(_), true) => "ended".to_owned(),
        (Some(_), false) => {
            let count = model.member_count(room);
            count.map_or_else(|| "…".to_owned(), |it| it.to_string())
        }
    }
}

fn members(model: &Model, heading: Rect, area: Rect, buffer: &mut Buffer) {
    let Some((place, room)) = model.selected_room().and_then(|it| model.rooms.get_key_value(it))
    else {
        let text = if model.is_settled() { "nobody is in a room" } else { "" };
        return put(buffer, heading, text, PLAIN);
    };
    let calls = model.listed_calls();
    let at = model.selected_call_index();
    let style = if model.cursor.is_in_room { BOLD } else { DIM };
    let columns = columns(heading, room);
    let headings = ["", name_of(place), "", "hears"];
    for ((area, text), n) in columns.into_iter().zip(headings).zip(0..) {
        // The name may cover two columns.
        let wider = if n == 1 { columns[2].width } else { 0 };
        put(buffer, Rect { width: area.width + wider, ..area }, text, style);
    }
    let seen = visible_rows(calls.len(), at, area.height);
    for ((number, call), y) in
        calls.iter().enumerate().skip(seen.start).take(seen.len()).zip(area.y..)
    {
        let Some(caller) = model.callers.get(call) else { continue };
        let line = Rect { y, height: 1, ..area };
        let is_selected = at == Some(number);
        let style = match caller.state {
            _ if is_selected && model.cursor.is_in_room => SELECTED,
            CallerState::Over { .. } => DIM,
            CallerState::Left | CallerState::Outside | CallerState::InRoom { .. } => PLAIN,
        };
        fill(buffer, line, style);
        let texts = cells(room, *call, caller, is_selected);
        for (area, text) in self::columns(line, room).into_iter().zip(texts) {
            put(buffer, Rect { width: area.width.saturating_sub(1), ..area }, &text, style);
        }
    }
}

/// Texts of a caller's columns.
fn cells(
    room: &WatchedRoom,
    call: CallId,
    caller: &WatchedCaller,
    is_selected: bool,
) -> [String; 4] {
    let mark = if is_selected { ">" } else { " " };
    let member = match caller.member.0 {
        0 => mark.to_owned(),
        id => format!("{mark}{id:>MEMBER_DIGITS_MIN$}"),
    };
    let has_floor = caller.is_in_room() && room.floor == Some(caller.member);
    [member, who(call, caller), state_text(caller, has_floor), sound_text::current_sound(caller)]
}

fn who(call: CallId, caller: &WatchedCaller) -> String {
    match (&*caller.name, &*caller.from) {
        ("", "") => call.to_string(),
        ("", from) => from.to_owned(),
        (name, _) => name.to_owned(),
    }
}

fn state_text(caller: &WatchedCaller, has_floor: bool) -> String {
    let exit = caller.exit.as_deref().unwrap_or_default();
    match caller.state {
        CallerState::Outside => format!("calls {}", caller.to),
        CallerState::InRoom { muted, deaf } => {
            let words = [(muted, "muted"), (deaf, "deaf"), (has_floor, "floor")];
            let words = words.into_iter().filter(|(is_so, _)| *is_so).map(|(_, word)| word);
            words.collect::<Vec<_>>().join(", ")
        }
        CallerState::Left => exit.to_owned(),
        CallerState::Over { .. } if exit.is_empty() => "hung up".to_owned(),
        CallerState::Over { .. } => format!("over; {exit}"),
    }
}

/// Member ids rise over an account's lifetime: their column is as wide as the highest.
fn columns(line: Rect, room: &WatchedRoom) -> [Rect; 4] {
    let digits = room.callers.last().map_or(0, |(member, _)| member.to_string().len());
    let (member, rest) = split(line, digits.max(MEMBER_DIGITS_MIN) as u16 + 2);
    let (who, rest) = split(rest, (line.width / 4).clamp(WHO_COLUMNS.0, WHO_COLUMNS.1));
    let (state, hears) = split(rest, STATE_COLUMNS.min(rest.width / 2));
    [member, who, state, hears]
}

/// The end of the selected caller's timeline.
fn timeline(model: &Model, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let (heading, rows) = (Rect { height: 1, ..area }, area.height - 1);
    fill(buffer, heading, DIM);
    put(buffer, heading, &"─".repeat(heading.width.into()), DIM);
    let Some((call, caller)) =
        model.selected_call().and_then(|call| model.callers.get(&call).map(|it| (call, it)))
    else {
        return;
    };
    put(buffer, heading, &format!("── {} has heard ", who(call, caller)), DIM);
    let line = |y| Rect { y, height: 1, ..area };
    let first = area.y + 1;
    match &caller.phone {
        CallerPhone::Unknown => (),
        CallerPhone::Real => {
            put(buffer, line(first), "  Only simulated phones say what they hear.", DIM);
        }
        CallerPhone::Simulated(phone) => {
            let hidden = phone.timeline.len().saturating_sub(rows.into());
            for (entry, y) in phone.timeline.iter().skip(hidden).zip(first..) {
                put(buffer, line(y), &format!("  {}", sound_text::entry(entry)), PLAIN);
            }
        }
    }
}

fn foot(model: &Model, area: Rect, buffer: &mut Buffer) {
    let keys = if model.feed_state == FeedState::Once { "" } else { KEYS };
    let columns = width(keys);
    // On a narrow screen, the last event is more important than the keys.
    let (left, right) = match columns * 2 <= area.width {
        true => split(area, area.width - columns),
        false => (area, Rect::default()),
    };
    put(buffer, right, keys, DIM);
    let left = Rect { width: left.width.saturating_sub(1), ..left };
    match model.trouble() {
        Some(why) => put(buffer, left, why, BAD),
        None => put(buffer, left, &model.last, PLAIN),
    }
}

/// Writes a line into the first row of an area, and ends it with an ellipsis if it does not fit.
/// Removes control characters and those that change the direction of text, since a caller chooses
/// their name.
fn put(buffer: &mut Buffer, area: Rect, text: &str, style: Style) {
    if area.is_empty() {
        return;
    }
    let text: String = text.chars().filter(|it| !is_unseen(*it)).collect();
    let columns = usize::from(area.width);
    if width(&text) <= area.width {
        buffer.set_stringn(area.x, area.y, text, columns, style);
        return;
    }
    let (end, _) = buffer.set_stringn(area.x, area.y, text, columns - 1, style);
    buffer.set_stringn(end, area.y, "…", 1, style);
}

fn fill(buffer: &mut Buffer, area: Rect, style: Style) {
    buffer.set_style(area, style);
}

/// Width in cells: a wide character has two.
fn width(text: &str) -> u16 {
    Span::raw(text).width().try_into().unwrap_or(u16::MAX)
}

fn at(x: u16, y: u16, width: u16) -> Rect {
    Rect { x, y, width, height: 1 }
}

/// The first columns of an area, and the rest.
fn split(area: Rect, columns: u16) -> (Rect, Rect) {
    let columns = columns.min(area.width);
    let rest = Rect { x: area.x + columns, width: area.width - columns, ..area };
    (Rect { width: columns, ..area }, rest)
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}
