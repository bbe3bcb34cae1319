//! What is answered to an authority that looks for its token (RFC 8555 section 8.3).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Path of the page, before the token.
const WELL_KNOWN: &str = "/.well-known/acme-challenge/";

/// Tokens that an authority may ask for now, with their answers.
#[derive(Debug, Default)]
pub struct HttpAnswers(Mutex<HashMap<String, String>>);

impl HttpAnswers {
    /// The answer to a request for `path`; `None` when it is for nothing of ours.
    #[must_use]
    pub fn answer(&self, path: &str) -> Option<String> {
        let token = path.strip_prefix(WELL_KNOWN)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }

    /// Answers `token` until what this returns is dropped.
    pub(crate) fn expect(self: &Arc<Self>, token: &str, answer: &str) -> Expected {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(token.into(), answer.into());
        Expected { answers: self.clone(), token: token.into() }
    }
}

/// A token that is answered as long as this lives.
pub(crate) struct Expected {
    answers: Arc<HttpAnswers>,
    token: String,
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.answers.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_answered_while_it_is_expected() {
        let answers = Arc::new(HttpAnswers::default());
        let expected = answers.expect("abc", "abc.thumb");
        assert_eq!(answers.answer("/.well-known/acme-challenge/abc").as_deref(), Some("abc.thumb"));
        assert_eq!(answers.answer("/.well-known/acme-challenge/other"), None);
        assert_eq!(answers.answer("/abc"), None);
        drop(expected);
        assert_eq!(answers.answer("/.well-known/acme-challenge/abc"), None);
    }
}
