//! The `.ipk` and its feed, read back by programs that are not ours: GNU tar, gzip and signify.

use hearthgate_pack::ipk::{self, ipk};
use hearthgate_pack::{archive, opkg_feed, recipe, tree::Tree};
use hearthgate_usign::SecretKey;
use std::path::Path;
use std::process::Command;

const EPOCH: u64 = 1_700_000_000;

fn package() -> hearthgate_pack::package::Package {
    let files = Tree::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openwrt/hearthgate")).unwrap();
    recipe::openwrt_program(files, b"\x7fELF not really".to_vec(), "mipsel_24kc", "0.1.0").unwrap()
}

fn output(command: &mut Command) -> String {
    let out = command.output().unwrap();
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn files_that_are_compressed_once_serve_every_architecture() {
    let mut package = package();
    let data = ipk::Data::of(&package.files, EPOCH).unwrap();
    for architecture in ["mipsel_24kc", "mipsel_74kc"] {
        package.architecture = architecture.into();
        let (once, again) = (ipk::with_data(&package, EPOCH, &data).unwrap(), ipk(&package, EPOCH).unwrap());
        assert_eq!((once.file_name, once.bytes), (again.file_name, again.bytes));
        assert!(once.control.contains(&format!("Architecture: {architecture}\n")));
    }
}

#[test]
fn members_lie_as_opkg_wants_them_and_nothing_of_this_machine_is_inside() {
    let made = ipk(&package(), EPOCH).unwrap();
    assert_eq!(made.file_name, "hearthgate_0.1.0-r1_mipsel_24kc.ipk");
    assert_eq!(&made.bytes[..10], &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, made.bytes[8], 255], "gzip head: no name, no time");
    assert_eq!(made.bytes, ipk(&package(), EPOCH).unwrap().bytes, "the same bytes twice");

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.ipk");
    std::fs::write(&file, &made.bytes).unwrap();
    let list = output(Command::new("tar").arg("-tzf").arg(&file));
    assert_eq!(list, "./debian-binary\n./data.tar.gz\n./control.tar.gz\n");
    output(Command::new("tar").arg("-xzf").arg(&file).arg("-C").arg(dir.path()));
    assert_eq!(std::fs::read(dir.path().join("debian-binary")).unwrap(), b"2.0\n");

    let verbose = |name: &str| {
        output(
            Command::new("tar").args(["--utc", "--full-time", "--numeric-owner", "-tvzf"]).arg(dir.path().join(name)),
        )
    };
    let control = verbose("control.tar.gz");
    assert!(control.lines().all(|l| l.contains(" 0/0 ") && l.contains("2023-11-14 22:13:20")), "{control}");
    assert!(control.contains("-rw-r--r--") && control.contains("./control\n"), "{control}");
    for script in ["./postinst\n", "./prerm\n", "./prerm-pkg"] {
        let line = control.split_inclusive('\n').find(|l| l.contains(script)).unwrap();
        assert!(line.starts_with("-rwxr-xr-x"), "{line}");
    }
    let data = verbose("data.tar.gz");
    let line = |end: &str| data.lines().find(|l| l.ends_with(end)).unwrap_or_else(|| panic!("no {end} in {data}"));
    assert!(line("./etc/config/hearthgate").starts_with("-rw-------"));
    assert!(line("./etc/init.d/hearthgate").starts_with("-rwxr-xr-x"));
    assert!(line("./usr/sbin/hearthgate").starts_with("-rwxr-xr-x"));
    assert!(data.lines().next().unwrap().ends_with(" ./") && line("./etc/").starts_with("drwxr-xr-x"));

    let unpacked = output(Command::new("sh").current_dir(dir.path()).args(["-c", "gzip -dc data.tar.gz | wc -c"]));
    assert!(made.control.contains(&format!("Installed-Size: {}\n", unpacked.trim())));
    assert!(made.control.contains("Depends: kmod-wireguard, kmod-nft-nat, ca-bundle\n"));
}

#[test]
fn the_index_names_each_file_and_signify_takes_its_signature() {
    let made = ipk(&package(), EPOCH).unwrap();
    let index = opkg_feed::packages_index(std::slice::from_ref(&made));
    let description = index.find("Description:").unwrap();
    for field in ["Filename: hearthgate_0.1.0-r1_mipsel_24kc.ipk\n", "Size: ", "SHA256sum: "] {
        assert!(index.find(field).unwrap() < description, "{field}");
    }
    assert!(!index.contains("Maintainer") && index.ends_with("\n\n"));
    assert!(index.contains(&format!("Size: {}\n", made.bytes.len())));

    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("x.ipk"), &made.bytes).unwrap();
    let sum = output(Command::new("sha256sum").arg(at("x.ipk")));
    assert!(index.contains(&format!("SHA256sum: {}\n", sum.split(' ').next().unwrap())));
    let zipped = archive::gzip(index.as_bytes()).unwrap();
    std::fs::write(at("Packages.gz"), zipped).unwrap();
    assert_eq!(output(Command::new("gzip").arg("-dc").arg(at("Packages.gz"))), index);

    let key = SecretKey::from_seed([3; 32], *b"hearthgt").unwrap();
    std::fs::write(at("key.pub"), key.public().to_text()).unwrap();
    std::fs::write(at("Packages"), &index).unwrap();
    std::fs::write(at("Packages.sig"), key.sign(index.as_bytes())).unwrap();
    let verify = || {
        let mut command = Command::new("signify-openbsd");
        command.arg("-V").arg("-p").arg(at("key.pub")).arg("-x").arg(at("Packages.sig")).arg("-m").arg(at("Packages"));
        command.output().expect("ci/test installs signify-openbsd").status.success()
    };
    assert!(verify(), "signify refuses our signature");
    std::fs::write(at("Packages"), index.replace("mipsel", "mipsem")).unwrap();
    assert!(!verify(), "signify takes a changed index");
}
