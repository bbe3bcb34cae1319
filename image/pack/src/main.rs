//! `hearthgate-pack`: makes packages, feeds and the pieces of images. `ci/dist` calls it; see [`HELP`].

use hearthgate_pack::apk_key::ApkKey;
use hearthgate_pack::mbr::{Partition, mbr};
use hearthgate_pack::targets::{self, Target};
use hearthgate_pack::tree::Tree;
use hearthgate_pack::{PackError, apk, archive, cuts, deb, ipk, opkg_feed, recipe};
use hearthgate_slots::{Feed, FeedFile, Header, Record, Slot};
use hearthgate_usign::{PublicKey, SecretKey};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "hearthgate-pack COMMAND [--OPTION VALUE]...
  architectures [--targets DIR]            OpenWrt's names and the target of each, a line each
  targets [--targets DIR]                  each target, Debian's name, the image's (- for none); DIR: targets
  keys --out DIR                           makes a pair of keys for packages, unless they are there
  openwrt --arch A,... --version V --epoch SECONDS --files openwrt --binary FILE --keys DIR --out DIR
                                           the feeds opkg/A and apk/A of each architecture
  deb --arch A --version V --epoch SECONDS --files DIR --binary FILE --keys DIR --out DIR
  tarball --name N --epoch SECONDS --files DIR --out FILE
  initramfs --epoch SECONDS --files DIR --out FILE      an uncompressed cpio
  mbr --id HEX --sectors N --parts START:LENGTH:TYPE,... --out FILE
  upgrade --target T --version V --epoch SECONDS --files FILESYSTEM --keys DIR --out FILE    a signed upgrade
  record --epoch SECONDS --files FILESYSTEM --out FILE   sectors 64 to 79 of a new image: what slot A holds
  cuts --disk IMAGE --log FILE             cuts the power after each write of a log of QEMU's blklogwrites
  feed --version V --epoch SECONDS --keys DIR --root DIR --files KIND=NAME,... --out FILE
                                           the signed list of a version's files, which lie under the root
  sign --keys DIR --file FILE              writes FILE.sig
  verify --key FILE --file FILE            checks FILE.sig";

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hearthgate-pack: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Options(HashMap<String, String>);

impl Options {
    fn get(&self, name: &str) -> Result<&str, Failure> {
        self.0.get(name).map(String::as_str).ok_or_else(|| format!("--{name} is missing\n{HELP}").into())
    }

    fn path(&self, name: &str) -> Result<PathBuf, Failure> {
        Ok(PathBuf::from(self.get(name)?))
    }

    fn targets(&self) -> Result<Vec<Target>, Failure> {
        Ok(targets::read(Path::new(self.0.get("targets").map_or("targets", String::as_str)))?)
    }

    fn number(&self, name: &str) -> Result<u64, Failure> {
        Ok(self.get(name)?.parse().map_err(|e| format!("--{name}: {e}"))?)
    }
}

fn run() -> Result<(), Failure> {
    let mut args = lexopt::Parser::from_env();
    let mut command = String::new();
    let mut options = Options(HashMap::new());
    while let Some(arg) = args.next()? {
        match arg {
            lexopt::Arg::Value(value) if command.is_empty() => command = value.to_string_lossy().into_owned(),
            lexopt::Arg::Long("help") => command = "help".into(),
            lexopt::Arg::Long(name) => {
                let name = name.to_owned();
                let value = args.value()?.to_string_lossy().into_owned();
                options.0.insert(name, value);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    match command.as_str() {
        "architectures" => {
            for target in options.targets()? {
                target.openwrt.iter().for_each(|name| println!("{name} {}", target.name));
            }
            Ok(())
        }
        "targets" => {
            let or_none = |name: String| if name.is_empty() { "-".to_owned() } else { name };
            for target in options.targets()? {
                println!("{} {} {}", target.name, or_none(target.debian), or_none(target.image));
            }
            Ok(())
        }
        "keys" => keys(&options.path("out")?),
        "openwrt" => openwrt(&options),
        "deb" => debian(&options),
        "tarball" => {
            let mut tree = Tree::new();
            for (path, entry) in Tree::read(&options.path("files")?)?.iter() {
                let path = format!("{}/{path}", options.get("name")?);
                match &entry.node {
                    hearthgate_pack::tree::Node::Directory => tree.directory(&path, entry.mode)?,
                    hearthgate_pack::tree::Node::File(c) => tree.file(&path, entry.mode, c.clone())?,
                    hearthgate_pack::tree::Node::Link(to) => tree.link(&path, to)?,
                }
            }
            let bytes = archive::gzip(&archive::tar(&tree, options.number("epoch")?)?)?;
            write(&options.path("out")?, &bytes)
        }
        "initramfs" => {
            let epoch = u32::try_from(options.number("epoch")?)?;
            write(&options.path("out")?, &archive::cpio(&Tree::read(&options.path("files")?)?, epoch)?)
        }
        "mbr" => {
            let id = u32::from_str_radix(options.get("id")?, 16)?;
            let parts: Result<Vec<_>, _> = options.get("parts")?.split(',').map(partition).collect();
            write(&options.path("out")?, &mbr(id, u32::try_from(options.number("sectors")?)?, &parts?)?)
        }
        "upgrade" => upgrade(&options),
        "record" => {
            let system = read(&options.path("files")?)?;
            let slot = Slot {
                length: system.len() as u64,
                sha256: Sha256::digest(&system).into(),
                built: options.number("epoch")?,
            };
            let record = Record::new(slot);
            let mut sectors = vec![0; 16 * 512];
            // Sequence 1 belongs into the first copy; the second is empty until the first upgrade.
            sectors.splice(..512, record.encode());
            write(&options.path("out")?, &sectors)
        }
        "cuts" => cut_power(&options),
        "feed" => feed(&options),
        "sign" => {
            let file = options.path("file")?;
            let (usign, _) = read_keys(&options.path("keys")?)?;
            write(&beside(&file, "sig"), usign.sign(&read(&file)?).as_bytes())
        }
        "verify" => {
            let file = options.path("file")?;
            let key = PublicKey::parse(&text(&options.path("key")?)?)?;
            key.verify(&text(&beside(&file, "sig"))?, &read(&file)?)?;
            println!("signed by {}", key.fingerprint());
            Ok(())
        }
        "help" => {
            println!("{HELP}");
            Ok(())
        }
        other => Err(format!("no command {other:?}\n{HELP}").into()),
    }
}

/// Finds the slots in the image's partition table, then cuts everywhere.
fn cut_power(options: &Options) -> Result<(), Failure> {
    let (mut disk, log) = (read(&options.path("disk")?)?, cuts::read_log(&read(&options.path("log")?)?)?);
    let entry = |number: usize| {
        let at = 446 + 16 * (number - 1);
        let word = |at: usize| Some(u64::from(u32::from_le_bytes(disk.get(at..at + 4)?.try_into().ok()?)) * 512);
        Some((word(at + 8)?, word(at + 12)?))
    };
    let layout =
        entry(2).zip(entry(3)).map(|(a, b)| cuts::Layout { a, b }).ok_or("the image has no partition table")?;
    let tally = cuts::cut_everywhere(&mut disk, &log, layout)?;
    println!("{} writes, {} disks tried: {} start slot A, {} slot B", log.len(), tally.disks, tally.a, tally.b);
    Ok(())
}

/// `START:LENGTH:TYPE`, sectors and a type byte in hexadecimal.
fn partition(text: &str) -> Result<Partition, Failure> {
    let fields: Vec<&str> = text.split(':').collect();
    let [start, length, kind] = fields.as_slice() else { return Err(format!("not a partition: {text}").into()) };
    Ok(Partition { start: start.parse()?, length: length.parse()?, kind: u8::from_str_radix(kind, 16)? })
}

fn keys(folder: &Path) -> Result<(), Failure> {
    let (usign, apk) = (folder.join("feed.sec"), folder.join("apk.key.pem"));
    if usign.exists() && apk.exists() {
        return Ok(());
    }
    let mut random = [0; 72];
    getrandom::fill(&mut random).map_err(|e| e.to_string())?;
    let (usign_seed, rest) = random.split_at(32);
    let (id, apk_seed) = rest.split_at(8);
    let secret = SecretKey::from_seed(usign_seed.try_into()?, id.try_into()?)?;
    let apk_key = ApkKey::from_seed(apk_seed.try_into()?)?;
    write_secret(&usign, &secret.to_text())?;
    write_secret(&apk, &apk_key.to_pem()?)?;
    write(&folder.join("feed.pub"), secret.public().to_text().as_bytes())?;
    write(&folder.join("apk.pem"), apk_key.public_pem()?.as_bytes())?;
    println!("made the keys {} in {}", secret.public().fingerprint(), folder.display());
    Ok(())
}

fn read_keys(folder: &Path) -> Result<(SecretKey, ApkKey), Failure> {
    let usign = SecretKey::parse(&text(&folder.join("feed.sec"))?)?;
    Ok((usign, ApkKey::from_pem(&text(&folder.join("apk.key.pem"))?)?))
}

fn openwrt(options: &Options) -> Result<(), Failure> {
    let (version, epoch, names) = (options.get("version")?, options.number("epoch")?, options.get("arch")?);
    let (from, out) = (options.path("files")?, options.path("out")?);
    let (usign, key) = read_keys(&options.path("keys")?)?;
    let (files, binary) = (Tree::read(&from.join("hearthgate"))?, read(&options.path("binary")?)?);
    let luci = recipe::openwrt_luci(Tree::read(&from.join("luci-app-hearthgate"))?, version);
    let (luci_ipk, luci_apk) = (ipk::ipk(&luci, epoch)?, apk::apk(&luci, epoch, Some(&key))?);
    // What differs between the names is a word in the package's description, and for apk in what is compressed.
    let mut data: Option<ipk::Data> = None;
    for arch in names.split(',') {
        let mut program = recipe::openwrt_program(files.clone(), binary.clone(), arch, version)?;
        recipe::trust(&mut program.files, &usign.public())?;
        let packed = match &data {
            Some(packed) => packed,
            None => data.insert(ipk::Data::of(&program.files, epoch)?),
        };
        let packages = [ipk::with_data(&program, epoch, packed)?, luci_ipk.clone()];
        write_opkg_feed(&out.join("opkg").join(arch), &packages, &usign)?;
        let packages = [apk::apk(&program, epoch, Some(&key))?, luci_apk.clone()];
        write_apk_feed(&out.join("apk").join(arch), &packages, &key)?;
    }
    Ok(())
}

fn write_opkg_feed(folder: &Path, packages: &[ipk::Ipk], usign: &SecretKey) -> Result<(), Failure> {
    for package in packages {
        write(&folder.join(&package.file_name), &package.bytes)?;
    }
    let index = opkg_feed::packages_index(packages);
    write(&folder.join("Packages"), index.as_bytes())?;
    write(&folder.join("Packages.gz"), &archive::gzip(index.as_bytes())?)?;
    write(&folder.join("Packages.sig"), usign.sign(index.as_bytes()).as_bytes())?;
    write(&folder.join("hearthgate.pub"), usign.public().to_text().as_bytes())
}

fn write_apk_feed(folder: &Path, packages: &[apk::Apk], key: &ApkKey) -> Result<(), Failure> {
    for package in packages {
        write(&folder.join(&package.file_name), &package.bytes)?;
    }
    write(&folder.join("packages.adb"), &apk::index("hearthgate", packages, Some(key))?)?;
    write(&folder.join("hearthgate.pem"), key.public_pem()?.as_bytes())
}

fn upgrade(options: &Options) -> Result<(), Failure> {
    let system = read(&options.path("files")?)?;
    let (key, _) = read_keys(&options.path("keys")?)?;
    let (target, version) = (options.get("target")?, options.get("version")?);
    let head = Header::make(&system, options.number("epoch")?, target, version, &key)
        .ok_or("the target or the version is too long")?;
    write(&options.path("out")?, &[head.as_slice(), &system].concat())
}

fn feed(options: &Options) -> Result<(), Failure> {
    let (key, _) = read_keys(&options.path("keys")?)?;
    let root = options.path("root")?;
    let file = |text: &str| -> Result<FeedFile, Failure> {
        let (kind, name) = text.split_once('=').ok_or_else(|| format!("not KIND=NAME: {text}"))?;
        let bytes = read(&root.join(name))?;
        let sha256 = Sha256::digest(&bytes).into();
        Ok(FeedFile { kind: kind.into(), name: name.into(), length: bytes.len() as u64, sha256 })
    };
    let files: Result<Vec<_>, _> = options.get("files")?.split(',').map(file).collect();
    let feed = Feed { version: options.get("version")?.into(), made: options.number("epoch")?, files: files? };
    let text = feed.sign(&key).ok_or("a feed cannot say this: too many files, or a name that is more than a name")?;
    write(&options.path("out")?, text.as_bytes())
}

fn debian(options: &Options) -> Result<(), Failure> {
    let files = Tree::read(&options.path("files")?)?;
    let binary = read(&options.path("binary")?)?;
    let mut package = recipe::debian(files, binary, options.get("arch")?, options.get("version")?)?;
    recipe::trust(&mut package.files, &read_keys(&options.path("keys")?)?.0.public())?;
    let (name, bytes) = deb::deb(&package, &recipe::debian_parts(), options.number("epoch")?)?;
    write(&options.path("out")?.join(name), &bytes)
}

fn beside(file: &Path, extension: &str) -> PathBuf {
    PathBuf::from(format!("{}.{extension}", file.display()))
}

fn file_error(path: &Path) -> impl FnOnce(std::io::Error) -> PackError {
    let path = path.display().to_string();
    |source| PackError::File { path, source }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    Ok(std::fs::read(path).map_err(file_error(path))?)
}

fn text(path: &Path) -> Result<String, Failure> {
    Ok(std::fs::read_to_string(path).map_err(file_error(path))?)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(file_error(folder))?;
    }
    Ok(std::fs::write(path, bytes).map_err(file_error(path))?)
}

fn write_secret(path: &Path, text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(file_error(folder))?;
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(file_error(path))?;
    Ok(file.write_all(text.as_bytes()).map_err(file_error(path))?)
}
