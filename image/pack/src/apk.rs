//! Packages and indexes for apk v3, OpenWrt from 25.12.
//! Source: `src/apk_adb.h`, `src/apk_adb.c`, `src/app_mkpkg.c`, `src/app_mkndx.c` of apk-tools 3.0.6, and
//! `include/package-pack.mk` of OpenWrt (main, August 2026) for the files below `/lib/apk/packages`.

use crate::PackError;
use crate::adb::{self, Adb, NULL, Value};
use crate::apk_key::ApkKey;
use crate::archive::deflate_smallest;
use crate::opkg_feed::hex;
use crate::package::{Package, apk_post_install, apk_pre_deinstall};
use crate::tree::{Entry, Node, Tree};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

const FILE_TYPE_LINK: u16 = 0xa000;

/// A finished `.apk`.
#[derive(Debug, Clone)]
pub struct Apk {
    /// `name-version.apk`
    pub file_name: String,
    /// The file.
    pub bytes: Vec<u8>,
    /// What it was made from, without files: the index repeats it.
    about: About,
    /// SHA-256 that names these contents.
    identity: [u8; 32],
}

#[derive(Debug, Clone)]
struct About {
    package: Package,
    epoch: u64,
    installed_size: u64,
}

/// Makes the package; without a key, users must say `--allow-untrusted`.
pub fn apk(package: &Package, epoch: u64, key: Option<&ApkKey>) -> Result<Apk, PackError> {
    package.check()?;
    let files = with_lists(package)?;
    let installed_size = files.iter().map(|(_, e)| size(e)).sum();
    let about = About { package: Package { files: Tree::new(), ..package.clone() }, epoch, installed_size };

    let mut out = Adb::new();
    let id = out.blob(&[0; 20])?;
    let info = info(&mut out, &about, id, None)?;
    let folders = folders(&files);
    let paths = paths(&mut out, &files, &folders, epoch)?;
    let scripts = scripts(&mut out, package)?;
    let root = out.object(&[info, paths, scripts])?;
    let mut payload = out.finish(root);
    let identity: [u8; 32] = Sha256::digest(&payload).into();
    for (to, from) in payload.iter_mut().skip(adb::blob_start(id)).zip(identity.iter().take(20)) {
        *to = *from;
    }

    let mut blocks = Vec::new();
    blocks_with_signature(&mut blocks, adb::SCHEMA_PACKAGE, &payload, key)?;
    for (path_index, (folder, names)) in (1u32..).zip(&folders) {
        for (file_index, name) in (1u32..).zip(names) {
            if let Some(Entry { node: Node::File(contents), .. }) = files.get(&join(folder, name)) {
                if !contents.is_empty() {
                    let (path, file) = (path_index.to_le_bytes(), file_index.to_le_bytes());
                    adb::push_block(&mut blocks, adb::BLOCK_DATA, &[&path, &file, contents])?;
                }
            }
        }
    }
    let file_name = format!("{}-{}.apk", package.name, package.full_version());
    Ok(Apk { file_name, bytes: container(&blocks)?, about, identity })
}

/// The index of a feed, `packages.adb`.
pub fn index(description: &str, packages: &[Apk], key: Option<&ApkKey>) -> Result<Vec<u8>, PackError> {
    let mut sorted: Vec<&Apk> = packages.iter().collect();
    sorted.sort_by(|a, b| a.about.package.name.cmp(&b.about.package.name));
    let mut out = Adb::new();
    let mut entries = Vec::new();
    for apk in sorted {
        let id = out.blob(&apk.identity)?;
        entries.push(info(&mut out, &apk.about, id, Some(apk.bytes.len() as u64))?);
    }
    let description = out.blob(description.as_bytes())?;
    let entries = out.array(&entries)?;
    let root = out.object(&[description, entries])?;
    let payload = out.finish(root);
    let mut blocks = Vec::new();
    blocks_with_signature(&mut blocks, adb::SCHEMA_INDEX, &payload, key)?;
    container(&blocks)
}

/// Schema, the structured data, its signature. Blocks are aligned from the start of the file, whose first eight bytes
/// are `ADB.` and the schema: a multiple of eight, so it is enough to align within this buffer.
fn blocks_with_signature(
    out: &mut Vec<u8>,
    schema: u32,
    payload: &[u8],
    key: Option<&ApkKey>,
) -> Result<(), PackError> {
    out.extend_from_slice(b"ADB.");
    out.extend_from_slice(&schema.to_le_bytes());
    adb::push_block(out, adb::BLOCK_ADB, &[payload])?;
    if let Some(key) = key {
        adb::push_block(out, adb::BLOCK_SIG, &[&key.sign(schema, payload)?])?;
    }
    Ok(())
}

/// `ADBd` and a raw deflate stream: OpenWrt's apk is built without zstd.
fn container(blocks: &[u8]) -> Result<Vec<u8>, PackError> {
    Ok([b"ADBd".as_slice(), &deflate_smallest(blocks)?].concat())
}

/// The package's files and the lists OpenWrt's scripts read.
fn with_lists(package: &Package) -> Result<Tree, PackError> {
    let mut files = package.files.clone();
    let at = |kind: &str| format!("lib/apk/packages/{}.{kind}", package.name);
    let list: String = package.files.file_list().iter().map(|path| format!("{path}\n")).collect();
    files.file(&at("list"), 0o644, list)?;
    if !package.conffiles.is_empty() {
        let lines = package.conffile_lines();
        let mut sums = String::new();
        for path in lines.lines() {
            if let Some(Entry { node: Node::File(contents), .. }) = package.files.get(path.trim_start_matches('/')) {
                sums.push_str(&format!("{path} {}\n", hex(&Sha256::digest(contents))));
            }
        }
        files.file(&at("conffiles"), 0o644, lines)?;
        files.file(&at("conffiles_static"), 0o644, sums)?;
    }
    Ok(files)
}

fn info(out: &mut Adb, about: &About, id: Value, file_size: Option<u64>) -> Result<Value, PackError> {
    let package = &about.package;
    let name = out.blob(package.name.as_bytes())?;
    let version = out.blob(package.full_version().as_bytes())?;
    let description = out.blob(package.description.as_bytes())?;
    let architecture = if package.architecture == "all" { "noarch" } else { &package.architecture };
    let architecture = out.blob(architecture.as_bytes())?;
    let license = out.blob(package.license.as_bytes())?;
    let origin = out.blob(package.name.as_bytes())?;
    let maintainer = out.blob(package.maintainer.as_bytes())?;
    let url = out.blob(package.url.as_bytes())?;
    let built = out.int(about.epoch)?;
    let installed = out.int(about.installed_size)?;
    let file_size = file_size.map_or(Ok(NULL), |n| out.int(n))?;
    let mut sorted = package.depends.clone();
    sorted.sort();
    let mut depends = Vec::new();
    for need in sorted {
        let need = out.blob(need.as_bytes())?;
        depends.push(out.object(&[need])?);
    }
    let depends = out.array(&depends)?;
    let commit = NULL;
    let priority = NULL;
    let fields = [
        name,
        version,
        id,
        description,
        architecture,
        license,
        origin,
        maintainer,
        url,
        commit,
        built,
        installed,
        file_size,
        priority,
        depends,
    ];
    out.object(&fields)
}

/// Directories to list, with the files in each: all that hold files, all that are empty, and those whose mode is not
/// the usual one. apk makes the others by itself.
fn folders(files: &Tree) -> BTreeMap<String, Vec<String>> {
    let mut folders: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, entry) in files.iter() {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        if entry.node != Node::Directory {
            folders.entry(folder.into()).or_default().push(name.into());
        } else {
            let inside = format!("{path}/");
            let leaf = !files.iter().any(|(other, _)| other.starts_with(&inside));
            if leaf || entry.mode != 0o755 {
                folders.entry(path.into()).or_default();
            }
        }
    }
    folders
}

fn paths(out: &mut Adb, files: &Tree, folders: &BTreeMap<String, Vec<String>>, epoch: u64) -> Result<Value, PackError> {
    let mut directories = Vec::new();
    for (folder, names) in folders {
        let mut items = Vec::new();
        for name in names {
            if let Some(entry) = files.get(&join(folder, name)) {
                items.push(file(out, name, entry, epoch)?);
            }
        }
        let name = out.blob(folder.as_bytes())?;
        let acl = acl(out, files.get(folder).map_or(0o755, |e| e.mode))?;
        let items = out.array(&items)?;
        directories.push(out.object(&[name, acl, items])?);
    }
    out.array(&directories)
}

fn file(out: &mut Adb, name: &str, entry: &Entry, epoch: u64) -> Result<Value, PackError> {
    let name = out.blob(name.as_bytes())?;
    let acl = acl(out, entry.mode)?;
    let time = out.int(epoch)?;
    match &entry.node {
        Node::Link(to) => {
            let target = out.blob(&[&FILE_TYPE_LINK.to_le_bytes(), to.as_bytes()].concat())?;
            out.object(&[name, acl, NULL, time, NULL, target])
        }
        Node::File(contents) => {
            let size = out.int(contents.len() as u64)?;
            let sum = out.blob(&Sha256::digest(contents))?;
            out.object(&[name, acl, size, time, sum])
        }
        Node::Directory => Ok(NULL),
    }
}

fn acl(out: &mut Adb, mode: u32) -> Result<Value, PackError> {
    let mode = out.int(mode.into())?;
    let user = out.blob(b"root")?;
    let group = out.blob(b"root")?;
    out.object(&[mode, user, group])
}

fn scripts(out: &mut Adb, package: &Package) -> Result<Value, PackError> {
    let install = out.blob(apk_post_install(package, false).as_bytes())?;
    let remove = out.blob(apk_pre_deinstall(package).as_bytes())?;
    let upgrade = out.blob(apk_post_install(package, true).as_bytes())?;
    out.object(&[NULL, NULL, install, remove, NULL, NULL, upgrade])
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.into() } else { format!("{folder}/{name}") }
}

fn size(entry: &Entry) -> u64 {
    match &entry.node {
        Node::File(contents) => contents.len() as u64,
        _ => 0,
    }
}
