//! Layout: the areas of a screen of a given size.

use std::ops::Range;

use ratatui::layout::Rect;

use super::model::Model;

/// A narrower screen shows one list at a time.
const BOTH_COLUMNS_MIN: u16 = 60;
/// Minimum and maximum width of the list of rooms.
const ROOMS_COLUMNS: (u16, u16) = (18, 32);
/// A lower screen has no timeline.
const TIMELINE_ROWS_MIN: u16 = 12;
/// Rows of the timeline, including the heading.
const TIMELINE_ROWS_MAX: u16 = 9;

/// Areas of a screen, in cells; what does not fit is empty.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Layout {
    pub(super) title: Rect,
    pub(super) rooms_heading: Rect,
    pub(super) rooms: Rect,
    pub(super) members_heading: Rect,
    pub(super) members: Rect,
    pub(super) timeline: Rect,
    pub(super) foot: Rect,
}

impl Layout {
    pub(super) fn of((columns, rows): (u16, u16), is_in_room: bool) -> Self {
        let line = |y, height| Rect { x: 0, y, width: columns, height };
        let has_foot = 5 <= rows;
        let timeline_rows = match TIMELINE_ROWS_MIN <= rows {
            true => (rows / 3).min(TIMELINE_ROWS_MAX),
            false => 0,
        };
        let end = rows - u16::from(has_foot);
        let body = line(rows.min(1), end.saturating_sub(1 + timeline_rows));
        let layout = Self {
            title: line(0, rows.min(1)),
            timeline: line(end - timeline_rows, timeline_rows),
            foot: line(end, u16::from(has_foot)),
            ..Self::default()
        };
        let (left, right) = match (BOTH_COLUMNS_MIN <= columns, is_in_room) {
            (true, _) => {
                let width = (columns / 3).clamp(ROOMS_COLUMNS.0, ROOMS_COLUMNS.1);
                // One column separates them.
                let right = Rect { x: width + 1, width: columns - width - 1, ..body };
                (Rect { width, ..body }, right)
            }
            (false, true) => (Rect::default(), body),
            (false, false) => (body, Rect::default()),
        };
        let (rooms_heading, rooms) = headed(left);
        let (members_heading, members) = headed(right);
        Self { rooms_heading, rooms, members_heading, members, ..layout }
    }

    /// Rows of the active list that fit on the screen.
    pub(super) fn rows_at_once(&self, is_in_room: bool) -> u16 {
        if is_in_room { self.members.height } else { self.rooms.height }
    }
}

impl Model {
    pub(super) fn layout(&self) -> Layout {
        Layout::of(self.size, self.cursor.is_in_room)
    }
}

/// The range of `count` rows that fits into `height` rows and contains row `at`.
pub(super) fn visible_rows(count: usize, at: Option<usize>, height: u16) -> Range<usize> {
    let height = usize::from(height);
    if height == 0 {
        return 0..0;
    }
    let start = at.unwrap_or(0) / height * height;
    start.min(count)..(start + height).min(count)
}

fn headed(area: Rect) -> (Rect, Rect) {
    let heading = Rect { height: area.height.min(1), ..area };
    let rest = Rect { y: area.y + heading.height, height: area.height - heading.height, ..area };
    (heading, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_lies_outside_the_screen_nor_upon_another() {
        for columns in 0..=130 {
            for rows in 0..=60 {
                for is_in_room in [false, true] {
                    let it = Layout::of((columns, rows), is_in_room);
                    let areas = [
                        it.title,
                        it.rooms_heading,
                        it.rooms,
                        it.members_heading,
                        it.members,
                        it.timeline,
                        it.foot,
                    ];
                    let screen = Rect::new(0, 0, columns, rows);
                    for (at, area) in areas.iter().enumerate().filter(|(_, it)| !it.is_empty()) {
                        let message = format!("{columns}x{rows}: {area:?}");
                        assert_eq!(area.intersection(screen), *area, "{message}");
                        let others = areas[..at].iter().filter(|it| !it.is_empty());
                        assert!(others.clone().all(|it| !it.intersects(*area)), "{message}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_page_has_what_is_selected() {
        let check = |count, at, height, expected: Range<usize>| {
            assert_eq!(visible_rows(count, at, height), expected, "{at:?} of {count}");
        };
        check(0, None, 10, 0..0);
        check(3, None, 10, 0..3);
        check(1_000, Some(0), 10, 0..10);
        check(1_000, Some(9), 10, 0..10);
        check(1_000, Some(10), 10, 10..20);
        check(995, Some(994), 10, 990..995);
        check(3, Some(1), 0, 0..0);
    }
}
