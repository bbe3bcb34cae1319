//! The index of an opkg feed. Source: `scripts/ipkg-make-index.sh` of OpenWrt 24.10 and the published feeds.

use crate::ipk::Ipk;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// Fields that published feeds leave out of the index: nobody decides by them and every router downloads them.
const LEFT_OUT: [&str; 2] = ["Maintainer", "SourceDateEpoch"];

/// The text of `Packages`, sorted by file name. `Packages.gz` is its gzip, `Packages.sig` is over this text.
pub fn packages_index(packages: &[Ipk]) -> String {
    let mut sorted: Vec<&Ipk> = packages.iter().collect();
    sorted.sort_by(|a, b| a.file_name.cmp(&b.file_name));
    let mut text = String::new();
    for ipk in sorted {
        for line in ipk.control.lines() {
            let name = line.split(':').next().unwrap_or_default();
            if name == "Description" {
                let sum = hex(&Sha256::digest(&ipk.bytes));
                // Writing to a string cannot fail.
                let _ = writeln!(text, "Filename: {}\nSize: {}\nSHA256sum: {sum}", ipk.file_name, ipk.bytes.len());
            }
            if !LEFT_OUT.contains(&name) {
                text.push_str(line);
                text.push('\n');
            }
        }
        text.push('\n');
    }
    text
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
