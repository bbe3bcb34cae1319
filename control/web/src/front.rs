//! The front in words: whether clients get through it, and what to do if not.

use crate::{
    outside::Outside,
    reach::{Finding, Level},
};

/// How the tunnel to a front is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tunnel {
    /// Being made.
    Connecting,
    /// Up; so many clients are passed on now, so many were since the start.
    Connected(u64, u64),
    /// The front says no, with its words.
    Refused(String),
    /// It cannot be reached, or broke.
    Failed(String),
}

/// What a build with fronts knows of this box's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Front {
    /// Host and port of the front, and how the tunnel to it is; `None` without a front.
    pub tunnel: Option<(String, Tunnel)>,
    /// It stands in the configuration, so the pages cannot change it.
    pub configured: bool,
    /// The URL of clients begins with `https://`, without which there can be none.
    pub https: bool,
    /// What it saw of this box from outside, when it last looked.
    pub outside: Option<Outside>,
}

impl Front {
    /// What there is to say; `None` without a front.
    #[must_use]
    pub fn finding(&self) -> Option<Finding> {
        let (address, tunnel) = self.tunnel.as_ref()?;
        Some(match tunnel {
            Tunnel::Connecting => {
                Finding::new(Level::Warn, format!("The tunnel to the front {address} is being made."), "")
            }
            Tunnel::Connected(open, passed) => Finding::new(
                Level::Good,
                format!(
                    "Devices away from home come through the front {address}: {open} connected now, {passed} since the start."
                ),
                "",
            ),
            Tunnel::Refused(why) => Finding::new(
                Level::Bad,
                format!("The front {address} does not serve this box: {why}."),
                "Make a new line with `hearthgate front line` on the front, and pair again under System, Setup.",
            ),
            Tunnel::Failed(why) => Finding::new(
                Level::Bad,
                format!("No tunnel to the front {address}: {why}. Devices away from home do not get through."),
                "Look whether `hearthgate front` runs there and its port is open. This box tries again by itself.",
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(tunnel: Tunnel) -> Level {
        let front = Front { tunnel: Some(("front.example:443".into(), tunnel)), ..Front::default() };
        let found = front.finding().unwrap();
        assert!(found.what.contains("front.example:443"));
        assert_eq!(found.level == Level::Bad, !found.remedy.is_empty(), "a problem has a remedy");
        found.level
    }

    #[test]
    fn a_front_that_does_not_serve_is_a_problem() {
        assert_eq!(Front::default().finding(), None);
        assert_eq!(level(Tunnel::Connected(1, 2)), Level::Good);
        assert_eq!(level(Tunnel::Connecting), Level::Warn);
        assert_eq!(level(Tunnel::Refused("no".into())), Level::Bad);
        assert_eq!(level(Tunnel::Failed("no".into())), Level::Bad);
    }
}
