//! What a package says about itself, in one form for opkg, apk and dpkg, and the scripts OpenWrt's managers run.
//! Source: `include/package-pack.mk` and `package/base-files/files/lib/functions.sh` of OpenWrt (main, August 2026).

use crate::PackError;
use crate::tree::Tree;

/// A package before it gets one of the formats.
#[derive(Clone, Debug)]
pub struct Package {
    /// Name, such as `hearthgate`.
    pub name: String,
    /// Version of the program, such as `0.1.0`; dots and digits, as both managers order them alike.
    pub version: String,
    /// Counts packagings of one version, from 1.
    pub release: u32,
    /// Architecture in OpenWrt's name; `all` for scripts.
    pub architecture: String,
    /// Names of packages needed.
    pub depends: Vec<String>,
    /// SPDX expression.
    pub license: String,
    /// Section of the feed, such as `net`.
    pub section: String,
    /// Where it comes from.
    pub url: String,
    /// Who answers for it.
    pub maintainer: String,
    /// One paragraph without line breaks.
    pub description: String,
    /// The files.
    pub files: Tree,
    /// Paths (absolute) of files that belong to the user once installed.
    pub conffiles: Vec<String>,
    /// Shell lines to run after the files are there, beside what OpenWrt does by itself.
    pub after_install: String,
    /// Shell lines to run before the files go.
    pub before_remove: String,
}

impl Package {
    /// `0.1.0-r1`: apk's grammar needs the release, opkg takes it.
    pub fn full_version(&self) -> String {
        format!("{}-r{}", self.version, self.release)
    }

    /// Refuses what one of the formats could not hold.
    pub fn check(&self) -> Result<(), PackError> {
        let field = |field, value: &str, ok: bool| {
            if ok { Ok(()) } else { Err(PackError::Field { field, value: value.into() }) }
        };
        let name_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'+' | b'_');
        let name = |text: &str| !text.is_empty() && text.bytes().all(name_byte);
        field("name", &self.name, name(&self.name))?;
        field("architecture", &self.architecture, name(&self.architecture))?;
        for need in &self.depends {
            field("dependency", need, name(need))?;
        }
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        field("version", &self.version, self.version.split('.').all(digits))?;
        for (what, value) in [
            ("license", &self.license),
            ("section", &self.section),
            ("url", &self.url),
            ("maintainer", &self.maintainer),
            ("description", &self.description),
        ] {
            field(what, value, !value.is_empty() && !value.contains(['\n', '\r', '\0']))?;
        }
        for path in &self.conffiles {
            let inside = path.strip_prefix('/').unwrap_or_default();
            if self.files.get(inside).is_none() {
                return Err(PackError::NoSuchConffile(path.clone()));
            }
        }
        Ok(())
    }

    /// Conffiles in byte order, a line each.
    pub fn conffile_lines(&self) -> String {
        let mut sorted = self.conffiles.clone();
        sorted.sort();
        sorted.iter().map(|path| format!("{path}\n")).collect()
    }
}

/// Start of every script: nothing is done where OpenWrt's functions are not (a root being put together by another
/// program), and nothing when scripts are switched off.
const PREAMBLE: &str = "#!/bin/sh\n\
    [ \"${IPKG_NO_SCRIPT}\" = \"1\" ] && exit 0\n\
    [ -s \"${IPKG_INSTROOT}/lib/functions.sh\" ] || exit 0\n\
    . \"${IPKG_INSTROOT}/lib/functions.sh\"\n";

/// opkg's `postinst`; package-specific lines are in `postinst-pkg`, which the function called here sources.
pub fn opkg_postinst() -> String {
    format!("{PREAMBLE}default_postinst \"$0\" \"$@\"\n")
}

/// opkg's `prerm`.
pub fn opkg_prerm() -> String {
    format!("{PREAMBLE}default_prerm \"$0\" \"$@\"\n")
}

/// apk's `post-install` and, with `upgrade`, `post-upgrade`.
pub fn apk_post_install(package: &Package, upgrade: bool) -> String {
    let upgrade = if upgrade { "export PKG_UPGRADE=1\n" } else { "" };
    let (name, own) = (&package.name, &package.after_install);
    format!(
        "{PREAMBLE}{upgrade}export root=\"${{IPKG_INSTROOT}}\"\nexport pkgname=\"{name}\"\n\
         add_group_and_user\ndefault_postinst\n{own}exit 0\n"
    )
}

/// apk's `pre-deinstall`. The package's own lines come first: the service still runs, the files are still there.
pub fn apk_pre_deinstall(package: &Package) -> String {
    let (name, own) = (&package.name, &package.before_remove);
    format!("{PREAMBLE}export root=\"${{IPKG_INSTROOT}}\"\nexport pkgname=\"{name}\"\n{own}default_prerm\nexit 0\n")
}
