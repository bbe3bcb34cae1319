//! Questions that are out: 256 random bits each, good for one answer of the browser they were made for, for a short
//! time, in bounded memory.

use hearthgate_core::Entropy;
use hearthgate_keys::constant_time_eq;
use sha2::{Digest, Sha256};

/// Questions at once; the oldest goes first.
pub const CHALLENGES_MAX: usize = 64;
/// How long a question is good, in milliseconds: as long as browsers ask the person.
pub const CHALLENGE_MS: u64 = 5 * 60 * 1000;

/// What the question is for; an answer to the one is none to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A new passkey for who is logged in.
    Register,
    /// Logging in.
    LogIn,
}

/// The random bits of a question.
pub type Challenge = [u8; 32];

#[derive(Debug)]
struct Out {
    browser: [u8; 32],
    purpose: Purpose,
    challenge: Challenge,
    made_ms: u64,
}

/// All questions that are out.
#[derive(Debug, Default)]
pub struct Challenges(Vec<Out>);

impl Challenges {
    /// Asks a browser, which is known by a secret cookie. A question before for the same purpose is void.
    pub fn ask(&mut self, browser: &str, purpose: Purpose, now_ms: u64, rng: &mut dyn Entropy) -> Challenge {
        let browser = digest(browser);
        self.0.retain(|out| fresh(out, now_ms) && !(out.browser == browser && out.purpose == purpose));
        if self.0.len() >= CHALLENGES_MAX {
            self.0.remove(0);
        }
        let mut challenge = [0; 32];
        rng.fill(&mut challenge);
        self.0.push(Out { browser, purpose, challenge, made_ms: now_ms });
        challenge
    }

    /// The question that this browser was asked, which is void from now on.
    pub fn take(&mut self, browser: &str, purpose: Purpose, now_ms: u64) -> Option<Challenge> {
        let browser = digest(browser);
        let at = self.0.iter().position(|out| out.purpose == purpose && constant_time_eq(&out.browser, &browser))?;
        let out = self.0.remove(at);
        fresh(&out, now_ms).then_some(out.challenge)
    }
}

fn fresh(out: &Out, now_ms: u64) -> bool {
    now_ms.saturating_sub(out.made_ms) < CHALLENGE_MS
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random() -> impl FnMut(&mut [u8]) {
        let mut n = 0;
        move |out: &mut [u8]| {
            n += 1;
            out.fill(n);
        }
    }

    #[test]
    fn a_question_is_good_once_for_one_browser_one_purpose_and_a_while() {
        let (mut all, mut rng) = (Challenges::default(), random());
        let first = all.ask("a", Purpose::LogIn, 0, &mut rng);
        assert_eq!(all.take("b", Purpose::LogIn, 1), None, "another browser");
        assert_eq!(all.take("a", Purpose::Register, 1), None, "another purpose");
        assert_eq!(all.take("a", Purpose::LogIn, 1), Some(first));
        assert_eq!(all.take("a", Purpose::LogIn, 1), None, "twice");
        all.ask("a", Purpose::LogIn, 0, &mut rng);
        assert_eq!(all.take("a", Purpose::LogIn, CHALLENGE_MS), None, "too late");
        let older = all.ask("a", Purpose::LogIn, 0, &mut rng);
        let newer = all.ask("a", Purpose::LogIn, 1, &mut rng);
        assert_ne!(older, newer);
        assert_eq!(all.take("a", Purpose::LogIn, 2), Some(newer));
        assert_eq!(all.take("a", Purpose::LogIn, 2), None, "the older one is void");
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let (mut all, mut rng) = (Challenges::default(), random());
        for n in 0..=CHALLENGES_MAX {
            all.ask(&n.to_string(), Purpose::LogIn, 0, &mut rng);
        }
        assert_eq!(all.0.len(), CHALLENGES_MAX);
        assert_eq!(all.take("0", Purpose::LogIn, 1), None);
        assert!(all.take("1", Purpose::LogIn, 1).is_some());
    }
}
