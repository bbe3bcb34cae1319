//! Names of files that others send: which are taken, and what a second file of one name is called. Pure.
//!
//! Rules after `feature/taildrop/taildrop.go` of tailscale.com v1.102.5. Characters that other systems' file systems
//! refuse are refused here too, because what receives files is often shared with them.

/// Longest name of a file system, in bytes.
pub(super) const NAME_MAX: usize = 255;
/// Ends of names that mean something else.
const RESERVED: [&str; 2] = [".partial", ".deleted"];
/// Longest ending that counts as one, without its dot.
const ENDING_MAX: usize = 7;

/// Whether a file may have this name: one that stays in its folder, and that people and file systems can read.
pub(super) fn is_allowed(name: &str) -> bool {
    let strange = |c: char| c.is_control() || c.is_whitespace() && c != ' ' || "/\\:*\"<>|".contains(c);
    !name.is_empty()
        && name.len() <= NAME_MAX
        && name.trim() == name
        && name != "."
        && name != ".."
        && !name.chars().any(|c| strange(c) || is_invisible(c))
        && !RESERVED.iter().any(|end| name.ends_with(end))
}

/// Marks that turn the direction of writing or take no room: a name must be what it looks like.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The name after this one: `a.jpg` becomes `a (1).jpg`, that becomes `a (2).jpg`.
pub(super) fn next(name: &str) -> String {
    let mut stem = name;
    while let Some((before, ending)) = stem.rsplit_once('.') {
        let letters =
            ending.chars().all(|c| c.is_ascii_alphanumeric()) && ending.chars().any(|c| c.is_ascii_alphabetic());
        if before.is_empty() || !letters || ending.len() > ENDING_MAX {
            break;
        }
        stem = before;
    }
    let endings = name.get(stem.len()..).unwrap_or_default();
    let counted = stem.strip_suffix(')').and_then(|rest| rest.rsplit_once(" ("));
    let counted = counted.and_then(|(before, digits)| Some((before, digits.parse::<u32>().ok()?.checked_add(1)?)));
    let (stem, number) = counted.unwrap_or((stem, 1));
    format!("{stem} ({number}){endings}")
}

/// Takes the percent signs out of a part of a path (RFC 3986 §2.1). `None`: that is no text.
pub(super) fn decode(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let value = digit(rest.next()?)? << 4 | digit(rest.next()?)?;
            bytes.push(u8::try_from(value).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_folder_and_can_be_read() {
        for good in ["a", "Brief an Oma.pdf", ".profile", "日本.txt", "a..b", "x.tar.gz", "é (1).jpg", "-rf"] {
            assert!(is_allowed(good), "{good}");
        }
        let long = "x".repeat(256);
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "/etc/passwd",
            "a/b",
            "a\\b",
            "c:",
            "a*",
            " a",
            "a ",
            "a\n",
            "a\0b",
            "a\tb",
            "x.partial",
            "x.deleted",
            "\u{202e}gpj.exe",
            "a\u{200b}",
            &long,
        ] {
            assert!(!is_allowed(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_second_file_of_a_name_gets_a_number() {
        for (name, wanted) in [
            ("foo.jpg", "foo (1).jpg"),
            ("foo (1).jpg", "foo (2).jpg"),
            ("foo (9)", "foo (10)"),
            ("x.tar.gz", "x (1).tar.gz"),
            (".profile", ".profile (1)"),
            ("v1.2.3", "v1.2.3 (1)"),
            ("a (x).txt", "a (x) (1).txt"),
            ("a (4294967295)", "a (4294967295) (1)"),
        ] {
            assert_eq!(next(name), wanted);
        }
    }

    #[test]
    fn percent_signs_are_taken_out() {
        assert_eq!(decode("a%20b%2Fc").as_deref(), Some("a b/c"));
        assert_eq!(decode("%C3%A9").as_deref(), Some("é"));
        for bad in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
