//! Lines for whoever looks at the console: time since the kernel started, then the words.

use std::io::Write as _;

/// Seconds since the kernel started; 0 while /proc is not mounted.
pub fn uptime() -> f64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0.0)
}

/// A line on the console. Without a console it is lost, and nothing stops for that.
pub fn say(words: &str) {
    if let Ok(mut console) = std::fs::OpenOptions::new().write(true).open("/dev/console") {
        let _ = console.write_all(format!("hearthgate-init [{:.1}]: {words}\n", uptime()).as_bytes());
    }
}
