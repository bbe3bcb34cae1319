//! What was told of a lasting trouble: it is looked at again and again, and told once.

use std::fmt::Display;

/// The last trouble that was told; none at first.
#[derive(Debug, Default)]
pub struct Said(String);

impl Said {
    /// Whether this is another trouble than the last one, or the first.
    pub fn is_news(&mut self, trouble: &dyn Display) -> bool {
        let trouble = trouble.to_string();
        let news = self.0 != trouble;
        self.0 = trouble;
        news
    }

    /// There is no trouble any more.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_news_once_until_it_is_over() {
        let mut said = Said::default();
        let mut tell = |trouble: &str| said.is_news(&trouble);
        assert_eq!(["a", "a", "b", "b", "a"].map(&mut tell), [true, false, true, false, true]);
        said.clear();
        assert!(said.is_news(&"a"));
    }
}
