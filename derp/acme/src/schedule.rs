//! When a certificate is renewed, and how long to wait after a failure. Pure.

use crate::Validity;
use std::time::Duration;

/// Wait after the first failure to reach the authority.
const UNREACHED_FIRST: Duration = Duration::from_secs(30);
/// Longest wait of that kind: the line may be back at any time.
const UNREACHED_MAX: Duration = Duration::from_secs(600);
/// Wait after the authority refused for the first time. Let's Encrypt takes five failed validations an hour.
const REFUSED_FIRST: Duration = Duration::from_secs(300);
/// Longest wait of that kind.
const REFUSED_MAX: Duration = Duration::from_secs(6 * 3600);

/// When to renew, in seconds since 1970: a third of its time before the end, as Let's Encrypt advises.
#[must_use]
pub fn renew_at(validity: Validity) -> i64 {
    let whole = validity.not_after.saturating_sub(validity.not_before).max(0);
    validity.not_after.saturating_sub(whole / 3)
}

/// How long to wait after so many failures one after the other, the last of which was one to reach the authority or not.
#[must_use]
pub fn wait_after(failures: u32, unreached: bool) -> Duration {
    let (first, max) = if unreached { (UNREACHED_FIRST, UNREACHED_MAX) } else { (REFUSED_FIRST, REFUSED_MAX) };
    let factor = 2u32.checked_pow(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_before_the_end() {
        let day = 86_400;
        assert_eq!(renew_at(Validity { not_before: 0, not_after: 90 * day }), 60 * day);
        assert_eq!(renew_at(Validity { not_before: 10, not_after: 5 }), 5, "one that never was valid is due");
    }

    #[test]
    fn waits_grow_to_their_limit_and_an_authority_that_refuses_is_left_alone_longer() {
        assert_eq!(wait_after(1, true), UNREACHED_FIRST);
        assert_eq!(wait_after(2, true), UNREACHED_FIRST * 2);
        assert_eq!(wait_after(40, true), UNREACHED_MAX);
        assert_eq!(wait_after(u32::MAX, false), REFUSED_MAX);
        let first_hour = (1..).scan(Duration::ZERO, |at, n| {
            *at += wait_after(n, false);
            Some(*at)
        });
        assert!(
            first_hour.take_while(|at| *at < Duration::from_secs(3600)).count() < 5,
            "with the first attempt not over five"
        );
    }
}
