//! What hearthgate's own packages contain, for every architecture name that OpenWrt's package managers know.

use crate::PackError;
use crate::deb::DebScripts;
use crate::package::Package;
use crate::tree::Tree;
use hearthgate_usign::PublicKey;

/// Where the program comes from, as packages state it.
pub const URL: &str = "https://hearthgate.invalid/";
/// Who answers for the packages.
pub const MAINTAINER: &str = "The hearthgate authors <hearthgate@hearthgate.invalid>";
/// As in the repository.
pub const LICENSE: &str = "MIT OR Apache-2.0";

/// OpenWrt's architecture names, each with the program (`dist/TARGET/hearthgate`) that runs there. The binaries are
/// static and use no instruction beyond their target's base line, so one serves several names.
pub const ARCHITECTURES: [(&str, &str); 11] = [
    ("mipsel_24kc", "mipsel"),
    ("mipsel_74kc", "mipsel"),
    ("mips_24kc", "mips"),
    ("arm_cortex-a7_neon-vfpv4", "armv7"),
    ("arm_cortex-a9_vfpv3-d16", "armv7"),
    ("arm_cortex-a15_neon-vfpv4", "armv7"),
    ("aarch64_cortex-a53", "aarch64"),
    ("aarch64_cortex-a72", "aarch64"),
    ("aarch64_cortex-a76", "aarch64"),
    ("aarch64_generic", "aarch64"),
    ("x86_64", "x86_64"),
];

/// Debian's architecture names and their programs.
pub const DEBIAN: [(&str, &str); 3] = [("amd64", "x86_64"), ("arm64", "aarch64"), ("armhf", "armv7")];

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
        depends: vec!["kmod-wireguard".into(), "ca-bundle".into()],
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
        description: "Control server, DERP relay and STUN server for Tailscale clients, in one small program".into(),
        files,
        conffiles: vec!["/etc/hearthgate/config.toml".into(), "/etc/default/hearthgate-front".into()],
        after_install: String::new(),
        before_remove: String::new(),
    })
}

/// Maintainer scripts of the Debian package: the server is on after installation, a front is not; both are restarted by
/// an upgrade, gone after
/// removal; what it stored stays until `purge`.
pub fn debian_scripts() -> DebScripts {
    // A root that is put together on another machine has a service manager that is not to be touched.
    let live = "[ -z \"$DPKG_ROOT\" ] && [ -d /run/systemd/system ] || exit 0\n";
    DebScripts {
        postinst: format!(
            "#!/bin/sh\nset -e\n[ \"$1\" = configure ] || exit 0\n{live}systemctl daemon-reload\n\
             if [ -z \"$2\" ]; then systemctl enable --now hearthgate.service\n\
             else systemctl try-restart hearthgate.service hearthgate-front.service; fi\n"
        ),
        prerm: format!(
            "#!/bin/sh\nset -e\n[ \"$1\" = remove ] || exit 0\n{live}systemctl disable --now hearthgate.service \
             hearthgate-front.service\n"
        ),
        postrm: format!(
            "#!/bin/sh\nset -e\n[ \"$1\" != purge ] || rm -rf \"$DPKG_ROOT/etc/hearthgate\" \
             \"$DPKG_ROOT/var/lib/hearthgate\" \"$DPKG_ROOT/var/lib/private/hearthgate\" \
             \"$DPKG_ROOT/var/lib/hearthgate-front\" \"$DPKG_ROOT/var/lib/private/hearthgate-front\"\n\
             {live}systemctl daemon-reload\n"
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
