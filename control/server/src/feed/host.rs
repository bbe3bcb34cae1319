//! Which file of a feed is this host's, and what its owner does with it. Only a box with one of our images upgrades itself;
//! elsewhere programs are the package manager's, and a server without root's powers has no business with them.

use hearthgate_limits::{DEBIAN, TARGET};
use hearthgate_slots::{FeedFile, feed};
use std::path::Path;

/// How programs come to this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Host {
    /// One of our images: the server receives the file, the image's init does the rest.
    Image,
    /// OpenWrt from 25.12 on.
    Apk,
    /// OpenWrt before.
    Opkg,
    /// The Debian package is installed.
    Debian,
    /// A program that somebody put there.
    Program,
}

impl Host {
    /// Looks at what is under `root`; `image`: the configuration says that this is one of our images.
    pub(crate) fn find(root: &Path, image: bool) -> Self {
        let has = |path: &str| root.join(path).exists();
        match () {
            () if image => Self::Image,
            () if has("etc/openwrt_release") && has("usr/bin/apk") => Self::Apk,
            () if has("etc/openwrt_release") => Self::Opkg,
            () if has("var/lib/dpkg/info/hearthgate.list") => Self::Debian,
            () => Self::Program,
        }
    }

    /// The kind of file that is for this host; `None` where a package manager has a feed of its own, and for a kind of machine
    /// that nothing is made for.
    pub(crate) fn kind(self) -> Option<String> {
        let (machine, suffix) = match self {
            Self::Image => (TARGET, "hgu"),
            Self::Apk | Self::Opkg => return None,
            Self::Debian => (DEBIAN, "deb"),
            Self::Program => (TARGET, "tar.gz"),
        };
        (!machine.is_empty()).then(|| format!("{machine}.{suffix}"))
    }

    /// What its owner runs; `None` for images, which take the file themselves. The file is compared with the sum that the
    /// feed's signature covers before anything is done with it.
    pub(crate) fn command(self, url: &str, file: Option<&FeedFile>) -> Option<String> {
        let then = match self {
            Self::Image => return None,
            Self::Apk => return Some("apk update && apk upgrade hearthgate".into()),
            Self::Opkg => return Some("opkg update && opkg upgrade hearthgate".into()),
            Self::Debian => "apt install ./",
            Self::Program => "tar xzf ",
        };
        let file = file?;
        let name = file.name.rsplit('/').next().unwrap_or_default();
        // A name of the feed is only a name; the URL is the owner's, and stays one word.
        let from = feed::beside(url, &file.name).replace('\'', "%27");
        let sum = feed::hex(&file.sha256);
        Some(format!(
            "cd \"$(mktemp -d)\" && curl -fLO '{from}' && echo '{sum}  {name}' | sha256sum -c && {then}{name}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_told_by_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let touch = |path: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        };
        assert_eq!(Host::find(dir.path(), false), Host::Program);
        touch("var/lib/dpkg/info/hearthgate.list");
        assert_eq!(Host::find(dir.path(), false), Host::Debian);
        touch("etc/openwrt_release");
        assert_eq!(Host::find(dir.path(), false), Host::Opkg);
        touch("usr/bin/apk");
        assert_eq!(Host::find(dir.path(), false), Host::Apk);
        assert_eq!(Host::find(dir.path(), true), Host::Image);
    }

    #[test]
    fn a_command_fetches_checks_and_only_then_installs() {
        let file = FeedFile { kind: "amd64.deb".into(), name: "a/b_1.deb".into(), length: 3, sha256: [0; 32] };
        let command = Host::Debian.command("https://x/'; reboot/feed", Some(&file)).unwrap();
        let zeros = "0".repeat(64);
        let want = format!(
            "cd \"$(mktemp -d)\" && curl -fLO 'https://x/%27; reboot/a/b_1.deb' && echo '{zeros}  b_1.deb' | sha256sum -c && apt install ./b_1.deb"
        );
        assert_eq!(command, want);
        assert_eq!(Host::Debian.command("https://x/feed", None), None, "not for this kind of machine");
        assert!(Host::Opkg.command("", None).unwrap().starts_with("opkg update"));
    }
}
