//! Dynamic DNS updates (RFC 2136) signed with a shared key (TSIG, RFC 8945, `hmac-sha256`), as far as an ACME challenge
//! needs them (put one TXT record at a name in place of all others there, and take it away again) and a name that follows
//! an address.
//!
//! No sockets, no clock, no random numbers: the shell hands in the message's number and the time, sends what
//! [`Update::encode`] gives, and asks [`Sent::accepts`] what the answer says.

mod answer;
mod key;
mod message;
mod name;

pub use answer::{AnswerError, Code};
pub use key::{Key, KeyError};
pub use message::{Change, Sent, Update};
pub use name::{Name, NameError};

/// Largest answer that is looked at, in bytes; an answer to an update is a header, the zone's name and a signature.
pub const ANSWER_MAX: usize = 4096;
/// Longest text of a record: what fits one character string (RFC 1035 section 3.3).
pub const TEXT_MAX: usize = 255;
