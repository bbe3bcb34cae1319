//! `Cross.toml` is for machines with containers, which this repository's own builds have not: so that it is still true
//! when somebody takes it up, it is held against the target files and the features of `Cargo.toml`.

use std::{collections::BTreeSet, fs, path::Path};

/// A file of the repository.
fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn parsed(path: &str) -> toml::Table {
    read(path).parse().unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Triple and whether Rust has a ready-made standard library for it, of each target file.
fn targets() -> Vec<(String, bool)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets");
    let files = fs::read_dir(folder).expect("targets").flatten().map(|entry| entry.path());
    let files = files.filter(|path| path.extension().is_some_and(|e| e == "toml"));
    let tables = files.map(|path| fs::read_to_string(path).expect("a file").parse::<toml::Table>().expect("TOML"));
    let triples = tables.map(|table| table["triple"].as_str().expect("a triple").to_owned());
    // The two of rustc's tier 3: `rustc --print target-list` has them, `rustup target add` has not.
    triples.map(|triple| (triple.clone(), !triple.starts_with("mips"))).collect()
}

#[test]
fn cross_knows_the_targets_and_no_others() {
    let cross = parsed("Cross.toml");
    let named: BTreeSet<String> = cross["target"].as_table().expect("tables of targets").keys().cloned().collect();
    assert_eq!(named, targets().into_iter().map(|(triple, _)| triple).collect());
    for (triple, ready_made) in targets() {
        assert_eq!(cross["target"][&triple]["build-std"].as_bool(), Some(!ready_made), "{triple}");
    }
    assert_eq!(cross["build"]["env"]["passthrough"][0].as_str(), Some("RUSTFLAGS"), "its commands set it");
}

#[test]
fn the_commands_in_its_comments_name_what_exists() {
    let text = read("Cross.toml").replace("\\\n#", "");
    let cargo = parsed("Cargo.toml");
    let triples: BTreeSet<String> = targets().into_iter().map(|(triple, _)| triple).collect();
    let commands: Vec<&str> = text.lines().filter(|line| line.starts_with('#') && line.contains(" build ")).collect();
    assert_eq!(commands.len(), 2, "{commands:?}");
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        let after = |flag: &str| words.iter().skip_while(|word| **word != flag).nth(1).expect(flag).to_string();
        assert!(triples.contains(&after("--target")), "{command}");
        for feature in after("--features").split(',') {
            assert!(cargo["features"].get(feature).is_some(), "no feature {feature}: {command}");
        }
    }
}
