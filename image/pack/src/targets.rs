//! What the target files (`targets/*.toml`, table `[packages]`) say of packages and images: the one place where names of
//! architectures stand. `ci/dist` asks for them by `hearthgate-pack architectures` and `hearthgate-pack targets`.

use crate::PackError;
use std::path::Path;
use toml::{Table, Value};

/// What is packed of one target. Empty: nothing of that kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Name of the file: the program is `dist/NAME/hearthgate`.
    pub name: String,
    /// Names of the architectures of OpenWrt that the program runs on. It is static and uses no instruction beyond its
    /// target's base line, so one program serves several names.
    pub openwrt: Vec<String>,
    /// Debian's name.
    pub debian: String,
    /// Name of the disk image.
    pub image: String,
}

/// The targets of a folder, by name.
///
/// # Errors
/// A file that cannot be read, says something else than expected, or claims a name that another one has.
pub fn read(folder: &Path) -> Result<Vec<Target>, PackError> {
    let broken = |source| PackError::File { path: folder.display().to_string(), source };
    let mut targets = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(broken)? {
        let path = entry.map_err(broken)?.path();
        if path.extension().is_none_or(|e| e != "toml") {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path)
            .map_err(|source| PackError::File { path: path.display().to_string(), source })?;
        targets.push(parse(name, &text)?);
    }
    targets.sort_by(|a, b| a.name.cmp(&b.name));
    unique(&targets)?;
    Ok(targets)
}

fn parse(name: String, text: &str) -> Result<Target, PackError> {
    let wrong = |what: &str| PackError::Target { name: name.clone(), what: what.into() };
    let file: Table = text.parse().map_err(|e: toml::de::Error| wrong(e.message()))?;
    let packages = file.get("packages").and_then(Value::as_table).ok_or_else(|| wrong("no [packages]"))?;
    let word = |key: &str| {
        let word = packages.get(key).and_then(Value::as_str).ok_or_else(|| wrong(&format!("{key} is no text")))?;
        is_name(word).then(|| word.to_owned()).ok_or_else(|| wrong(&format!("{key} is no name: {word:?}")))
    };
    let list = packages.get("openwrt").and_then(Value::as_array).ok_or_else(|| wrong("openwrt is no list"))?;
    let openwrt: Option<Vec<String>> =
        list.iter().map(|v| v.as_str().filter(|w| !w.is_empty() && is_name(w)).map(str::to_owned)).collect();
    Ok(Target {
        openwrt: openwrt.ok_or_else(|| wrong("openwrt holds something that is no name"))?,
        debian: word("debian")?,
        image: word("image")?,
        name,
    })
}

/// What may stand in a file name and in a shell's `for`; nothing at all is allowed.
fn is_name(word: &str) -> bool {
    word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)) && !word.starts_with('-')
}

/// Two programs under one name would overwrite each other's packages.
fn unique(targets: &[Target]) -> Result<(), PackError> {
    let mut names: Vec<(&str, &str)> = Vec::new();
    for target in targets {
        let openwrt = target.openwrt.iter().map(|name| ("openwrt", name.as_str()));
        for (kind, name) in openwrt.chain([("debian", target.debian.as_str()), ("image", target.image.as_str())]) {
            if name.is_empty() {
                continue;
            }
            if names.contains(&(kind, name)) {
                let what = format!("{kind} {name} is that of another target too");
                return Err(PackError::Target { name: target.name.clone(), what });
            }
            names.push((kind, name));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../targets")
    }

    /// Whoever asks cargo for a package by these names gets what the machine in question calls itself.
    #[test]
    fn the_files_of_the_repository_name_machines_as_these_machines_do() {
        let targets = read(&folder()).unwrap();
        let by = |name: &str| targets.iter().find(|t| t.name == name).unwrap();
        let names: Vec<&str> = targets.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["aarch64", "armv7", "mips", "mipsel", "x86_64"]);
        assert_eq!((by("aarch64").debian.as_str(), by("aarch64").image.as_str()), ("arm64", "arm64"));
        assert_eq!((by("armv7").debian.as_str(), by("armv7").image.as_str()), ("armhf", "armv7"));
        assert_eq!((by("x86_64").debian.as_str(), by("x86_64").image.as_str()), ("amd64", ""));
        assert!(by("mips").debian.is_empty() && by("mips").openwrt.contains(&"mips_24kc".into()));
        assert!(by("mipsel").openwrt.contains(&"mipsel_24kc".into()));
        // The program of a target runs where its processor's name leads to believe.
        let begins = [("aarch64", "aarch64_"), ("armv7", "arm_"), ("mips", "mips_"), ("mipsel", "mipsel_")];
        for (target, begin) in begins {
            for name in &by(target).openwrt {
                assert!(name.starts_with(begin), "{name} in {target}.toml");
            }
        }
    }

    /// What the program says of itself at run time comes from the same files.
    #[test]
    fn this_machine_is_one_of_them_under_the_same_names() {
        let name = hearthgate_limits::TARGET;
        // A desk with another processor has none.
        let Some(here) = read(&folder()).unwrap().into_iter().find(|t| t.name == name) else {
            return assert_eq!((name, hearthgate_limits::DEBIAN), ("", ""));
        };
        assert_eq!(here.debian, hearthgate_limits::DEBIAN);
        assert!(name.starts_with(std::env::consts::ARCH), "{name}");
    }

    #[test]
    fn mistakes_are_named() {
        let said = |text: &str| parse("x".into(), text).unwrap_err().to_string();
        let good = "[packages]\nopenwrt = [\"a_b-1\"]\ndebian = \"\"\nimage = \"c\"\n";
        let target = parse("x".into(), good).unwrap();
        assert_eq!((target.openwrt.as_slice(), target.image.as_str()), (["a_b-1".to_owned()].as_slice(), "c"));
        assert!(said("triple = \"a\"").contains("no [packages]"));
        assert!(said(&good.replace("debian", "debain")).contains("debian"));
        assert!(said(&good.replace("\"c\"", "\"c d\"")).contains("c d"));
        assert!(said(&good.replace("a_b-1", "../x")).contains("openwrt"));
        assert!(said("[packages").starts_with("targets/x.toml: "));
        let twice = unique(&[target.clone(), Target { name: "y".into(), ..target }]).unwrap_err();
        assert!(twice.to_string().contains("openwrt a_b-1"), "{twice}");
    }
}
