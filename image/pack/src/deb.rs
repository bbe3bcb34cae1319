//! Packages for Debian and its kin. Source: `deb(5)`, `deb-control(5)`, `deb-md5sums(5)`, Debian Policy 4.7 chapters 5, 6
//! and 12.

use crate::PackError;
use crate::archive::{ar, gzip, gzip_smallest, tar};
use crate::package::Package;
use crate::tree::{Entry, Node, Tree};
use md5::{Digest as _, Md5};

/// Longest line of a description (characters, with the space that begins it).
const LINE: usize = 79;

/// What only Debian's packages have. Scripts are whole texts; an empty one is left out.
#[derive(Debug, Clone, Default)]
pub struct DebParts {
    /// The description in a few words, neither capital nor article first.
    pub synopsis: String,
    /// After the files are there.
    pub postinst: String,
    /// Before the files go.
    pub prerm: String,
    /// After the files have gone.
    pub postrm: String,
}

/// Makes a `.deb`. What lies in `usr/share/man` and as `changelog.Debian` or `licenses.txt` in `usr/share/doc` gets
/// compressed, as Debian's policy has it. The package's architecture is Debian's name. Gives the file's name and bytes.
pub fn deb(package: &Package, own: &DebParts, epoch: u64) -> Result<(String, Vec<u8>), PackError> {
    package.check()?;
    let files = documents_compressed(&package.files)?;
    let bytes: usize = files.iter().map(|(_, e)| if let Node::File(c) = &e.node { c.len() } else { 0 }).sum();
    let version = format!("{}-{}", package.version, package.release);
    let mut control = format!("Package: {}\nVersion: {version}\n", package.name);
    control.push_str(&format!("Architecture: {}\nMaintainer: {}\n", package.architecture, package.maintainer));
    control.push_str(&format!("Installed-Size: {}\n", bytes.div_ceil(1024)));
    if !package.depends.is_empty() {
        control.push_str(&format!("Depends: {}\n", package.depends.join(", ")));
    }
    control.push_str(&format!("Section: {}\nPriority: optional\n", package.section));
    control.push_str(&format!(
        "Homepage: {}\nDescription: {}\n{}",
        package.url,
        own.synopsis,
        wrapped(&package.description)
    ));

    let mut parts = Tree::new();
    parts.file("control", 0o644, control)?;
    if !package.conffiles.is_empty() {
        parts.file("conffiles", 0o644, package.conffile_lines())?;
    }
    parts.file("md5sums", 0o644, sums(&files))?;
    for (name, text) in [("postinst", &own.postinst), ("prerm", &own.prerm), ("postrm", &own.postrm)] {
        if !text.is_empty() {
            parts.file(name, 0o755, text.clone())?;
        }
    }
    let control = gzip(&tar(&parts, epoch)?)?;
    let data = gzip_smallest(&tar(&files, epoch)?)?;
    let members = [("debian-binary", b"2.0\n".as_slice()), ("control.tar.gz", &control), ("data.tar.gz", &data)];
    Ok((format!("{}_{version}_{}.deb", package.name, package.architecture), ar(&members, epoch)?))
}

/// The description, broken into lines that begin with a space.
fn wrapped(text: &str) -> String {
    let (mut out, mut line) = (String::new(), String::new());
    for word in text.split(' ') {
        if !line.is_empty() && line.len() + 1 + word.len() > LINE {
            out.push_str(&line);
            out.push('\n');
            line.clear();
        }
        line.push(' ');
        line.push_str(word);
    }
    out.push_str(&line);
    out.push('\n');
    out
}

/// `dpkg --verify` compares with these; what belongs to the user is not among them.
fn sums(files: &Tree) -> String {
    let sum = |(path, entry): (&str, &Entry)| match &entry.node {
        Node::File(contents) if !path.starts_with("etc/") => {
            let sum: String = Md5::digest(contents).iter().map(|byte| format!("{byte:02x}")).collect();
            Some(format!("{sum}  {path}\n"))
        }
        _ => None,
    };
    files.iter().filter_map(sum).collect()
}

fn documents_compressed(files: &Tree) -> Result<Tree, PackError> {
    let mut out = Tree::new();
    for (path, entry) in files.iter() {
        let name = path.rsplit('/').next().unwrap_or_default();
        let document = path.starts_with("usr/share/man/")
            || path.starts_with("usr/share/doc/") && ["changelog.Debian", "licenses.txt"].contains(&name);
        match &entry.node {
            Node::File(contents) if document => out.file(&format!("{path}.gz"), entry.mode, gzip(contents)?)?,
            Node::File(contents) => out.file(path, entry.mode, contents.clone())?,
            Node::Directory => out.directory(path, entry.mode)?,
            Node::Link(to) => out.link(path, to)?,
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_broken_between_words() {
        let text = wrapped(&"seven words ".repeat(20));
        assert!(text.lines().all(|line| line.starts_with(' ') && line.len() <= LINE), "{text}");
        assert_eq!(text.split_whitespace().count(), 40);
        assert_eq!(wrapped("one"), " one\n");
    }

    #[test]
    fn documents_are_compressed_and_sums_are_of_what_is_installed() {
        let mut files = Tree::new();
        files.file("usr/share/man/man8/x.8", 0o644, "page").unwrap();
        files.file("usr/share/doc/x/copyright", 0o644, "text").unwrap();
        files.file("etc/x", 0o644, "settings").unwrap();
        let files = documents_compressed(&files).unwrap();
        assert_eq!(files.file_list(), ["/etc/x", "/usr/share/doc/x/copyright", "/usr/share/man/man8/x.8.gz"]);
        // By md5sum(1) of the four letters.
        let sums = sums(&files);
        assert!(sums.starts_with("1cb251ec0d568de6a929b520c4aed8d1  usr/share/doc/x/copyright\n"), "{sums}");
        assert_eq!(sums.lines().count(), 2);
    }
}
