//! QR codes as one SVG path: a few hundred bytes, no picture library.

use maud::{Markup, PreEscaped, html};
use qrcode::{Color, EcLevel, QrCode};
use std::fmt::Write as _;

/// Modules of white around the code (ISO/IEC 18004 asks for four).
const QUIET: usize = 4;
/// Longest text.
const TEXT_MAX: usize = 512;

/// A picture of `text`; `label` is what it says to those who do not see it. Empty when the text is too long.
#[must_use]
pub fn svg(text: &str, label: &str) -> Markup {
    let Some(code) = code(text) else { return html! {} };
    let width = code.width();
    let mut path = String::new();
    for (i, color) in code.to_colors().into_iter().enumerate() {
        if color == Color::Dark {
            // Writing to a String cannot fail.
            let _ = write!(path, "M{} {}h1v1h-1z", i % width + QUIET, i / width + QUIET);
        }
    }
    let side = width + 2 * QUIET;
    html! {
        svg.qr xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {side} {side}")) role="img" aria-label=(label) {
            rect width=(side) height=(side) fill="#fff" {}
            path d=(PreEscaped(path)) fill="#000" {}
        }
    }
}

/// The same for a console: two modules a character.
#[must_use]
pub fn console(text: &str) -> String {
    let Some(code) = code(text) else { return String::new() };
    let (width, colors) = (code.width(), code.to_colors());
    let at = |x: usize, y: usize| {
        let inside = (QUIET..width + QUIET).contains(&x) && (QUIET..width + QUIET).contains(&y);
        inside && colors.get((y - QUIET) * width + (x - QUIET)) == Some(&Color::Dark)
    };
    let side = width + 2 * QUIET;
    let mut out = String::new();
    for y in (0..side).step_by(2) {
        for x in 0..side {
            // Consoles are dark: the light modules are drawn.
            out.push(match (at(x, y), at(x, y + 1)) {
                (false, false) => '█',
                (false, true) => '▀',
                (true, false) => '▄',
                (true, true) => ' ',
            });
        }
        out.push('\n');
    }
    out
}

fn code(text: &str) -> Option<QrCode> {
    (text.len() <= TEXT_MAX).then(|| QrCode::with_error_correction_level(text.as_bytes(), EcLevel::M).ok()).flatten()
}
