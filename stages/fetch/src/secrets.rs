//! Secrets in addresses: passwords and tokens that a URL carries, and texts without them.
//!
//! Two places are known: `https://USER:PASSWORD@host/`, and parts of the query (or fragment) whose names say that they
//! let somebody in, `?access_token=…`. These become `***` wherever an address is shown, logged or recorded; the address
//! that is fetched and fingerprinted stays as it is. Names without a value of their own (`$TOKEN`, `{token}`) are no
//! secrets.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::Value;

/// Replacement of a secret.
pub const MASK: &str = "***";

/// Names of query parameters that are secrets, in lower case, letters and digits alone.
const NAMES: &[&str] = &[
    "key",
    "sig",
    "auth",
    "authorization",
    "pass",
    "pat",
    "jwt",
    "sas",
    "session",
    "sessionid",
    "awsaccesskeyid",
    "googleaccessid",
    "subscriptionkey",
];
/// Suffixes of longer names of such parameters: `X-Amz-Security-Token`, `client_secret`.
const ENDINGS: &[&str] = &[
    "token",
    "secret",
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "signature",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "credential",
    "credentials",
];
/// A user without a password who is longer than this is a token.
const LONGEST_USER: usize = 15;

/// The text with its secrets masked.
pub fn mask(text: &str) -> Cow<'_, str> {
    let secrets = secrets(text);
    if secrets.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut masked = String::with_capacity(text.len());
    let mut copied = 0;
    for secret in secrets {
        masked.push_str(&text[copied..secret.start]);
        masked.push_str(MASK);
        copied = secret.end;
    }
    masked.push_str(&text[copied..]);
    Cow::Owned(masked)
}

/// Masks the secrets in every text of a value; returns whether there were any.
pub fn mask_value(value: &mut Value) -> bool {
    match value {
        Value::String(text) => match mask(text) {
            Cow::Borrowed(_) => false,
            Cow::Owned(masked) => {
                *text = masked;
                true
            }
        },
        Value::Array(items) => items.iter_mut().fold(false, |any, item| mask_value(item) | any),
        Value::Object(map) => map.values_mut().fold(false, |any, item| mask_value(item) | any),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether a value has a text with a secret in it.
pub fn has_secret(value: &Value) -> bool {
    match value {
        Value::String(text) => !secrets(text).is_empty(),
        Value::Array(items) => items.iter().any(has_secret),
        Value::Object(map) => map.values().any(has_secret),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Ranges of the secrets in a text, in order and disjoint.
pub fn secrets(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let schemes = text
        .match_indices("://")
        .filter(|(at, _)| text[..*at].ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')));
    for (at, separator) in schemes {
        let start = at + separator.len();
        let end = text[start..].find(ends_address).map_or(text.len(), |length| start + length);
        in_user(text, start..end, &mut found);
        in_query(text, start..end, &mut found);
    }
    // An address within another one is found on its own and as a part of it.
    found.sort_by_key(|range| (range.start, range.end));
    found.dedup_by(|next, last| {
        let overlap = next.start < last.end;
        if overlap {
            last.end = last.end.max(next.end);
        }
        overlap
    });
    found
}

/// Whether an address ends before this character.
fn ends_address(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '"' | '`' | '<' | '>')
}

/// The password, or a token in the place of the user, in the address that lies at `address` behind its `://`.
fn in_user(text: &str, address: Range<usize>, found: &mut Vec<Range<usize>>) {
    let rest = &text[address.clone()];
    let authority = &rest[..rest.find(['/', '?', '#', '\\', '\'']).unwrap_or(rest.len())];
    let user_info = match authority.rfind('@') {
        Some(at) => &rest[..at],
        // A password with a `/` in it turns the text before it into a port that is not a number.
        None => {
            let port = authority.split_once(':').map(|(_, port)| port).unwrap_or_default();
            let odd = !port.is_empty() && !port.bytes().all(|byte| byte.is_ascii_digit());
            match rest.rfind('@').filter(|_| odd) {
                Some(at) => &rest[..at],
                None => return,
            }
        }
    };
    let (user, password) = user_info.split_once(':').map_or((user_info, ""), |(user, password)| (user, password));
    let place = |start: usize, part: &str| address.start + start..address.start + start + part.len();
    if user.len() > LONGEST_USER && is_value(user) {
        found.push(place(0, user));
    }
    if is_value(password) {
        found.push(place(user.len() + 1, password));
    }
}

/// The values of parameters that let somebody in.
fn in_query(text: &str, address: Range<usize>, found: &mut Vec<Range<usize>>) {
    let Some(query) = text[address.clone()].find(['?', '#']) else { return };
    let parameters = parameters(text, address.start + query + 1..address.end);
    let signed = parameters.iter().any(|(name, _)| name == "sig");
    for (name, value) in parameters {
        // The version of the rules by which an Azure address is signed goes with its signature.
        let is_secret =
            NAMES.contains(&name.as_str()) || ENDINGS.iter().any(|end| name.ends_with(end)) || (signed && name == "sv");
        if is_secret && is_value(&text[value.clone()]) {
            found.push(value);
        }
    }
}

/// The parameters in the query at `query`: names in lower case, letters and digits alone, and where the values are.
fn parameters(text: &str, query: Range<usize>) -> Vec<(String, Range<usize>)> {
    /// Escapes of `&` in JSON.
    const ESCAPED: &str = "\\u0026";
    let mut parameters = Vec::new();
    let mut at = query.start;
    for part in text[query].split(['&', ';', '#', '?', '|']) {
        let mut start = at;
        for piece in part.split(ESCAPED) {
            if let Some((name, value)) = piece.split_once('=') {
                let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
                let letters = name.chars().filter(char::is_ascii_alphanumeric);
                let value_start = start + piece.len() - value.len();
                let length = value.find('\'').unwrap_or(value.len());
                parameters.push((letters.map(|c| c.to_ascii_lowercase()).collect(), value_start..value_start + length));
            }
            start += piece.len() + ESCAPED.len();
        }
        at += part.len() + 1;
    }
    parameters
}

/// Whether a text is a value, and not the name of one: `$NAME`, `${NAME}`, `{name}`, `{+name}`; nor masked already.
fn is_value(text: &str) -> bool {
    let name = text.strip_prefix('$').unwrap_or(text);
    let braced = name.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '+' | '-'));
    let stands_for = braced.is_some_and(is_name) || (name.len() < text.len() && is_name(name));
    !text.is_empty() && text != MASK && !stands_for
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_masked_and_nothing_else() {
        let cases = [
            ("https://user:hunter2@host/a", "https://user:***@host/a"),
            ("curl 'https://u:p%40ss@h/x?a=1&token=abc' -o y", "curl 'https://u:***@h/x?a=1&token=***' -o y"),
            (
                "https://h/?X-Amz-Credential=AK%2Fs3&X-Amz-Date=1&X-Amz-Signature=f0#x",
                "https://h/?X-Amz-Credential=***&X-Amz-Date=1&X-Amz-Signature=***#x",
            ),
            (
                "https://h/?X-Amz-Security-Token=t&AWSAccessKeyId=a&Signature=s",
                "https://h/?X-Amz-Security-Token=***&AWSAccessKeyId=***&Signature=***",
            ),
            (
                "https://a.blob.core.windows.net/c?sv=2020&sr=b&sig=x%3D",
                "https://a.blob.core.windows.net/c?sv=***&sr=b&sig=***",
            ),
            (
                "https://h/?api_key=1&apikey=2&key=3&password=4&client_secret=5",
                "https://h/?api_key=***&apikey=***&key=***&password=***&client_secret=***",
            ),
            ("https://h/cb#access_token=t&state=1", "https://h/cb#access_token=***&state=1"),
            ("{\"url\":\"https://h/?a=1\\u0026token=t\"}", "{\"url\":\"https://h/?a=1\\u0026token=***\"}"),
            ("<a href=\"https://h/?a=1&amp;sig=t\">", "<a href=\"https://h/?a=1&amp;sig=***\">"),
            ("https://h/?to%6ben=t", "https://h/?to%6ben=***"),
            ("https://u:pa/ss#w@h/x", "https://u:***@h/x"),
            ("https://u:a@b@h/x", "https://u:***@h/x"),
            ("https://ghp_0123456789abcdef@github.com/x", "https://***@github.com/x"),
            ("redis://:pw@h postgres://u:p@h/db", "redis://:***@h postgres://u:***@h/db"),
            ("https://h/?next=https://u:p@i/", "https://h/?next=https://u:***@i/"),
            ("https://h/?token=https://u:p@i/", "https://h/?token=***"),
            ("https://ü:pä@h/?töken=1&token=ä", "https://ü:***@h/?töken=1&token=***"),
        ];
        for (text, masked) in cases {
            assert_eq!(mask(text), masked);
            assert_eq!(mask(masked), masked);
        }
        for plain in [
            "",
            "://",
            "https://host:8080/a?x=1#token",
            "https://host/@scope/p@1.0?email=a@b",
            "git@host:x token=abc key=1",
            "ssh://git@host/x",
            "https://$USER:${PASS}@h/?token=$TOKEN&sig={sig}&key={+key}",
            "https://h/?token=&tokens_of=3&monkey=1",
        ] {
            assert!(matches!(mask(plain), Cow::Borrowed(same) if same == plain), "{plain}: {}", mask(plain));
        }
    }

    #[test]
    fn values_are_masked_wherever_they_lie() {
        let mut value = json!({ "run": "curl https://u:p@h", "n": 1, "l": [{ "url": "https://h?token=t" }, null] });
        assert!(has_secret(&value));
        assert!(mask_value(&mut value));
        assert_eq!(
            value,
            json!({ "run": "curl https://u:***@h", "n": 1, "l": [{ "url": "https://h?token=***" }, null] })
        );
        assert!(!mask_value(&mut value) && !has_secret(&value));
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "[a@:/?#&;='\"\\\\u0026 é$*{}%-]{0,40}", secret in "[a-zA-Z0-9._~-]{4,20}") {
            let once = mask(&text).into_owned();
            prop_assert_eq!(mask(&once), once.as_str());
            // An address ends where a space or a quote is, and with it what can be known of it.
            prop_assume!(!text.contains([' ', '"', '\'']) && !text.contains(&secret));
            for address in [format!("https://u:{secret}@h/{text}"), format!("https://h/?{text}&token={secret}&x")] {
                prop_assert!(!mask(&address).contains(&secret), "{}", mask(&address));
            }
        }
    }
}
