//! `[admin]`: the pages on the LAN.

use crate::read::section;
use ipnet::IpNet;

/// Who may see the pages.
#[derive(Debug, Clone, PartialEq)]
pub struct AdminConfig {
    /// The pages are served.
    pub enabled: bool,
    /// Networks that may see them; `lan` stands for all private and local ones.
    pub networks: Vec<String>,
    /// Names, besides its own, by which this machine is opened in a browser.
    pub hosts: Vec<String>,
}

section!(AdminConfig { enabled, networks, hosts });

impl Default for AdminConfig {
    fn default() -> Self {
        Self { enabled: true, networks: vec!["lan".into()], hosts: Vec::new() }
    }
}

impl AdminConfig {
    /// The networks; those that cannot be read are left out (and are mistakes). `lan` is what the caller says it is.
    pub fn networks(&self, lan: &[&str]) -> Vec<IpNet> {
        let one = |text: &String| -> Vec<IpNet> {
            if text == "lan" {
                lan.iter().filter_map(|n| n.parse().ok()).collect()
            } else {
                text.parse().ok().into_iter().collect()
            }
        };
        self.networks.iter().flat_map(one).collect()
    }

    pub(crate) fn problems(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        let bad = self.networks.iter().filter(|n| *n != "lan" && n.parse::<IpNet>().is_err());
        bad.map(|n| ("admin.networks", format!("{n:?} is neither \"lan\" nor a network like 100.64.0.0/10")))
    }
}
