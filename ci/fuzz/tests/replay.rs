//! The corpus and deterministic mutations of it, on every test run.

use hearthgate_fuzz::TARGETS;
use std::{fs, path::Path};

/// Mutations of each corpus file.
const MUTATIONS: u64 = 150;
/// Longer inputs are not mutated: the time is better spent on short ones.
const MUTATED_MAX: usize = 4096;

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        // xorshift: the same sequence every time.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n.max(1)
    }
}

fn mutate(data: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = data.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(out.len() + 1);
        match random.below(6) {
            0 if at < out.len() => out[at] ^= 1 << random.below(8),
            1 if at < out.len() => out[at] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'{', b':'][random.below(8)],
            2 => out.truncate(at),
            3 => out.insert(at, random.below(256) as u8),
            4 if at < out.len() => {
                let end = (at + 1 + random.below(16)).min(out.len());
                out.drain(at..end);
            }
            _ => {
                let from = random.below(other.len() + 1);
                let piece = &other[from..(from + random.below(32)).min(other.len())];
                out.splice(at..at, piece.iter().copied());
            }
        }
    }
    out
}

#[test]
fn the_corpus_and_what_is_near_it_harm_no_decoder() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in TARGETS {
        let dir = corpus.join(target.name);
        let mut files: Vec<_> = fs::read_dir(&dir)
            .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
            .map(|f| f.unwrap().path())
            .collect();
        files.sort();
        let mut inputs: Vec<(String, Vec<u8>)> =
            files.iter().map(|f| (f.display().to_string(), fs::read(f).unwrap())).collect();
        assert!(inputs.len() >= 2, "{}: the corpus is empty", target.name);
        let seeds = (target.seeds)().into_iter().enumerate();
        inputs.extend(seeds.map(|(i, seed)| (format!("{} seed {i}", target.name), seed)));
        for (name, input) in &inputs {
            println!("{name}");
            (target.run)(input);
        }
        let mut random = Random(0x5eed);
        for (i, (name, input)) in inputs.iter().enumerate().filter(|(_, (_, d))| d.len() <= MUTATED_MAX) {
            let (_, other) = &inputs[(i + 1) % inputs.len()];
            for n in 0..MUTATIONS {
                let data = mutate(input, other, &mut random);
                println!("{name} mutation {n}: {:?}", String::from_utf8_lossy(&data));
                (target.run)(&data);
            }
        }
    }
}
