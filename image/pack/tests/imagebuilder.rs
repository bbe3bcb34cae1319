//! The recipe for OpenWrt's ImageBuilder, with a STAND-IN for it: a Makefile that notes what it was told and makes a
//! file of a given size. The real one is no part of any package registry.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new(architecture: &str, apk: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let kind = if apk { "apk" } else { "opkg" };
        let feed = at("feed").join(kind).join(architecture);
        std::fs::create_dir_all(&feed).unwrap();
        std::fs::create_dir_all(at("builder")).unwrap();
        for name in ["hearthgate", "luci-app-hearthgate"] {
            let file = if apk { format!("{name}-0.1.0-r1.apk") } else { format!("{name}_0.1.0-r1_{architecture}.ipk") };
            std::fs::write(feed.join(file), name).unwrap();
        }
        std::fs::write(feed.join("Packages"), "not a package").unwrap();
        let config =
            format!("CONFIG_TARGET_ARCH_PACKAGES=\"{architecture}\"\n{}", if apk { "CONFIG_USE_APK=y\n" } else { "" });
        std::fs::write(at("builder/.config"), config).unwrap();
        let makefile = "image:\n\t@echo '$(PROFILE)|$(PACKAGES)|$(ROOTFS_PARTSIZE)|$(ADD_LOCAL_KEY)' > told\n\
            \t@truncate -s $$(cat size) $(BIN_DIR)/openwrt-$(EXTRA_IMAGE_NAME)-squashfs-sysupgrade.bin\n";
        std::fs::write(at("builder/Makefile"), makefile).unwrap();
        Self { dir }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, size: u32, arguments: &[&str]) -> Output {
        std::fs::write(self.at("builder/size"), size.to_string()).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openwrt/imagebuilder");
        let mut command = Command::new("bash");
        command.arg(script).args(
            ["--builder", "--feed", "--out"]
                .iter()
                .zip(["builder", "feed", "out"])
                .flat_map(|(flag, name)| [(*flag).to_owned(), self.at(name).display().to_string()]),
        );
        command.args(arguments).output().unwrap()
    }
}

#[test]
fn the_builder_gets_our_packages_and_what_does_not_fit_is_refused() {
    let place = Place::new("mipsel_24kc", false);
    let done = place.run(9_000_000, &["--device", "gl-mt300n-v2"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(said.contains("9000000 bytes, 7449536 left"), "{said}");
    let told = std::fs::read_to_string(place.at("builder/told")).unwrap();
    assert!(told.starts_with("glinet_gl-mt300n-v2|hearthgate luci-light luci-app-hearthgate -ppp "), "{told}");
    let mut copied: Vec<_> =
        std::fs::read_dir(place.at("builder/packages")).unwrap().map(|f| f.unwrap().file_name()).collect();
    copied.sort();
    assert_eq!(copied, ["hearthgate_0.1.0-r1_mipsel_24kc.ipk", "luci-app-hearthgate_0.1.0-r1_mipsel_24kc.ipk"]);

    let full = place.run(16_000_000, &["--device", "gl-mt300n-v2"]);
    assert!(!full.status.success() && String::from_utf8_lossy(&full.stderr).contains("too little is left"));
    let without = place.run(9_000_000, &["--device", "gl-mt300n-v2", "--without-luci"]);
    assert!(without.status.success());
    assert!(
        std::fs::read_to_string(place.at("builder/told")).unwrap().starts_with("glinet_gl-mt300n-v2|hearthgate -ppp")
    );
    let other = place.run(9_000_000, &["--device", "rpi-4"]);
    assert!(String::from_utf8_lossy(&other.stderr).contains("needs bcm27xx/bcm2711"));
}

#[test]
fn a_release_with_apk_gets_apk_packages() {
    let place = Place::new("x86_64", true);
    let done = place.run(90_000_000, &["--device", "x86-64"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(
        std::fs::read_to_string(place.at("builder/told")).unwrap(),
        "generic|hearthgate luci-light luci-app-hearthgate|256|1\n"
    );
    assert!(place.at("builder/packages/hearthgate-0.1.0-r1.apk").exists());
}

#[test]
fn what_fits_is_what_the_packages_take_in_a_squashfs() {
    let dir = tempfile::tempdir().unwrap();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openwrt");
    // Nothing compresses this program, so that its size is known.
    let mut state = 1u32;
    let program: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(60_000)
    .collect();
    let targets = hearthgate_pack::targets::read(&sources.join("../targets")).unwrap();
    for architecture in targets.iter().flat_map(|target| &target.openwrt) {
        let files = hearthgate_pack::tree::Tree::read(&sources.join("hearthgate")).unwrap();
        let package = hearthgate_pack::recipe::openwrt_program(files, program.clone(), architecture, "0.1.0").unwrap();
        let luci = hearthgate_pack::tree::Tree::read(&sources.join("luci-app-hearthgate")).unwrap();
        let luci = hearthgate_pack::recipe::openwrt_luci(luci, "0.1.0");
        let feed = dir.path().join("opkg").join(architecture);
        std::fs::create_dir_all(&feed).unwrap();
        for package in [package, luci] {
            let ipk = hearthgate_pack::ipk::ipk(&package, 1).unwrap();
            std::fs::write(feed.join(ipk.file_name), ipk.bytes).unwrap();
        }
    }
    let done = Command::new("bash")
        .arg(sources.join("imagebuilder"))
        .args(["fits", "--feed", dir.path().to_str().unwrap()])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = String::from_utf8(done.stdout).unwrap();
    let said = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().skip(1).map(|word| word.parse().unwrap()).collect::<Vec<u64>>()
    };
    let [flash, ours, left] = said("gl-mt300n-v2 ").try_into().unwrap();
    assert_eq!(flash, 16_064 * 1024);
    assert!((60_000..90_000).contains(&ours), "{ours}");
    assert_eq!(left, flash - ours);
    // Without the pages of LuCI it is less.
    let [_, without, _] = said("mi-4a-gigabit ").try_into().unwrap();
    assert!(without < ours, "{without} of {ours}");
}
