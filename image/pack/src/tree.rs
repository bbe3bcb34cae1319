//! A tree of files in memory, sorted by name: what goes into a package or an image, without owner (always root) and
//! without times (all get the time of the source).

use crate::PackError;
use std::collections::BTreeMap;
use std::path::Path;

/// Longest path (bytes): what a plain tar header holds with its leading `./` and trailing `/`.
pub const MAX_PATH: usize = 97;

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Directory,
    /// A regular file with its contents.
    File(Vec<u8>),
    /// A symbolic link with its destination.
    Link(String),
}

/// A node and its permission bits (links: 0777).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Permission bits, such as 0o755.
    pub mode: u32,
    /// Kind and contents.
    pub node: Node,
}

/// Entries by relative path (`usr/sbin/hearthgate`); every parent directory is an entry too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    entries: BTreeMap<String, Entry>,
}

impl Tree {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a file, replacing one that is there.
    pub fn file(&mut self, path: &str, mode: u32, contents: impl Into<Vec<u8>>) -> Result<(), PackError> {
        self.put(path, Entry { mode, node: Node::File(contents.into()) })
    }

    /// Puts a symbolic link.
    pub fn link(&mut self, path: &str, destination: &str) -> Result<(), PackError> {
        self.put(path, Entry { mode: 0o777, node: Node::Link(destination.into()) })
    }

    /// Puts a directory with a mode of its own.
    pub fn directory(&mut self, path: &str, mode: u32) -> Result<(), PackError> {
        self.put(path, Entry { mode, node: Node::Directory })
    }

    fn put(&mut self, path: &str, entry: Entry) -> Result<(), PackError> {
        check_path(path)?;
        for (at, _) in path.match_indices('/') {
            let parent = path.get(..at).unwrap_or_default().to_owned();
            self.entries.entry(parent).or_insert(Entry { mode: 0o755, node: Node::Directory });
        }
        self.entries.insert(path.to_owned(), entry);
        Ok(())
    }

    /// Takes everything of `other`.
    pub fn merge(&mut self, other: Tree) {
        self.entries.extend(other.entries);
    }

    /// Paths and entries in byte order; a directory comes before what is in it.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// The entry at a path.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// Absolute paths of files and links, in byte order: the list that `default_postinst` wants.
    pub fn file_list(&self) -> Vec<String> {
        self.iter().filter(|(_, e)| e.node != Node::Directory).map(|(path, _)| format!("/{path}")).collect()
    }

    /// Reads a directory from disk. Files get mode 0755 if their owner may execute them, else 0644, whatever the
    /// checkout's umask made of the rest.
    pub fn read(from: &Path) -> Result<Self, PackError> {
        let mut tree = Self::new();
        tree.read_into(from, "")?;
        Ok(tree)
    }

    fn read_into(&mut self, folder: &Path, prefix: &str) -> Result<(), PackError> {
        use std::os::unix::fs::PermissionsExt as _;
        let failed = |path: &Path| {
            let path = path.display().to_string();
            move |source| PackError::File { path, source }
        };
        for item in std::fs::read_dir(folder).map_err(failed(folder))? {
            let item = item.map_err(failed(folder))?;
            let name = item.file_name().into_string().map_err(|n| PackError::Path(n.display().to_string()))?;
            let (path, inside) = (item.path(), format!("{prefix}{name}"));
            let meta = std::fs::symlink_metadata(&path).map_err(failed(&path))?;
            if meta.is_dir() {
                self.directory(&inside, 0o755)?;
                self.read_into(&path, &format!("{inside}/"))?;
            } else if meta.is_symlink() {
                let to = std::fs::read_link(&path).map_err(failed(&path))?;
                self.link(&inside, &to.to_string_lossy())?;
            } else {
                let mode = if meta.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 };
                self.file(&inside, mode, std::fs::read(&path).map_err(failed(&path))?)?;
            }
        }
        Ok(())
    }
}

fn check_path(path: &str) -> Result<(), PackError> {
    let bad_part = |part: &str| part.is_empty() || part == "." || part == "..";
    let bad_byte = |byte: u8| byte <= b' ' || byte >= 0x7f || byte == b'\\';
    if path.len() > MAX_PATH || path.split('/').any(bad_part) || path.bytes().any(bad_byte) {
        return Err(PackError::Path(path.into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_first_and_climbing_paths_are_refused() {
        let mut tree = Tree::new();
        tree.file("etc/init.d/x", 0o755, "a").unwrap();
        tree.file("etc-x", 0o644, "b").unwrap();
        let names: Vec<_> = tree.iter().map(|(path, _)| path).collect();
        assert_eq!(names, ["etc", "etc-x", "etc/init.d", "etc/init.d/x"]);
        assert_eq!(tree.file_list(), ["/etc-x", "/etc/init.d/x"]);
        for bad in ["", "/etc", "../x", "a/../b", "a//b", "a b", "a\nb", &"x".repeat(98)] {
            assert!(tree.file(bad, 0o644, "").is_err(), "{bad:?}");
        }
    }
}
