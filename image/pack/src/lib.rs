//! Writers of everything people install: OpenWrt packages and feeds (opkg and apk), Debian packages, tarballs and the
//! pieces of disk images. Pure: trees of files in, bytes out; the same input gives the same bytes on every machine.
//!
//! | module | what it writes |
//! |---|---|
//! | [`tree`] | nothing: the files all writers start from |
//! | [`archive`] | tar, gzip, ar, cpio |
//! | [`package`] | nothing: what a package says about itself, and its scripts |
//! | [`ipk`], [`opkg_feed`] | OpenWrt up to 24.10 |
//! | [`adb`], [`apk`], [`apk_key`] | OpenWrt from 25.12 |
//! | [`deb`] | Debian and its kin |
//! | [`targets`] | nothing: what is packed for which machine |
//! | [`mbr`] | partition table of images |
//! | [`cuts`] | nothing: what power cuts leave of an image |

pub mod adb;
pub mod apk;
pub mod apk_key;
pub mod archive;
pub mod cuts;
pub mod deb;
pub mod ipk;
pub mod mbr;
pub mod opkg_feed;
pub mod package;
pub mod recipe;
pub mod targets;
pub mod tree;

/// Why something could not be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A path that is absolute, climbs, is too long for tar, or has bytes that package managers' lists cannot hold.
    #[error("path not allowed in a package: {0:?}")]
    Path(String),
    /// A name, version or other field that the format cannot hold.
    #[error("{field} is not allowed in a package: {value:?}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What it held.
        value: String,
    },
    /// A conffile that the package does not contain.
    #[error("configuration file {0:?} is not in the package")]
    NoSuchConffile(String),
    /// Bigger than the format's length fields.
    #[error("{0} is too big for the format")]
    TooBig(&'static str),
    /// A key file that is none.
    #[error("{0}")]
    Key(String),
    /// A target file that is not as expected.
    #[error("targets/{name}.toml: {what}")]
    Target {
        /// Its name without the ending.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// Partitions that overlap, run over the disk or are too many.
    #[error("partition {0} does not fit")]
    Partition(usize),
    /// A log of writes that cannot be read, or that leads to a disk that does not start.
    #[error("{0}")]
    Log(String),
    /// Reading the inputs or writing the results.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: String,
        /// What happened.
        source: std::io::Error,
    },
    /// A writer into memory failed, which means an archive member was refused.
    #[error("archive: {0}")]
    Archive(#[from] std::io::Error),
}
