//! How far a node is from each relay, by its own network check (`NetInfo.DERPLatency` in `tailcfg/tailcfg.go` of
//! tailscale.com v1.102.5: seconds by `<region>-v4` and `<region>-v6`). In memory only, bounded, and replaced only when
//! it really is another: figures that jitter would have every report change the node.

use hearthgate_sorted::SortedMap;

/// Most relays kept of one node: the nearest.
const RELAYS_MAX: usize = 16;
/// Longest round trip that is believed, in seconds.
const LONGEST_S: f64 = 60.0;
/// What differs by less is the same, in microseconds…
const SAME_MICROS: u32 = 2_000;
/// … or by less than one part in this many.
const SAME_PART: u32 = 5;

/// A node's distance from the relays of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayLatency {
    /// Number of the region.
    pub region: u16,
    /// Round trip in microseconds, by the faster of IPv4 and IPv6.
    pub micros: u32,
}

/// What is kept of a report, nearest first.
pub(crate) fn kept(reported: &SortedMap<String, f64>) -> Vec<RelayLatency> {
    let read = |(key, seconds): (&String, &f64)| {
        let region: u16 = key.split('-').next()?.parse().ok()?;
        // Neither negative nor NaN passes.
        let believed = region != 0 && (0.0..=LONGEST_S).contains(seconds);
        // In range: checked on the line before.
        believed.then_some(RelayLatency { region, micros: (seconds * 1e6) as u32 })
    };
    let mut all: Vec<RelayLatency> = reported.iter().filter_map(read).collect();
    hearthgate_sorted::sort_by_key(&mut all, |l| (l.region, l.micros));
    all.dedup_by_key(|l| l.region);
    hearthgate_sorted::sort_by_key(&mut all, |l| (l.micros, l.region));
    all.truncate(RELAYS_MAX);
    all
}

/// Whether a report says something else than is known.
pub(crate) fn differs(known: &[RelayLatency], new: &[RelayLatency]) -> bool {
    let moved = |l: &RelayLatency| match known.iter().find(|k| k.region == l.region) {
        Some(k) => k.micros.abs_diff(l.micros) > SAME_MICROS.max(k.micros / SAME_PART),
        None => true,
    };
    known.len() != new.len() || new.iter().any(moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(reported: &[(&str, f64)]) -> Vec<(u16, u32)> {
        let reported = reported.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect();
        kept(&reported).into_iter().map(|l| (l.region, l.micros)).collect()
    }

    #[test]
    fn the_faster_family_counts_and_nonsense_does_not() {
        assert_eq!(of(&[("900-v4", 0.02), ("900-v6", 0.015), ("1-v4", 0.002)]), [(1, 2_000), (900, 15_000)]);
        let nonsense = [
            ("", 1.0),
            ("x-v4", 1.0),
            ("70000-v4", 1.0),
            ("0-v4", 1.0),
            ("-1-v4", 1.0),
            ("1-v4", f64::NAN),
            ("2-v4", f64::INFINITY),
            ("3-v4", -1.0),
            ("4-v4", 61.0),
        ];
        assert_eq!(of(&nonsense), []);
        let many: Vec<(String, f64)> = (1..100).map(|n| (format!("{n}-v4"), f64::from(n) / 1e3)).collect();
        let many: Vec<(&str, f64)> = many.iter().map(|(k, v)| (k.as_str(), *v)).collect();
        let kept = of(&many);
        assert_eq!((kept.len(), kept.last()), (RELAYS_MAX, Some(&(16, 16_000))), "the nearest");
    }

    #[test]
    fn jitter_is_no_news() {
        let l = |region, micros| RelayLatency { region, micros };
        assert!(!differs(&[l(1, 3_000)], &[l(1, 4_900)]));
        assert!(!differs(&[l(1, 100_000)], &[l(1, 119_000)]));
        assert!(differs(&[l(1, 3_000)], &[l(1, 6_000)]));
        assert!(differs(&[l(1, 3_000)], &[l(2, 3_000)]) && differs(&[l(1, 3_000)], &[]));
        assert!(differs(&[], &[l(1, 3_000)]) && !differs(&[], &[]));
    }
}
