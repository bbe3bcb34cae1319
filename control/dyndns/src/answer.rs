//! What an answer means: done, later, or not before somebody changed something (help.dyn.com/return-codes: a client
//! that goes on after `badauth`, `abuse` and the like is blocked).

use crate::Words;

/// Shortest pause after a service said that it is not well (`911`, `dnserr`), or that it is asked too often, in
/// seconds; help.dyn.com asks for 30 minutes.
const UNWELL_S: u64 = 30 * 60;
/// Most of an answer that is looked at, in bytes.
const LOOKED_AT: usize = 512;

/// What became of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The name leads to these addresses.
    Done,
    /// Not now: why, and the shortest pause in seconds.
    Later(String, u64),
    /// Never like this: why, and what to do about it.
    Stop(String),
}

/// What a service's answer means. Nothing of the answer gets into the texts but words that are known.
#[must_use]
pub fn judge(words: Words, status: u16, body: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(body.get(..LOOKED_AT).unwrap_or(body));
    let first = text.split_whitespace().next().unwrap_or_default();
    if let Some(verdict) = refusal(first) {
        return verdict;
    }
    match status {
        200..300 => {}
        401 | 403 => return refused_login(),
        // The way there, or that time, was wrong (RFC 9110, RFC 8470, RFC 4918): the request may be right.
        408 | 421 | 423 | 425 => return Verdict::Later(format!("the service answers {status}"), 0),
        429 => return Verdict::Later("the service says that it is asked too often (429)".into(), UNWELL_S),
        400..500 => {
            return Verdict::Stop(format!("the service refuses the request ({status}): check name and address"));
        }
        _ => return Verdict::Later(format!("the service answers {status}"), 0),
    }
    match (words, first) {
        // help.dyn.com: it was not taken, because of the program that asked.
        (Words::Dyndns2, "good") if text.split_whitespace().nth(1) == Some("127.0.0.1") => {
            Verdict::Stop("the service does not take updates of this program (good 127.0.0.1)".into())
        }
        (Words::Dyndns2, "good" | "nochg") | (Words::OkKo, "OK") => Verdict::Done,
        (Words::OkKo, "KO") => Verdict::Stop("the service does not know this name and token together".into()),
        (Words::Status, "KO" | "ERROR:" | "ERROR") => {
            // Also FreeDNS' way to say that nothing changed.
            if text.contains("has not changed") {
                return Verdict::Done;
            }
            Verdict::Stop("the service answers with an error: check name and token".into())
        }
        (Words::Status, _) => Verdict::Done,
        _ => Verdict::Later("the answer is none of a service for dynamic DNS".into(), UNWELL_S),
    }
}

fn refused_login() -> Verdict {
    Verdict::Stop("the service refuses user name and password, or token (badauth)".into())
}

/// The words of dyndns2 that say no, in any grammar.
fn refusal(word: &str) -> Option<Verdict> {
    let stop = |why: &str| Some(Verdict::Stop(format!("{why} ({word})")));
    match word {
        "badauth" => Some(refused_login()),
        "!donator" => stop("the account there lacks what this needs"),
        "!yours" => stop("the name belongs to another account there"),
        "notfqdn" => stop("the service wants the whole name, like home.example.org"),
        "nohost" => stop("the account there has no such name: make it there first"),
        "numhost" => stop("the service wants one name at a time"),
        "abuse" => stop("the service has blocked this name for too many updates: unblock it there"),
        "badagent" => stop("the service does not take updates of this program"),
        "badsys" | "badparam" | "badip" => stop("the service does not understand the request"),
        "911" | "dnserr" => Some(Verdict::Later(format!("the service has a problem of its own ({word})"), UNWELL_S)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_stop(v: &Verdict) -> bool {
        matches!(v, Verdict::Stop(_))
    }

    #[test]
    fn each_word_of_dyndns2_is_honoured() {
        let say = |body: &str| judge(Words::Dyndns2, 200, body.as_bytes());
        assert_eq!(say("good 203.0.113.7\n"), Verdict::Done);
        assert!(is_stop(&say("good 127.0.0.1")));
        assert_eq!(say("nochg 203.0.113.7"), Verdict::Done);
        for word in ["badauth", "!donator", "!yours", "notfqdn", "nohost", "numhost", "abuse", "badagent"] {
            let verdict = say(word);
            assert!(is_stop(&verdict), "{word}");
            assert!(matches!(&verdict, Verdict::Stop(why) if why.contains(word)), "{word}: {verdict:?}");
        }
        for word in ["911", "dnserr"] {
            assert!(matches!(say(word), Verdict::Later(_, UNWELL_S)), "{word}");
        }
        // A page of somebody in between is no success.
        assert!(matches!(say("<html>Log in to this hotel</html>"), Verdict::Later(_, UNWELL_S)));
        assert!(matches!(say(""), Verdict::Later(..)));
    }

    #[test]
    fn other_grammars_and_statuses() {
        assert_eq!(judge(Words::OkKo, 200, b"OK"), Verdict::Done);
        assert!(is_stop(&judge(Words::OkKo, 200, b"KO")));
        assert!(matches!(judge(Words::OkKo, 200, b"<html>"), Verdict::Later(..)));
        assert_eq!(judge(Words::Status, 200, b"addresses updated"), Verdict::Done);
        assert_eq!(judge(Words::Status, 204, b""), Verdict::Done);
        assert_eq!(judge(Words::Status, 200, b"ERROR: Address 203.0.113.7 has not changed."), Verdict::Done);
        assert!(is_stop(&judge(Words::Status, 200, b"ERROR: Invalid update URL")));
        assert!(is_stop(&judge(Words::Status, 200, b"badauth")));
        for status in [401, 403, 404] {
            assert!(is_stop(&judge(Words::Status, status, b"")), "{status}");
        }
        for status in [302, 408, 421, 423, 425, 429, 500] {
            assert!(matches!(judge(Words::Status, status, b""), Verdict::Later(..)), "{status}");
        }
        assert!(matches!(judge(Words::Dyndns2, 429, b""), Verdict::Later(_, UNWELL_S)));
        // A stranger's text must not get onto pages and into the log.
        let long = vec![b'x'; 100_000];
        assert!(matches!(judge(Words::Dyndns2, 200, &long), Verdict::Later(why, _) if why.len() < 100));
    }
}
