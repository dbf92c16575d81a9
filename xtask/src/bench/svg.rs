//! A row as a picture: for each line two bars, with the spread over the rounds.

use std::fmt::Write;

use super::report::figure;
use super::row::{Line, Side};

const WIDTH: f64 = 760.0;
/// Where bars begin: the names stand left of it.
const LEFT: f64 = 210.0;
/// The longest bar; the figures stand right of it.
const BAR_MAX: f64 = 400.0;
const BAR_HEIGHT: f64 = 16.0;
const GAP: f64 = 6.0;
const LINE_HEIGHT: f64 = 26.0 + 2.0 * (BAR_HEIGHT + GAP);
const MARGIN: f64 = 14.0;

/// Its own ground under the text, so that it can be read wherever it is shown; the reader's theme chooses which.
const STYLE: &str = "\
.ground{fill:#ffffff}.text{fill:#1f2328}.faint{fill:#59636e}.ours{fill:#0969da}.other{fill:#8c959f}.spread{stroke:#1f2328}\
@media(prefers-color-scheme:dark){.ground{fill:#0d1117}.text{fill:#f0f6fc}.faint{fill:#9198a1}.ours{fill:#4493f8}\
.other{fill:#656c76}.spread{stroke:#f0f6fc}}\
text{font:13px system-ui,sans-serif}.what{font-weight:600}";

/// The picture of a row. Each line has a scale of its own.
pub(super) fn chart(title: &str, lines: &[Line]) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a row has a few lines")]
    let height = 2.0 * MARGIN + LINE_HEIGHT * lines.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\">\n<title>{}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\" rx=\"6\"/>\n",
        escaped(title)
    );
    let mut top = MARGIN;
    for line in lines {
        let most = [&line.ours, &line.other].iter().flat_map(|side| &side.rounds).copied().fold(0.0, f64::max);
        // Nothing was measured but zeros: every bar is empty.
        let scale = if most > 0.0 { BAR_MAX / most } else { 0.0 };
        let better = if line.unit.is_more_better() { "more is better" } else { "less is better" };
        let _ = writeln!(
            svg,
            "<text x=\"{MARGIN}\" y=\"{:.1}\"><tspan class=\"text what\">{}</tspan>\
             <tspan class=\"faint\" dx=\"8\">{}, {better}</tspan></text>",
            top + 13.0,
            escaped(&line.what),
            line.unit
        );
        bar(&mut svg, top + 22.0, &line.ours, "ours", scale);
        bar(&mut svg, top + 22.0 + BAR_HEIGHT + GAP, &line.other, "other", scale);
        top += LINE_HEIGHT;
    }
    svg.push_str("</svg>\n");
    svg
}

fn bar(svg: &mut String, top: f64, side: &Side, class: &str, scale: f64) {
    let least = side.rounds.iter().copied().fold(f64::INFINITY, f64::min);
    let most = side.rounds.iter().copied().fold(0.0, f64::max);
    let (length, middle, baseline) = (side.median() * scale, top + BAR_HEIGHT / 2.0, top + BAR_HEIGHT - 3.5);
    // Writing to a string cannot fail.
    let _ = writeln!(
        svg,
        "<text class=\"text\" x=\"{:.1}\" y=\"{baseline:.1}\" text-anchor=\"end\">{}</text>\
         <rect class=\"{class}\" x=\"{LEFT}\" y=\"{top:.1}\" width=\"{length:.1}\" height=\"{BAR_HEIGHT}\" rx=\"2\"/>\
         <line class=\"spread\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\"/>\
         <text class=\"text\" x=\"{:.1}\" y=\"{baseline:.1}\">{}</text>",
        LEFT - 8.0,
        escaped(&side.name),
        LEFT + least * scale,
        LEFT + most * scale,
        LEFT + most * scale + 8.0,
        figure(side.median()),
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::row::Unit;
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_medians_and_the_longest_value_fits() {
        let line = Line {
            what: "p99 < 1 & more".to_owned(),
            unit: Unit::Milliseconds,
            ours: Side::new("ours", vec![5.0, 4.0, 6.0]),
            other: Side::new("other", vec![10.0, 10.0, 10.0]),
            bar: None,
        };
        let svg = chart("a row", &[line.clone(), line]);
        assert_eq!(svg.matches("class=\"ours\" x=\"210\"").count(), 2);
        assert!(svg.contains("width=\"200.0\"") && svg.contains("width=\"400.0\""), "{svg}");
        assert!(svg.contains("x1=\"370.0\" x2=\"450.0\""), "{svg}");
        assert!(svg.contains("p99 &lt; 1 &amp; more"), "{svg}");
    }

    #[test]
    fn a_line_of_zeros_is_drawn_without_a_division_by_them() {
        let side = Side::new("none", vec![0.0]);
        let line = Line { what: String::new(), unit: Unit::Bytes, ours: side.clone(), other: side, bar: None };
        let svg = chart("a row", &[line]);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
