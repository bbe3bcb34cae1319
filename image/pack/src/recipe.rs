//! What hearthgate's own packages contain.

use crate::PackError;
use crate::deb::DebParts;
use crate::package::Package;
use crate::tree::Tree;
use hearthgate_usign::PublicKey;

/// Where the program comes from, as packages state it.
pub const URL: &str = "https://hearthgate.invalid/";
/// Who answers for the packages.
pub const MAINTAINER: &str = "The hearthgate authors <hearthgate@hearthgate.invalid>";
/// As in the repository.
pub const LICENSE: &str = "MIT OR Apache-2.0";

/// The package with the program: `files` is `openwrt/hearthgate` as it lies in the repository.
pub fn openwrt_program(files: Tree, binary: Vec<u8>, architecture: &str, version: &str) -> Result<Package, PackError> {
    let mut files = files;
    files.file("usr/sbin/hearthgate", 0o755, binary)?;
    // Nobody but root reads the settings.
    set_mode(&mut files, "etc/config/hearthgate", 0o600)?;
    Ok(Package {
        name: "hearthgate".into(),
        version: version.into(),
        release: 1,
        architecture: architecture.into(),
        // The second is there wherever OpenWrt's firewall is, and without it this router cannot be a member.
        depends: vec!["kmod-wireguard".into(), "kmod-nft-nat".into(), "ca-bundle".into()],
        license: LICENSE.into(),
        section: "net".into(),
        url: URL.into(),
        maintainer: MAINTAINER.into(),
        description: "Control server, DERP relay and STUN server for Tailscale clients, in one small program".into(),
        files,
        conffiles: vec!["/etc/config/hearthgate".into()],
        after_install: String::new(),
        // An upgrade keeps what was set up; a removal takes it away while the scripts are still there.
        before_remove: "if [ \"$PKG_UPGRADE\" != 1 ] && [ -z \"$IPKG_INSTROOT\" ]; then\n\
            \t/usr/libexec/hearthgate/network remove || true\nfi\n"
            .into(),
    })
}

/// The LuCI pages: `files` is `openwrt/luci-app-hearthgate`.
pub fn openwrt_luci(files: Tree, version: &str) -> Package {
    Package {
        name: "luci-app-hearthgate".into(),
        version: version.into(),
        release: 1,
        architecture: "all".into(),
        depends: vec!["hearthgate".into(), "luci-base".into()],
        license: LICENSE.into(),
        section: "luci".into(),
        url: URL.into(),
        maintainer: MAINTAINER.into(),
        description: "LuCI pages for hearthgate: status, devices, settings".into(),
        files,
        conffiles: Vec::new(),
        // rpcd reads access lists when it starts; LuCI keeps its menu in a cache.
        after_install: LUCI_CHANGED.into(),
        before_remove: String::new(),
    }
}

const LUCI_CHANGED: &str = "if [ -z \"$IPKG_INSTROOT\" ]; then\n\
    \trm -rf /tmp/luci-indexcache* /tmp/luci-modulecache\n\
    \t/etc/init.d/rpcd reload\nfi\n";

/// The Debian package: `files` is `image/debian`.
pub fn debian(files: Tree, binary: Vec<u8>, architecture: &str, version: &str) -> Result<Package, PackError> {
    let mut files = files;
    files.file("usr/sbin/hearthgate", 0o755, binary)?;
    Ok(Package {
        name: "hearthgate".into(),
        version: version.into(),
        release: 1,
        architecture: architecture.into(),
        depends: Vec::new(),
        license: LICENSE.into(),
        section: "net".into(),
        url: URL.into(),
        maintainer: MAINTAINER.into(),
        description: "Control server, DERP relay, STUN server and subnet router for unmodified Tailscale clients, in \
            one small program with a page on the LAN. It also runs as a front that passes encrypted connections on to \
            boxes which nothing reaches."
            .into(),
        files,
        conffiles: vec!["/etc/hearthgate/config.toml".into(), "/etc/default/hearthgate-front".into()],
        after_install: String::new(),
        before_remove: String::new(),
    })
}

/// What only the Debian package has: the server is on after installation, a front is not; those that run are restarted
/// by an upgrade, and what somebody switched off stays off. State stays until `purge`. Debian's helpers respect the policy
/// of a root that is put together on another machine, where no service is to be touched.
pub fn debian_parts() -> DebParts {
    let units = "hearthgate.service hearthgate-front.service";
    // Debian's functions are not there in a root that is filled from outside (`dpkg --root`).
    let own_root = "[ -z \"$DPKG_ROOT\" ] || exit 0\n";
    let live = "[ -d /run/systemd/system ] || exit 0\n";
    DebParts {
        synopsis: "control server for Tailscale clients, with relay and router".into(),
        postinst: format!(
            "#!/bin/sh\nset -e\n[ \"$1\" = configure ] || exit 0\n{own_root}\
             if deb-systemd-helper --quiet was-enabled hearthgate.service; then\n\
             \tdeb-systemd-helper enable hearthgate.service >/dev/null\n\
             else\n\tdeb-systemd-helper update-state hearthgate.service >/dev/null\nfi\n\
             {live}systemctl --system daemon-reload >/dev/null || true\n\
             if [ -z \"$2\" ]; then deb-systemd-invoke start hearthgate.service >/dev/null || true\n\
             else deb-systemd-invoke restart {units} >/dev/null || true; fi\n"
        ),
        prerm: format!(
            "#!/bin/sh\nset -e\n[ \"$1\" = remove ] || exit 0\n{own_root}{live}\
             deb-systemd-invoke stop {units} >/dev/null || true\n"
        ),
        postrm: format!(
            "#!/bin/sh\nset -e\nif [ \"$1\" = purge ]; then\n\
             \trm -rf \"$DPKG_ROOT/etc/hearthgate\" \"$DPKG_ROOT/var/lib/hearthgate\" \\\n\
             \t\t\"$DPKG_ROOT/var/lib/private/hearthgate\" \"$DPKG_ROOT/var/lib/hearthgate-front\" \\\n\
             \t\t\"$DPKG_ROOT/var/lib/private/hearthgate-front\"\n\
             \t[ -n \"$DPKG_ROOT\" ] || deb-systemd-helper purge {units} >/dev/null || true\n\
             fi\n{own_root}{live}systemctl --system daemon-reload >/dev/null || true\n"
        ),
    }
}

/// Puts in the key of whoever makes the packages: feeds of new versions (`upgrade.feed_url`) are checked with it.
pub fn trust(files: &mut Tree, key: &PublicKey) -> Result<(), PackError> {
    files.file("usr/share/hearthgate/feed.pub", 0o644, key.to_text().into_bytes())
}

fn set_mode(files: &mut Tree, path: &str, mode: u32) -> Result<(), PackError> {
    let Some(crate::tree::Entry { node: crate::tree::Node::File(contents), .. }) = files.get(path) else {
        return Err(PackError::NoSuchConffile(format!("/{path}")));
    };
    let contents = contents.clone();
    files.file(path, mode, contents)
}
