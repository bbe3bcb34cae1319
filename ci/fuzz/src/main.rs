//! `hearthgate-fuzz list` names the targets, `hearthgate-fuzz seeds FOLDER` writes the hand-made inputs there,
//! `hearthgate-fuzz replay TARGET FILE...` runs single inputs.

use hearthgate_fuzz::{TARGETS, target};
use std::{fs, path::Path, process::exit};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["list"] => TARGETS.iter().for_each(|t| println!("{}", t.name)),
        ["seeds", folder] => seeds(Path::new(folder)),
        ["replay", name, files @ ..] => {
            let Some(target) = target(name) else { usage(&format!("there is no target {name}")) };
            for file in files {
                let data = fs::read(file).unwrap_or_else(|e| usage(&format!("{file}: {e}")));
                (target.run)(&data);
                println!("{file}: nothing bad");
            }
        }
        _ => usage("one of these, please"),
    }
}

fn usage(why: &str) -> ! {
    eprintln!("hearthgate-fuzz: {why}\nusage: hearthgate-fuzz list | seeds FOLDER | replay TARGET FILE...");
    exit(2)
}

fn seeds(corpus: &Path) {
    for target in TARGETS {
        let dir = corpus.join(target.name);
        fs::create_dir_all(&dir).unwrap_or_else(|e| usage(&format!("{}: {e}", dir.display())));
        for (i, seed) in (target.seeds)().into_iter().enumerate() {
            let path = dir.join(format!("seed-{i:02}"));
            fs::write(&path, seed).unwrap_or_else(|e| usage(&format!("{}: {e}", path.display())));
        }
    }
}
