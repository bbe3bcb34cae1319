//! A URL with places for values: `{name}`, `{label}` (the third label from the end), `{user}`, `{secret}`, `{ip4}`,
//! `{ip6}`, `{ips}` (both, with a comma), `{ttl}`. `{ip4|word}` is `word` when there is none.
//!
//! A parameter of the query whose value is not known is left out; in the rest of the URL everything has to be known.

/// A template that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// A brace without its partner.
    #[error("a `{{` has no `}}`")]
    Open,
    /// A place that there is not.
    #[error(
        "it has a place that is none of {{name}}, {{label}}, {{user}}, {{secret}}, {{ip4}}, {{ip6}}, {{ips}}, {{ttl}}"
    )]
    Unknown,
    /// Something outside the query is not known.
    #[error("a value of the part before `?` is not known")]
    Missing,
}

/// Fills a template in. `value` answers the text of a place: `Err` when there is no such place, `Ok(None)` when its
/// value is not known now. Values are escaped, with nothing but letters, digits and `-._~` left as they are.
pub(crate) fn fill(
    template: &str,
    value: &dyn Fn(&str) -> Result<Option<String>, TemplateError>,
) -> Result<String, TemplateError> {
    let (head, query) = template.split_once('?').map_or((template, None), |(h, q)| (h, Some(q)));
    let mut out = part(head, value)?.ok_or(TemplateError::Missing)?;
    let mut mark = '?';
    for parameter in query.into_iter().flat_map(|q| q.split('&')) {
        if let Some(filled) = part(parameter, value)? {
            out.push(mark);
            out.push_str(&filled);
            mark = '&';
        }
    }
    Ok(out)
}

fn part(
    mut rest: &str,
    value: &dyn Fn(&str) -> Result<Option<String>, TemplateError>,
) -> Result<Option<String>, TemplateError> {
    let mut out = String::new();
    let mut whole = true;
    while let Some((before, after)) = rest.split_once('{') {
        let (place, after) = after.split_once('}').ok_or(TemplateError::Open)?;
        out.push_str(before);
        let (place, otherwise) = place.split_once('|').map_or((place, None), |(p, o)| (p, Some(o)));
        match value(place)? {
            Some(known) => escape(&known, &mut out),
            None => match otherwise {
                Some(word) => out.push_str(word),
                None => whole = false,
            },
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(whole.then_some(out))
}

fn escape(text: &str, out: &mut String) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let digit = |n: u8| HEX.get(usize::from(n)).copied().unwrap_or_default();
            out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str, v6: bool) -> Result<String, TemplateError> {
        fill(template, &|place| match place {
            "name" => Ok(Some("a.example".into())),
            "secret" => Ok(Some("p&s=%1/".into())),
            "ip6" => Ok(v6.then(|| "2001:db8::1".into())),
            _ => Err(TemplateError::Unknown),
        })
    }

    #[test]
    fn what_is_not_known_is_left_out_and_what_is_known_is_escaped() {
        let url = "https://x.test/u?h={name}&{secret}&six={ip6}";
        assert_eq!(filled(url, true).unwrap(), "https://x.test/u?h=a.example&p%26s%3D%251%2F&six=2001%3Adb8%3A%3A1");
        assert_eq!(filled(url, false).unwrap(), "https://x.test/u?h=a.example&p%26s%3D%251%2F");
        assert_eq!(filled("https://x.test/?six={ip6|keep}", false).unwrap(), "https://x.test/?six=keep");
        assert_eq!(filled("https://x.test/?six={ip6}&h=1", false).unwrap(), "https://x.test/?h=1");
        assert_eq!(filled("https://x.test/{ip6}?a=1", false), Err(TemplateError::Missing));
        assert_eq!(filled("https://x.test/{name", true), Err(TemplateError::Open));
        assert_eq!(filled("https://x.test/?q={word}", true), Err(TemplateError::Unknown));
    }
}
