//! What was measured, as JSON and as a table, with ours in proportion to theirs.

use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// A relay's figures, by name and in the order in which they are shown.
pub type Figures = Vec<(&'static str, f64)>;

/// Figures of both relays under one load.
pub struct Compared {
    /// Name of the load.
    pub load: &'static str,
    /// Of each relay that took part; ours is the first.
    pub of: Vec<Figures>,
}

/// The one in the middle; that of two in the middle which is larger.
pub fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(0.0)
}

impl Compared {
    /// Both, and the ratios.
    pub fn json(&self) -> Value {
        let object = |figures: &Figures| figures.iter().map(|(name, n)| (*name, json!(round(*n)))).collect::<Value>();
        let mut out = Map::new();
        if let Some(ours) = self.of.first() {
            out.insert("hearthgate".into(), object(ours));
        }
        if let [ours, theirs, ..] = self.of.as_slice() {
            let ratios = ours.iter().zip(theirs).map(|((name, a), (_, b))| (*name, a / b)).collect();
            out.insert("derper".into(), object(theirs));
            out.insert("ratio".into(), object(&ratios));
        }
        Value::Object(out)
    }
}

/// A table for people, in Markdown.
pub fn table(all: &[Compared]) -> String {
    let mut out = String::from("| load | figure | hearthgate | derper | ratio |\n|---|---|---|---|---|\n");
    for compared in all {
        let Some(ours) = compared.of.first() else { continue };
        for (n, (name, a)) in ours.iter().enumerate() {
            let theirs = compared.of.get(1).and_then(|figures| figures.get(n)).map(|(_, b)| *b);
            let (b, ratio) = theirs.map_or_else(Default::default, |b| (shown(b), shown(a / b)));
            // Writing to a String cannot fail.
            let _ = writeln!(out, "| {} | {} | {} | {b} | {ratio} |", compared.load, name.replace('_', " "), shown(*a));
        }
    }
    out
}

fn round(n: f64) -> f64 {
    (n * 100.0).round() / 100.0
}

fn shown(n: f64) -> String {
    if n >= 1000.0 { format!("{n:.0}") } else { format!("{n:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_ours_by_theirs() {
        let compared =
            Compared { load: "plain", of: vec![vec![("packets_per_s", 3000.0)], vec![("packets_per_s", 2000.0)]] };
        assert_eq!(compared.json()["ratio"]["packets_per_s"], 1.5);
        let alone = Compared { load: "tls", of: vec![vec![("kib", 7.25)]] };
        let text = table(&[compared, alone]);
        assert!(text.contains("| plain | packets per s | 3000 | 2000 | 1.50 |"), "{text}");
        assert!(text.contains("| tls | kib | 7.25 |  |  |"), "{text}");
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    }
}
