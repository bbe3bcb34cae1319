//! From when to when a certificate is good: just so much of X.509 (RFC 5280 section 4.1) as leads there. Pure.

use jiff::{civil::DateTime, tz::TimeZone};
use rustls::pki_types::{CertificateDer, pem::PemObject};

/// Tags of ASN.1 (X.690) on the way.
const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The explicit version, which the oldest certificates lack.
const VERSION: u8 = 0xa0;

/// From when to when a certificate is good, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Its first second.
    pub not_before: i64,
    /// Its last second.
    pub not_after: i64,
}

/// Of the first certificate in a PEM text; `None` when there is none that can be read.
#[must_use]
pub fn validity(pem: &str) -> Option<Validity> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (certificate, _) = expect(SEQUENCE, &der)?;
    let (mut body, _) = expect(SEQUENCE, certificate)?;
    if body.first() == Some(&VERSION) {
        (_, _, body) = element(body)?;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        (_, _, body) = element(body)?;
    }
    let (times, _) = expect(SEQUENCE, body)?;
    let (tag, not_before, rest) = element(times)?;
    let not_before = time(tag, not_before)?;
    let (tag, not_after, _) = element(rest)?;
    Some(Validity { not_before, not_after: time(tag, not_after)? })
}

fn expect(tag: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    element(input).filter(|(found, ..)| *found == tag).map(|(_, content, rest)| (content, rest))
}

/// Tag and content of the first element, and what follows it.
fn element(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, len, rest @ ..] = input else { return None };
    let (len, rest) = match *len {
        short @ 0..=0x7f => (usize::from(short), rest),
        // Two bytes of length are more than any certificate needs; three are room to spare.
        long @ 0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (digits.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((*tag, content, rest))
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`.
fn time(tag: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i16 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let part = |n: usize| rest.get(2 * n..2 * n + 2)?.parse::<i8>().ok();
    let time = DateTime::new(year, part(0)?, part(1)?, part(2)?, part(3)?, part(4)?, 0).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn made(from: (i32, u8, u8), to: (i32, u8, u8)) -> String {
        let mut params = CertificateParams::new(vec!["relay.example".into()]).unwrap();
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(to.0, to.1, to.2);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn both_forms_of_time_are_read() {
        // 2049 is the last year of the short form, 2050 the first of the long one.
        let seconds = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_second();
        let expected =
            Validity { not_before: seconds("2026-11-21T00:00:00Z"), not_after: seconds("2050-02-28T00:00:00Z") };
        assert_eq!(validity(&made((2026, 11, 21), (2050, 2, 28))), Some(expected));
        assert_eq!(
            validity(&made((1999, 1, 1), (2049, 12, 31))).map(|v| v.not_before),
            Some(seconds("1999-01-01T00:00:00Z"))
        );
    }

    #[test]
    fn a_certificate_cut_anywhere_is_refused_and_not_a_panic() {
        assert_eq!(validity(""), None);
        let pem = made((2026, 1, 1), (2027, 1, 1));
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        for len in 0..der.len() {
            assert!(element(&der[..len]).is_none(), "cut at {len}");
        }
        assert_eq!(element(&[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(time(UTC_TIME, b"261399000000Z"), None);
        assert_eq!(time(GENERALIZED_TIME, b"2026Z"), None);
    }
}
