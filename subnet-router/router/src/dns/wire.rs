//! DNS messages as far as the resolver needs them (RFC 1035 section 4, RFC 6891): a query with one question, and answers of
//! addresses and names. All else is passed on as it came, so no other kind of record has to be understood.

/// Kinds of records, and of questions.
pub(super) const A: u16 = 1;
pub(super) const PTR: u16 = 12;
pub(super) const AAAA: u16 = 28;
const OPT: u16 = 41;
pub(super) const ANY: u16 = 255;
const CLASS_IN: u16 = 1;

/// Flags of the header: it is an answer, with authority, cut short, recursion is wanted, recursion is to be had.
pub(super) const RESPONSE: u16 = 0x8000;
pub(super) const AUTHORITATIVE: u16 = 0x0400;
pub(super) const TRUNCATED: u16 = 0x0200;
const RECURSION_DESIRED: u16 = 0x0100;
pub(super) const RECURSION_AVAILABLE: u16 = 0x0080;

/// How it went: well, not at all, no such name.
pub(super) const NO_ERROR: u16 = 0;
pub(super) const SERVER_FAILURE: u16 = 2;
pub(super) const NAME_ERROR: u16 = 3;

const HEADER: usize = 12;
/// Longest name in bytes, with its last zero, and longest label.
const NAME_MAX: usize = 255;
const LABEL_MAX: usize = 63;
/// Where the name of the question stands, for records that are about it (RFC 1035 section 4.1.4).
const NAME_OF_QUESTION: u16 = 0xc000 | HEADER as u16;

/// A message with one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query<'a> {
    id: u16,
    flags: u16,
    /// The question as it was sent.
    question: &'a [u8],
    /// Its name, in lower case and without the last dot. Bytes that are no plain text, and dots within a label, are
    /// written `\DDD`, so that they are no other name (RFC 1035 section 5.1).
    pub(super) name: String,
    /// The kind of records that is asked for.
    pub(super) kind: u16,
    /// How long an answer over UDP may be, if it says so.
    pub(super) room: Option<u16>,
}

impl<'a> Query<'a> {
    /// Reads a message; `None` if it is none, or has not one question.
    pub(super) fn parse(message: &'a [u8]) -> Option<Self> {
        let [id, flags, 1, answers, authorities, more] = numbers(message)? else { return None };
        let mut rest = message.get(HEADER..)?;
        let before = rest;
        let name = name(&mut rest)?;
        let [kind, _class] = numbers(take(&mut rest, 4)?)?;
        let question = before.get(..before.len() - rest.len())?;
        let mut room = None;
        // A count is no more than what is there: each record takes bytes.
        for _ in 0..u32::from(answers) + u32::from(authorities) + u32::from(more) {
            skip_name(&mut rest)?;
            let [kind, class, _, _, length] = numbers(take(&mut rest, 10)?)?;
            take(&mut rest, usize::from(length))?;
            if kind == OPT {
                // The class of this record is a length.
                room = Some(class);
            }
        }
        Some(Self { id, flags, question, name, kind, room })
    }

    /// It is an answer.
    pub(super) fn is_response(&self) -> bool {
        self.flags & RESPONSE != 0
    }

    /// Whether records of this kind are asked for.
    pub(super) fn wants(&self, kind: u16) -> bool {
        self.kind == kind || self.kind == ANY
    }

    /// An answer to it: flags, how it went, and the records (kind, content), which may be kept for `ttl` seconds.
    pub(super) fn reply(&self, flags: u16, code: u16, ttl: u32, records: &[(u16, Vec<u8>)]) -> Vec<u8> {
        // So many that the count does not hold them would not fit into a message either.
        let records = records.get(..records.len().min(usize::from(u8::MAX))).unwrap_or_default();
        let flags = RESPONSE | flags | (self.flags & RECURSION_DESIRED) | code;
        let count = u16::try_from(records.len()).unwrap_or(0);
        let mut out = Vec::with_capacity(HEADER + self.question.len() + records.len() * 32);
        put(&mut out, &[self.id, flags, 1, count, 0, 0]);
        out.extend(self.question);
        for (kind, data) in records {
            let [high, low] = [ttl >> 16, ttl & 0xffff].map(|half| u16::try_from(half).unwrap_or(0));
            let length = u16::try_from(data.len()).unwrap_or(0);
            put(&mut out, &[NAME_OF_QUESTION, *kind, CLASS_IN, high, low, length]);
            out.extend(data.get(..usize::from(length)).unwrap_or_default());
        }
        out
    }
}

/// A name as it is sent; `None` if it cannot be.
pub(super) fn sent(name: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(name.len() + 2);
    for label in name.split('.') {
        out.push(u8::try_from(label.len()).ok().filter(|length| (1..=LABEL_MAX).contains(&usize::from(*length)))?);
        out.extend(label.bytes());
    }
    out.push(0);
    (out.len() <= NAME_MAX).then_some(out)
}

fn put(out: &mut Vec<u8>, numbers: &[u16]) {
    for number in numbers {
        out.extend(number.to_be_bytes());
    }
}

/// The first `length` bytes, which are then behind.
fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

/// The first numbers of two bytes each.
fn numbers<const N: usize>(bytes: &[u8]) -> Option<[u16; N]> {
    let mut numbers = [0; N];
    for (number, pair) in numbers.iter_mut().zip(bytes.get(..2 * N)?.chunks_exact(2)) {
        *number = u16::from_be_bytes(pair.try_into().ok()?);
    }
    Some(numbers)
}

/// The name of a question. It has no pointers: there is nothing before it to point to.
fn name(rest: &mut &[u8]) -> Option<String> {
    let (mut text, mut length) = (String::new(), 1);
    loop {
        let label = usize::from(*take(rest, 1)?.first()?);
        length += label + 1;
        if label > LABEL_MAX || length > NAME_MAX + 1 {
            return None;
        }
        if label == 0 {
            return Some(text);
        }
        if !text.is_empty() {
            text.push('.');
        }
        for byte in take(rest, label)? {
            match byte {
                b'!'..=b'~' if !matches!(byte, b'.' | b'\\') => text.push(char::from(byte.to_ascii_lowercase())),
                other => text.push_str(&format!("\\{other:03}")),
            }
        }
    }
}

/// A name of a record, which may end in a pointer.
fn skip_name(rest: &mut &[u8]) -> Option<()> {
    loop {
        match *take(rest, 1)?.first()? {
            0 => return Some(()),
            0xc0.. => return take(rest, 1).map(drop),
            length if usize::from(length) <= LABEL_MAX => drop(take(rest, length.into())?),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE, rdata::OPT};

    fn query(name: &str) -> Vec<u8> {
        let mut packet = Packet::new_query(7);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        let kind = QTYPE::TYPE(TYPE::AAAA);
        packet.questions.push(Question::new(Name::new(name).unwrap(), kind, QCLASS::CLASS(CLASS::IN), false));
        *packet.opt_mut() = Some(OPT { opt_codes: Vec::new(), udp_packet_size: 1232, version: 0 });
        packet.build_bytes_vec().unwrap()
    }

    #[test]
    fn a_query_is_read_as_another_decoder_reads_it() {
        let bytes = query("Printer.T.example");
        let read = Query::parse(&bytes).unwrap();
        assert_eq!((read.name.as_str(), read.kind, read.room), ("printer.t.example", AAAA, Some(1232)));
        assert!(!read.is_response() && read.wants(AAAA) && !read.wants(A));
        let records = [(AAAA, [7; 16].to_vec()), (PTR, sent("a.example").unwrap())];
        let bytes = read.reply(AUTHORITATIVE, NAME_ERROR, 70_000, &records);
        let reply = Packet::parse(&bytes).unwrap();
        assert_eq!((reply.id(), reply.rcode(), reply.answers.len()), (7, RCODE::NameError, 2));
        let flags = PacketFlag::RESPONSE | PacketFlag::AUTHORITATIVE_ANSWER | PacketFlag::RECURSION_DESIRED;
        assert!(reply.has_flags(flags) && !reply.has_flags(PacketFlag::TRUNCATION));
        assert_eq!(reply.questions[0].qname.to_string(), "Printer.T.example");
        assert_eq!((reply.answers[0].ttl, reply.answers[0].name.to_string().as_str()), (70_000, "Printer.T.example"));
        assert!(
            matches!(&reply.answers[1].rdata, simple_dns::rdata::RData::PTR(to) if to.0.to_string() == "a.example")
        );
    }

    #[test]
    fn names_that_only_look_alike_are_others() {
        let mut bytes = query("aXb.example");
        let at = bytes.iter().position(|b| *b == b'X').unwrap();
        bytes[at] = b'.';
        assert_eq!(Query::parse(&bytes).unwrap().name, r"a\046b.example");
        bytes[at] = 0xff;
        assert_eq!(Query::parse(&bytes).unwrap().name, r"a\255b.example");
    }

    #[test]
    fn names_have_their_lengths() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(sent(&longest).unwrap().len(), 255);
        assert_eq!(Query::parse(&query(&longest)).unwrap().name, longest);
        for bad in ["", "a..b", &format!("{label}a"), &format!("{longest}a")] {
            assert!(sent(bad).is_none(), "{bad}");
        }
        let mut bytes = query(&longest);
        bytes.splice(12..12, [1, b'a']);
        assert!(Query::parse(&bytes).is_none());
    }

    #[test]
    fn broken_messages_are_none_and_nothing_panics() {
        let whole = query("printer.t.example");
        for length in 0..whole.len() {
            assert!(Query::parse(&whole[..length]).is_none(), "{length}");
        }
        // Every byte in every value; where both decoders read it, they read the same.
        for at in 0..whole.len() {
            for value in 0..=255 {
                let mut bytes = whole.clone();
                bytes[at] = value;
                let (Some(ours), Ok(theirs)) = (Query::parse(&bytes), Packet::parse(&bytes)) else { continue };
                assert_eq!(ours.id, theirs.id());
                assert_eq!(theirs.questions.len(), 1);
                assert_eq!(ours.is_response(), theirs.has_flags(PacketFlag::RESPONSE));
                assert_eq!(ours.room, theirs.opt().map(|opt| opt.udp_packet_size));
            }
        }
    }
}
