//! SVG charts of curves: only what a bench needs, so that it needs no crate.

use std::fmt::Write;

/// Curves over two axes.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    pub(super) title: String,
    /// Lines below the title.
    pub(super) caption: Vec<String>,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) curves: Vec<Curve>,
}

/// An axis with its title and ticks.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) title: String,
    pub(super) ticks: Ticks,
}

/// Scale of an axis.
#[derive(Clone, Debug)]
pub(super) struct Ticks {
    low: f64,
    high: f64,
    is_logarithmic: bool,
    /// Grid lines; an empty label is not drawn.
    lines: Vec<(f64, String)>,
}

/// A curve, from left to right.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
    /// Drawn as a dashed line, to compare with.
    pub(super) is_ceiling: bool,
    /// Whether its points have marks with their figures.
    pub(super) has_marks: bool,
}

/// A scale of nines: 1 is 90 %, 2 is 99 %.
pub(super) fn nines(high: f64) -> Ticks {
    let half = (0.5_f64.log10().abs(), "50 %".to_owned());
    let whole = (0..=high.ceil() as usize).map(|n| {
        let label = match n {
            0 => "0".to_owned(),
            1 => "90 %".to_owned(),
            2 => "99 %".to_owned(),
            _ => format!("99.{} %", "9".repeat(n - 2)),
        };
        (n as f64, label)
    });
    let lines = whole.chain([half]).filter(|it| it.0 <= high).collect();
    Ticks { low: 0.0, high, is_logarithmic: false, lines }
}

/// A logarithmic scale of microseconds.
pub(super) fn time(figures: impl Iterator<Item = f64>) -> Ticks {
    logarithmic(figures, |micros| match micros {
        1e6.. => format!("{} s", grouped(micros / 1e6)),
        1e3.. => format!("{} ms", grouped(micros / 1e3)),
        _ => format!("{} µs", grouped(micros)),
    })
}

/// A logarithmic scale with a line for each of a few sizes.
pub(super) fn sizes(figures: impl Iterator<Item = f64> + Clone) -> Ticks {
    let (low, high) = range(figures.clone());
    let lines = figures.map(|it| (it, grouped(it))).collect();
    Ticks { low: low / MARGIN, high: high * MARGIN, is_logarithmic: true, lines }
}

/// Space for the figures of the first and last points.
const MARGIN: f64 = 1.6;

/// A scale of numbers, linear from zero unless they differ too much.
pub(super) fn number(figures: impl Iterator<Item = f64> + Clone) -> Ticks {
    let (low, high) = range(figures.clone());
    match high < low * LINEAR_MAX {
        true => linear(high),
        false => logarithmic(figures, grouped),
    }
}

/// Maximum ratio of figures on a linear scale.
const LINEAR_MAX: f64 = 20.0;
/// Minimum number of lines of a linear axis.
const LINES: f64 = 3.0;

fn linear(high: f64) -> Ticks {
    let power = 10_f64.powf((high / LINES).log10().floor());
    let steps = [5.0, 2.0, 1.0].map(|it| it * power);
    let step = steps.into_iter().find(|it| LINES * it <= high).unwrap_or(power);
    let count = (high * HEADROOM / step).ceil();
    let lines = (0..=count as u32).map(|n| f64::from(n) * step);
    let lines = lines.map(|it| (it, grouped(it))).collect();
    Ticks { low: 0.0, high: count * step, is_logarithmic: false, lines }
}

/// Keeps the highest point off the edge.
const HEADROOM: f64 = 1.1;
/// If there are more decades, only powers of ten have labels.
const LABELLED_DECADES_MAX: f64 = 3.0;

fn logarithmic(figures: impl Iterator<Item = f64>, label: impl Fn(f64) -> String) -> Ticks {
    let (low, high) = range(figures);
    let steps = [1.0, 2.0, 5.0];
    let decades = low.log10().floor() as i32..=(high * HEADROOM).log10().ceil() as i32;
    let all = decades.flat_map(|n| steps.map(|it| it * 10_f64.powi(n)));
    let all: Vec<_> = all.collect();
    // From the line below the lowest figure to the line above the highest.
    let is_below = |it: &&f64| **it <= low * ROUNDING;
    let first = all.iter().rev().find(is_below).copied().unwrap_or(low);
    let is_above = |it: &&f64| high * HEADROOM <= **it;
    let last = all.iter().find(is_above).copied().unwrap_or(high);
    let is_short = (last / first).log10() <= LABELLED_DECADES_MAX;
    let is_whole = |it: f64| (it.log10() - it.log10().round()).abs() < 1e-6;
    let lines = all.into_iter().filter(|it| first <= *it && *it <= last);
    let text = |it| if is_short || is_whole(it) { label(it) } else { String::new() };
    let lines = lines.map(|it| (it, text(it))).collect();
    Ticks { low: first, high: last, is_logarithmic: true, lines }
}

/// Powers of ten are not exact.
const ROUNDING: f64 = 1.000_001;

fn range(figures: impl Iterator<Item = f64>) -> (f64, f64) {
    figures.fold((f64::INFINITY, f64::MIN_POSITIVE), |(low, high), it| (low.min(it), high.max(it)))
}

/// Formats `12,345`; small figures keep two decimals.
fn grouped(figure: f64) -> String {
    if figure < 10.0 && 1e-6 < (figure - figure.round()).abs() {
        let text = format!("{figure:.2}");
        return text.trim_end_matches('0').to_owned();
    }
    let digits = format!("{figure:.0}");
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if 0 < n && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 560.0;
/// Corners of the plot; the legend is to its right.
const LEFT: f64 = 90.0;
const RIGHT: f64 = 690.0;
const TOP: f64 = 110.0;
const BOTTOM: f64 = 480.0;
/// Height of a line of text.
const LINE: f64 = 18.0;

/// Palette of Okabe and Ito, which colour-blind people can distinguish.
const COLOURS: [&str; 7] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];
const CEILING: &str = "#888888";

const STYLE: &str = "text{font-family:'DejaVu Sans',Verdana,Arial,sans-serif;font-size:13px;fill:#222}\
    .title{font-size:18px;font-weight:bold}.small{font-size:11px;fill:#666}\
    .grid{stroke:#e4e4e4;stroke-width:1}.axis{stroke:#666;stroke-width:1}\
    .curve{fill:none;stroke-width:2;stroke-linejoin:round}";

impl Chart {
    /// Renders the SVG document.
    pub(super) fn svg(&self) -> String {
        let mut svg = Svg(String::new());
        svg.add(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
             viewBox=\"0 0 {WIDTH} {HEIGHT}\"><title>{}</title><style>{STYLE}</style>\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>",
            escaped(&self.title)
        ));
        svg.text(("title", "start"), LEFT, 36.0, &self.title);
        for (n, line) in self.caption.iter().enumerate() {
            svg.text(("small", "start"), LEFT, 58.0 + LINE * n as f64, line);
        }
        self.grid(&mut svg);
        let mut colours = COLOURS.iter().cycle();
        for (n, curve) in self.curves.iter().enumerate() {
            let colour = match curve.is_ceiling {
                true => CEILING,
                false => colours.next().copied().unwrap_or_default(),
            };
            self.curve(&mut svg, curve, colour);
            let y = TOP + 8.0 + LINE * 1.4 * n as f64;
            let (from, to, text) = (RIGHT + 20.0, RIGHT + 44.0, RIGHT + 52.0);
            svg.stroke(&format!("M{from} {y}H{to}"), colour, curve.is_ceiling);
            svg.text(("name", "start"), text, y + 4.0, &curve.name);
        }
        svg.0 + "</svg>\n"
    }

    fn grid(&self, svg: &mut Svg) {
        for (figure, label) in &self.x.ticks.lines {
            let x = self.place((*figure, 0.0)).0;
            svg.add(format_args!("<path class=\"grid\" d=\"M{x:.1} {TOP}V{BOTTOM}\"/>"));
            svg.text(("label", "middle"), x, BOTTOM + LINE, label);
        }
        for (figure, label) in &self.y.ticks.lines {
            let y = self.place((0.0, *figure)).1;
            svg.add(format_args!("<path class=\"grid\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/>"));
            svg.text(("label", "end"), LEFT - 8.0, y + 4.0, label);
        }
        svg.add(format_args!("<path class=\"axis\" d=\"M{LEFT} {BOTTOM}H{RIGHT}\"/>"));
        let middle = f64::midpoint(LEFT, RIGHT);
        svg.text(("small", "middle"), middle, BOTTOM + LINE * 2.4, &self.x.title);
        svg.text(("small", "start"), LEFT, TOP - 10.0, &self.y.title);
    }

    fn curve(&self, svg: &mut Svg, curve: &Curve, colour: &str) {
        let mut path = String::new();
        for (n, point) in curve.points.iter().enumerate() {
            let (x, y) = self.place(*point);
            let step = if n == 0 { 'M' } else { 'L' };
            write!(path, "{step}{x:.1} {y:.1}").expect("memory takes it");
        }
        svg.stroke(&path, colour, curve.is_ceiling);
        for point in curve.points.iter().filter(|_| curve.has_marks) {
            let (x, y) = self.place(*point);
            svg.add(format_args!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>"
            ));
            svg.text(("label", "middle"), x, y - 10.0, &grouped(point.1));
        }
    }

    /// Coordinates of a point.
    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let (x, y) = (self.x.ticks.share(x), self.y.ticks.share(y));
        (LEFT + x * (RIGHT - LEFT), BOTTOM - y * (BOTTOM - TOP))
    }
}

impl Ticks {
    /// Position on the axis: 0 is the low end, 1 the high one.
    fn share(&self, figure: f64) -> f64 {
        match self.is_logarithmic {
            true => (figure.max(self.low) / self.low).ln() / (self.high / self.low).ln(),
            false => (figure - self.low) / (self.high - self.low),
        }
    }
}

struct Svg(String);

impl Svg {
    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{text}").expect("memory takes it");
    }

    fn text(&mut self, (class, anchor): (&str, &str), x: f64, y: f64, text: &str) {
        let text = escaped(text);
        self.add(format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    fn stroke(&mut self, path: &str, colour: &str, is_dashed: bool) {
        let dashes = if is_dashed { " stroke-dasharray=\"6 4\"" } else { "" };
        self.add(format_args!("<path class=\"curve\" d=\"{path}\" stroke=\"{colour}\"{dashes}/>"));
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use quick_xml::{Reader, events::Event};

    use super::*;

    fn labels(ticks: &Ticks) -> String {
        let labels = ticks.lines.iter().map(|it| &*it.1).filter(|it| !it.is_empty());
        labels.collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn an_axis_has_labels_that_a_person_would_write() {
        let check = |ticks: &Ticks, expected: &str| assert_eq!(labels(ticks), expected);
        check(&nines(3.2), "0 | 90 % | 99 % | 99.9 % | 50 %");
        check(&time([120.0, 1_700.0].into_iter()), "100 µs | 200 µs | 500 µs | 1 ms | 2 ms");
        check(&time([0.3, 2e6].into_iter()), "1 µs | 10 µs | 100 µs | 1 ms | 10 ms | 100 ms | 1 s");
        check(&number([9.0, 19.1].into_iter()), "0 | 5 | 10 | 15 | 20 | 25");
        check(&number([0.5, 0.5].into_iter()), "0 | 0.1 | 0.2 | 0.3 | 0.4 | 0.5 | 0.6");
        let far = number([12.0, 900.0].into_iter());
        check(&far, "10 | 20 | 50 | 100 | 200 | 500 | 1,000");
        check(&sizes([10.0, 10_000.0].into_iter()), "10 | 10,000");
    }

    #[test]
    fn a_chart_is_well_formed_whatever_its_names_are() {
        let points = vec![(10.0, 3.0), (100.0, 9.0), (1_000.0, 4.0)];
        let curve = |name: &str, has_marks: bool| {
            let (name, points) = (name.to_owned(), points.clone());
            Curve { name, points, is_ceiling: !has_marks, has_marks }
        };
        let chart = Chart {
            title: "a < b & \"c\"".to_owned(),
            caption: vec!["<here>".to_owned(), String::new()],
            x: Axis { title: "x".to_owned(), ticks: sizes([10.0, 1_000.0].into_iter()) },
            y: Axis { title: "y".to_owned(), ticks: number([3.0, 9.0].into_iter()) },
            curves: vec![curve("bare & square", false), curve("<kick>", true)],
        };
        let svg = chart.svg();
        let mut reader = Reader::from_str(&svg);
        reader.config_mut().check_end_names = true;
        let (mut depth, mut circles, mut curves) = (0, 0, 0);
        loop {
            let event = reader.read_event().unwrap();
            depth += i32::from(matches!(event, Event::Start(_)));
            depth -= i32::from(matches!(event, Event::End(_)));
            if let Event::Empty(it) = &event {
                let class = it.try_get_attribute("class").unwrap();
                curves += u32::from(class.is_some_and(|it| &*it.value == "curve"));
                circles += u32::from(it.name().as_ref() == "circle");
                it.attributes().for_each(|it| assert!(it.is_ok(), "{it:?}"));
            }
            if matches!(event, Event::Eof) {
                break;
            }
        }
        // Each curve, and its line in the legend.
        assert_eq!((depth, circles, curves), (0, 3, 4));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
