//! Packages for opkg, OpenWrt up to 24.10: a gzip'd tar of three members (never `ar`, which OpenWrt's opkg refuses).
//! No other compression will do: opkg looks for members of exactly these names and runs `gzip -d` on them.
//! Source: `scripts/ipkg-build` and `include/package-pack.mk` of OpenWrt 24.10; `libbb/unarchive.c` (`deb_extract`) and
//! `libbb/gzip.c` of opkg-lede.

use crate::archive::{gzip, gzip_smallest, tar};
use crate::package::{Package, opkg_postinst, opkg_prerm};
use crate::tree::Tree;
use crate::{PackError, archive};
use std::fmt::Write as _;

/// A finished `.ipk`.
#[derive(Debug, Clone)]
pub struct Ipk {
    /// `name_version_architecture.ipk`
    pub file_name: String,
    /// The control text, which the feed repeats.
    pub control: String,
    /// The file.
    pub bytes: Vec<u8>,
}

/// The files of a package, compressed: the same for every architecture that one program serves, and what takes the time.
#[derive(Debug, Clone)]
pub struct Data {
    packed: Vec<u8>,
    unpacked_bytes: usize,
}

impl Data {
    /// `epoch` is the time of all files, seconds since 1970.
    pub fn of(files: &Tree, epoch: u64) -> Result<Self, PackError> {
        let archive = tar(files, epoch)?;
        Ok(Self { packed: gzip_smallest(&archive)?, unpacked_bytes: archive.len() })
    }
}

/// Makes the package. `epoch` is the time of all files, seconds since 1970.
pub fn ipk(package: &Package, epoch: u64) -> Result<Ipk, PackError> {
    with_data(package, epoch, &Data::of(&package.files, epoch)?)
}

/// Makes the package of files that are compressed already: `data` is [`Data::of`] the package's own.
pub fn with_data(package: &Package, epoch: u64, data: &Data) -> Result<Ipk, PackError> {
    package.check()?;
    let control = control_text(package, data.unpacked_bytes, epoch);
    let mut parts = Tree::new();
    parts.file("control", 0o644, control.clone())?;
    if !package.conffiles.is_empty() {
        parts.file("conffiles", 0o644, package.conffile_lines())?;
    }
    parts.file("postinst", 0o755, opkg_postinst())?;
    parts.file("prerm", 0o755, opkg_prerm())?;
    if !package.after_install.is_empty() {
        parts.file("postinst-pkg", 0o755, package.after_install.clone())?;
    }
    if !package.before_remove.is_empty() {
        parts.file("prerm-pkg", 0o755, package.before_remove.clone())?;
    }
    let bytes = gzip(&outer(&data.packed, &gzip(&tar(&parts, epoch)?)?, epoch)?)?;
    let file_name = format!("{}_{}_{}.ipk", package.name, package.full_version(), package.architecture);
    Ok(Ipk { file_name, control, bytes })
}

/// The outer tar: its members have a fixed order and there is no entry for the root.
fn outer(data: &[u8], control: &[u8], epoch: u64) -> Result<Vec<u8>, PackError> {
    archive::flat_tar(&[("./debian-binary", b"2.0\n"), ("./data.tar.gz", data), ("./control.tar.gz", control)], epoch)
}

fn control_text(package: &Package, data_size: usize, epoch: u64) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name}: {value}");
    };
    line("Package", &package.name);
    line("Version", &package.full_version());
    if !package.depends.is_empty() {
        line("Depends", &package.depends.join(", "));
    }
    line("License", &package.license);
    line("Section", &package.section);
    line("SourceDateEpoch", &epoch.to_string());
    line("URL", &package.url);
    line("Maintainer", &package.maintainer);
    line("Architecture", &package.architecture);
    line("Installed-Size", &data_size.to_string());
    line("Description", &package.description);
    text
}
