//! Packages for Debian and its kin. Source: `deb(5)`, `deb-control(5)`, Debian Policy 4.7 chapters 5 and 6.

use crate::PackError;
use crate::archive::{ar, gzip, gzip_smallest, tar};
use crate::package::Package;
use crate::tree::{Node, Tree};

/// Maintainer scripts, whole texts; an empty one is left out.
#[derive(Debug, Clone, Default)]
pub struct DebScripts {
    /// After the files are there.
    pub postinst: String,
    /// Before the files go.
    pub prerm: String,
    /// After the files have gone.
    pub postrm: String,
}

/// Makes a `.deb`; the package's architecture is Debian's name. Gives the file's name and bytes.
pub fn deb(package: &Package, scripts: &DebScripts, epoch: u64) -> Result<(String, Vec<u8>), PackError> {
    package.check()?;
    let bytes: usize = package.files.iter().map(|(_, e)| if let Node::File(c) = &e.node { c.len() } else { 0 }).sum();
    let version = format!("{}-{}", package.version, package.release);
    let mut control = format!("Package: {}\nVersion: {version}\n", package.name);
    control.push_str(&format!("Architecture: {}\nMaintainer: {}\n", package.architecture, package.maintainer));
    control.push_str(&format!("Installed-Size: {}\n", bytes.div_ceil(1024)));
    if !package.depends.is_empty() {
        control.push_str(&format!("Depends: {}\n", package.depends.join(", ")));
    }
    control.push_str(&format!("Section: {}\nPriority: optional\n", package.section));
    control.push_str(&format!("Homepage: {}\nDescription: {}\n", package.url, package.description));

    let mut parts = Tree::new();
    parts.file("control", 0o644, control)?;
    if !package.conffiles.is_empty() {
        parts.file("conffiles", 0o644, package.conffile_lines())?;
    }
    for (name, text) in [("postinst", &scripts.postinst), ("prerm", &scripts.prerm), ("postrm", &scripts.postrm)] {
        if !text.is_empty() {
            parts.file(name, 0o755, text.clone())?;
        }
    }
    let control = gzip(&tar(&parts, epoch)?)?;
    let data = gzip_smallest(&tar(&package.files, epoch)?)?;
    let members = [("debian-binary", b"2.0\n".as_slice()), ("control.tar.gz", &control), ("data.tar.gz", &data)];
    Ok((format!("{}_{version}_{}.deb", package.name, package.architecture), ar(&members, epoch)?))
}
