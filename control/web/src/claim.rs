//! The code that claims the pages: shown in the log, on the console and to the command line, never on the network.

use hearthgate_core::Entropy;
use hearthgate_keys::{Secret, constant_time_eq};

/// Letters and digits that are not mistaken for each other (RFC 4648 base 32 without those that look alike).
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Characters of a code: 60 bits.
const LENGTH: usize = 12;

/// A new code: three groups of four.
pub fn new_code(rng: &mut dyn Entropy) -> Secret {
    let mut bytes = [0u8; LENGTH];
    rng.fill(&mut bytes);
    let chars: Vec<char> = bytes.iter().map(|b| char::from(ALPHABET[usize::from(b % 32)])).collect();
    Secret::new(chars.chunks(4).map(|c| c.iter().collect::<String>()).collect::<Vec<_>>().join("-"))
}

/// Whether a person typed this code; case, spaces and dashes do not matter.
#[must_use]
pub fn fits(code: &Secret, typed: &str) -> bool {
    constant_time_eq(plain(code.reveal()).as_bytes(), plain(typed).as_bytes())
}

fn plain(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).take(LENGTH + 1).map(|c| c.to_ascii_lowercase()).collect()
}
