//! The `.apk` and `packages.adb`, read by a reader that shares nothing with the writer, and by openssl.
//! The rules checked are those of apk-tools 3.0.6 (`adb.c`, `apk_adb.c`).

use hearthgate_pack::apk::{apk, index};
use hearthgate_pack::apk_key::ApkKey;
use hearthgate_pack::package::Package;
use hearthgate_pack::{recipe, tree::Tree};
use sha2::{Digest as _, Sha256, Sha512};
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

const EPOCH: u64 = 1_700_000_000;

fn package() -> Package {
    let files = Tree::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openwrt/hearthgate")).unwrap();
    let mut package = recipe::openwrt_program(files, vec![0x7f; 70_000], "aarch64_cortex-a53", "0.1.0").unwrap();
    package.files.link("usr/bin/hearthgate", "../sbin/hearthgate").unwrap();
    package.files.directory("etc/hearthgate", 0o700).unwrap();
    package
}

fn key() -> ApkKey {
    ApkKey::from_seed([5; 32]).unwrap()
}

/// A value of the reader: text, number, list or object by slot.
#[derive(Debug, Clone, PartialEq)]
enum V {
    Null,
    Int(u64),
    Blob(Vec<u8>),
    List(Vec<V>),
}

fn word(payload: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(payload[at..at + 4].try_into().unwrap())
}

fn value(payload: &[u8], v: u32) -> V {
    let at = (v & 0x0fff_ffff) as usize;
    match v >> 28 {
        0 => V::Null,
        1 => V::Int(at as u64),
        2 => {
            assert_eq!(at % 4, 0);
            V::Int(word(payload, at).into())
        }
        8 => V::Blob(payload[at + 1..at + 1 + payload[at] as usize].to_vec()),
        9 => {
            assert_eq!(at % 2, 0);
            let n = u16::from_le_bytes([payload[at], payload[at + 1]]) as usize;
            V::Blob(payload[at + 2..at + 2 + n].to_vec())
        }
        0xd | 0xe => {
            assert_eq!(at % 4, 0);
            let slots = word(payload, at) as usize;
            assert!(slots > 1, "an empty list has to be null");
            let items: Vec<V> = (1..slots).map(|i| value(payload, word(payload, at + 4 * i))).collect();
            assert_ne!(items.last(), Some(&V::Null), "trailing nulls have to be dropped");
            V::List(std::iter::once(V::Null).chain(items).collect())
        }
        other => panic!("type {other}"),
    }
}

impl V {
    fn at(&self, slot: usize) -> V {
        let V::List(items) = self else { panic!("not an object: {self:?}") };
        items.get(slot).cloned().unwrap_or(V::Null)
    }

    fn text(&self) -> String {
        match self {
            V::Null => String::new(),
            V::Blob(b) => String::from_utf8(b.clone()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn items(&self) -> Vec<V> {
        match self {
            V::Null => Vec::new(),
            V::List(items) => items[1..].to_vec(),
            other => panic!("{other:?}"),
        }
    }
}

/// Schema and blocks (kind, payload) of a file.
fn open(file: &[u8]) -> (u32, Vec<(u32, Vec<u8>)>) {
    assert_eq!(&file[..4], b"ADBd");
    let mut raw = Vec::new();
    flate2::read::DeflateDecoder::new(&file[4..]).read_to_end(&mut raw).unwrap();
    assert_eq!(&raw[..4], b"ADB.");
    let (mut at, mut blocks) = (8, Vec::new());
    while at < raw.len() {
        let head = word(&raw, at);
        let (kind, size) = (head >> 30, (head & 0x3fff_ffff) as usize);
        blocks.push((kind, raw[at + 4..at + size].to_vec()));
        let next = at + size.next_multiple_of(8);
        assert!(raw[at + size..next].iter().all(|b| *b == 0), "padding");
        at = next;
    }
    (word(&raw, 4), blocks)
}

fn root(payload: &[u8]) -> V {
    assert_eq!(&payload[..4], &[0, 0, 0, 0]);
    value(payload, word(payload, 4))
}

/// openssl on the signature of the first two blocks.
fn signature_holds(schema: u32, blocks: &[(u32, Vec<u8>)]) -> bool {
    let (adb, sig) = (&blocks[0], &blocks[1]);
    assert_eq!((adb.0, sig.0, &sig.1[..2]), (0, 1, [0u8, 4].as_slice()));
    let message = [&schema.to_le_bytes(), &sig.1[..18], Sha512::digest(&adb.1).as_slice()].concat();
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("key.pem"), key().public_pem().unwrap()).unwrap();
    std::fs::write(at("sig"), &sig.1[18..]).unwrap();
    std::fs::write(at("message"), message).unwrap();
    let mut command = Command::new("openssl");
    command.args(["dgst", "-sha512", "-verify"]).arg(at("key.pem")).arg("-signature").arg(at("sig")).arg(at("message"));
    let out = command.output().expect("ci/test installs openssl");
    // The key's id is the hash of the uncompressed point, which ends the DER of the public key.
    let der = Command::new("openssl").args(["pkey", "-pubin", "-outform", "DER", "-in"]).arg(at("key.pem")).output();
    let der = der.unwrap().stdout;
    assert_eq!(&Sha512::digest(&der[der.len() - 65..])[..16], &sig.1[2..18]);
    out.status.success()
}

#[test]
fn a_package_reads_back_whole_and_signed() {
    let made = apk(&package(), EPOCH, Some(&key())).unwrap();
    assert_eq!(made.file_name, "hearthgate-0.1.0-r1.apk");
    assert_eq!(made.bytes, apk(&package(), EPOCH, Some(&key())).unwrap().bytes, "the same bytes twice");
    let (schema, mut blocks) = open(&made.bytes);
    assert_eq!(schema, u32::from_le_bytes(*b"pckg"));
    assert!(signature_holds(schema, &blocks), "openssl refuses the signature");

    let info = root(&blocks[0].1).at(1);
    assert_eq!(info.at(1).text(), "hearthgate");
    assert_eq!(info.at(2).text(), "0.1.0-r1");
    assert_eq!(info.at(5).text(), "aarch64_cortex-a53");
    assert_eq!(info.at(11), V::Int(EPOCH));
    let needs: Vec<_> = info.at(15).items().iter().map(|d| d.at(1).text()).collect();
    assert_eq!(needs, ["ca-bundle", "kmod-nft-nat", "kmod-wireguard"], "sorted");
    assert!(root(&blocks[0].1).at(3).at(3).text().contains("default_postinst"));
    assert!(root(&blocks[0].1).at(3).at(7).text().contains("PKG_UPGRADE=1"));

    // Contents: each block names its file, in order, and the sum holds.
    let folders = root(&blocks[0].1).at(2).items();
    let names: Vec<_> = folders.iter().map(|f| f.at(1).text()).collect();
    assert!(names.is_sorted() && names.contains(&"etc/hearthgate".into()), "{names:?}");
    assert!(!names.contains(&"etc".into()), "apk makes plain directories without files by itself");
    let (mut left, mut installed) = (blocks[2..].iter(), 0);
    let mut seen = Vec::new();
    for (p, folder) in (1u32..).zip(&folders) {
        let files = folder.at(3).items();
        assert!(files.iter().map(|f| f.at(1).text()).collect::<Vec<_>>().is_sorted());
        for (f, file) in (1u32..).zip(&files) {
            seen.push(format!("{}/{}", folder.at(1).text(), file.at(1).text()));
            if file.at(1).text() == "hearthgate" && folder.at(1).text() == "usr/bin" {
                assert_eq!(file.at(6), V::Blob([&[0x00, 0xa0], b"../sbin/hearthgate".as_slice()].concat()));
                continue;
            }
            let (kind, data) = left.next().unwrap();
            assert_eq!((*kind, word(data, 0), word(data, 4)), (2, p, f));
            assert_eq!(file.at(5), V::Blob(Sha256::digest(&data[8..]).to_vec()));
            assert_eq!(file.at(3), V::Int(data.len() as u64 - 8));
            installed += data.len() as u64 - 8;
            if file.at(1).text() == "hearthgate.list" {
                let list = String::from_utf8(data[8..].to_vec()).unwrap();
                assert!(list.lines().any(|l| l == "/usr/sbin/hearthgate") && !list.contains("/lib/apk"));
            }
        }
    }
    assert!(left.next().is_none(), "a block without a file");
    assert_eq!(info.at(12), V::Int(installed));
    assert!(seen.contains(&"lib/apk/packages/hearthgate.conffiles_static".into()), "{seen:?}");

    // The unique id is the hash of the payload with zeros in its place.
    let V::Blob(id) = info.at(3) else { panic!() };
    assert_eq!(id.len(), 20);
    let at = blocks[0].1.windows(20).position(|w| w == id).unwrap();
    blocks[0].1[at..at + 20].fill(0);
    assert_eq!(&Sha256::digest(&blocks[0].1)[..20], id);
    assert!(!signature_holds(schema, &blocks), "openssl takes a changed package");
}

#[test]
fn the_index_repeats_the_packages_with_their_sizes() {
    let luci = Tree::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openwrt/luci-app-hearthgate")).unwrap();
    let luci = apk(&recipe::openwrt_luci(luci, "0.1.0"), EPOCH, Some(&key())).unwrap();
    let made = apk(&package(), EPOCH, Some(&key())).unwrap();
    let sizes = [made.bytes.len() as u64, luci.bytes.len() as u64];
    let (schema, blocks) = open(&index("hearthgate", &[luci, made], Some(&key())).unwrap());
    assert_eq!(schema, u32::from_le_bytes(*b"indx"));
    assert!(signature_holds(schema, &blocks));
    let packages = root(&blocks[0].1).at(2).items();
    assert_eq!(packages[0].at(1).text(), "hearthgate");
    assert_eq!((packages[1].at(1).text(), packages[1].at(5).text()), ("luci-app-hearthgate".into(), "noarch".into()));
    for (package, size) in packages.iter().zip(sizes) {
        assert_eq!(package.at(13), V::Int(size));
        let V::Blob(identity) = package.at(3) else { panic!() };
        assert_eq!(identity.len(), 32);
    }
}
