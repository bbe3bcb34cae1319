//! Small charts as SVG, drawn on the server: no script, no inline style; colours come from the style sheet.

use crate::{
    text as t,
    traffic::{History, SAMPLE_EVERY_MS, Sample, bytes},
};
use maud::{Markup, html};

/// Size of the drawing in its own units.
const WIDTH: usize = 300;
const HEIGHT: usize = 60;

/// Traffic and presence since a while.
pub(super) fn traffic(history: &History) -> Markup {
    type Counter = fn(&Sample) -> u64;
    let rates: [(&str, Counter); 3] =
        [(t::TRAFFIC_IN, |s| s.received), (t::TRAFFIC_OUT, |s| s.sent), (t::TRAFFIC_RELAYED, |s| s.relayed)];
    let per_second = |n: u64| format!("{}/s", bytes(n));
    html! {
        section.card #traffic data-live aria-labelledby="traffic-title" {
            h2 #traffic-title { (t::TRAFFIC) }
            @if history.len() < 2 { p.soft { (t::TRAFFIC_SOON) } }
            @else {
                p.hint { (t::TRAFFIC_HINT) " " (minutes(history)) " min." }
                div.charts {
                    @for (label, counter) in rates { (chart(label, &history.rates(counter), per_second)) }
                    (chart(t::TRAFFIC_ONLINE, &history.values(|s| s.online), |n| n.to_string()))
                }
            }
        }
    }
}

fn minutes(history: &History) -> u64 {
    let spans = u64::try_from(history.len().saturating_sub(1)).unwrap_or(0);
    (spans * SAMPLE_EVERY_MS).div_ceil(60_000)
}

/// One line over time. What it shows is told in words too.
pub(super) fn chart(label: &str, values: &[u64], read: impl Fn(u64) -> String) -> Markup {
    let (most, last) = (values.iter().copied().max().unwrap_or(0), values.last().copied().unwrap_or(0));
    let words = format!("{label}: {} now, {} at most", read(last), read(most));
    let line = points(values, most);
    html! {
        figure.chart {
            svg role="img" aria-label=(words) viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" {
                polyline points=(line) vector-effect="non-scaling-stroke" {}
            }
            figcaption.small { strong { (label) } br; (read(last)) " now · " span.soft { (read(most)) " at most" } }
        }
    }
}

/// The line's corners: oldest at the left, the greatest value at the top.
fn points(values: &[u64], most: u64) -> String {
    let last = values.len().saturating_sub(1).max(1);
    let room = HEIGHT - 4;
    let corner = |(i, v): (usize, &u64)| {
        // In u128 nothing overflows; the quotient is at most `room`.
        let up = u128::from(*v) * (room as u128) / u128::from(most.max(1));
        let y = HEIGHT - 2 - usize::try_from(up).unwrap_or(room).min(room);
        format!("{},{y}", i * WIDTH / last)
    };
    values.iter().enumerate().map(corner).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_from_left_to_right_and_never_leaves_the_picture() {
        assert_eq!(points(&[0, 10, 5], 10), "0,58 150,2 300,30");
        assert_eq!(points(&[0, 0], 0), "0,58 300,58");
        assert_eq!(points(&[u64::MAX, 1], u64::MAX), "0,2 300,58");
        assert_eq!(points(&[], 0), "");
    }
}
