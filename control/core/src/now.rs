//! Time and randomness, handed in by the shell.

use jiff::Timestamp;

/// The moment a command is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Wall clock: what is stored and sent. It may jump (a box without RTC learns the time late).
    pub wall: Timestamp,
    /// Monotonic clock in milliseconds from any origin: what timers use.
    pub mono_ms: u64,
}

/// A source of random bytes.
pub trait Entropy {
    /// Fills `out` with random bytes.
    fn fill(&mut self, out: &mut [u8]);
}

impl<F: FnMut(&mut [u8])> Entropy for F {
    fn fill(&mut self, out: &mut [u8]) {
        self(out);
    }
}
