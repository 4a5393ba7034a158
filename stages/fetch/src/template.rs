//! Templates with placeholders: `http://host/{plate}/{well}_{channel}.jpg`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Characters that RFC 3986 leaves unencoded: letters, digits and these.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Characters with a meaning in an address, which `{+name}` leaves unencoded: it fills in parts of paths and whole
/// addresses.
const RESERVED: &AsciiSet = &UNRESERVED
    .remove(b':')
    .remove(b'/')
    .remove(b'?')
    .remove(b'#')
    .remove(b'[')
    .remove(b']')
    .remove(b'@')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b'%');

/// Errors of a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A brace without its partner.
    #[error("a `{0}` stands alone; a brace that is meant is written twice")]
    Brace(char),
    /// A placeholder without a name.
    #[error("`{{}}` has no name")]
    Nameless,
    /// No placeholders at all.
    #[error("there is no `{{field}}` in it")]
    NoFields,
    /// A repeated placeholder.
    #[error("`{{{0}}}` is there twice")]
    Twice(String),
    /// Two adjacent placeholders.
    #[error("between `{{{0}}}` and `{{{1}}}` there must be some text, or it is not known where one ends")]
    Adjacent(String, String),
    /// A placeholder whose form has no meaning there.
    #[error("`{{+{0}}}` has no meaning in a pattern")]
    Reserved(String),
}

/// Encoding of the value of a placeholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// The value, as RFC 6570 writes it into an address: everything but letters, digits and `-._~` percent-encoded; for
    /// `{+name}` also the characters that have a meaning there are left as they are.
    Address,
    /// The value as it is.
    Plain,
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    Text(String),
    Field { name: String, reserved: bool },
}

/// A text with placeholders. `{{` and `}}` stand for single braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pub(super) segments: Vec<Segment>,
}

impl Template {
    /// Reads a template.
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        let mut segments = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = if rest[at..].starts_with('{') { '{' } else { '}' };
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                literal.push(brace);
                rest = after;
                continue;
            }
            let end = rest.find(['{', '}']).filter(|end| brace == '{' && rest[*end..].starts_with('}'));
            let end = end.ok_or(TemplateError::Brace(brace))?;
            let (name, reserved) = match rest[..end].strip_prefix('+') {
                Some(name) => (name, true),
                None => (&rest[..end], false),
            };
            if name.trim().is_empty() {
                return Err(TemplateError::Nameless);
            }
            if !literal.is_empty() {
                segments.push(Segment::Text(std::mem::take(&mut literal)));
            }
            segments.push(Segment::Field { name: name.to_owned(), reserved });
            rest = &rest[end + 1..];
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            segments.push(Segment::Text(literal));
        }
        Ok(Template { segments })
    }

    /// The template of a whole address in one field.
    pub fn of_address(field: &str) -> Template {
        Template { segments: vec![Segment::Field { name: field.to_owned(), reserved: true }] }
    }

    /// The names of the placeholders, in order.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Field { name, .. } => Some(name.as_str()),
            Segment::Text(_) => None,
        })
    }

    /// The text with its placeholders filled.
    ///
    /// # Errors
    /// Those of `value`.
    pub fn fill<'v, E>(
        &self,
        encoding: Encoding,
        mut value: impl FnMut(&str) -> Result<&'v str, E>,
    ) -> Result<String, E> {
        let mut filled = String::new();
        for segment in &self.segments {
            match segment {
                Segment::Text(text) => filled.push_str(text),
                Segment::Field { name, reserved } => {
                    let value = value(name)?;
                    match (encoding, reserved) {
                        (Encoding::Plain, _) => filled.push_str(value),
                        (Encoding::Address, false) => filled.extend(utf8_percent_encode(value, UNRESERVED)),
                        (Encoding::Address, true) => filled.extend(utf8_percent_encode(value, RESERVED)),
                    }
                }
            }
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fill(template: &str, value: &str, encoding: Encoding) -> String {
        let template = Template::parse(template).unwrap();
        template.fill(encoding, |_| Ok::<_, ()>(value)).unwrap()
    }

    #[test]
    fn values_are_encoded_as_rfc_6570_says() {
        // Section 3.2.2 and 3.2.3, with `hello` = "Hello World!" and `path` = "/foo/bar".
        assert_eq!(fill("{hello}", "Hello World!", Encoding::Address), "Hello%20World%21");
        assert_eq!(fill("{+hello}", "Hello World!", Encoding::Address), "Hello%20World!");
        assert_eq!(fill("O{path}X", "/foo/bar", Encoding::Address), "O%2Ffoo%2FbarX");
        assert_eq!(fill("{+path}/here", "/foo/bar", Encoding::Address), "/foo/bar/here");
        assert_eq!(fill("{a}-{b c}", "é/", Encoding::Plain), "é/-é/");
        assert_eq!(fill("{{{x}}}", "1", Encoding::Plain), "{1}");
    }

    #[test]
    fn braces_come_in_pairs() {
        assert_eq!(Template::parse("a{b"), Err(TemplateError::Brace('{')));
        assert_eq!(Template::parse("a}b"), Err(TemplateError::Brace('}')));
        assert_eq!(Template::parse("{a{b}}"), Err(TemplateError::Brace('{')));
        assert_eq!(Template::parse("{ }"), Err(TemplateError::Nameless));
        assert_eq!(Template::parse("{+}"), Err(TemplateError::Nameless));
        assert_eq!(Template::parse("").unwrap().segments, []);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[{}+aé]{0,12}", other in any::<String>()) {
            for text in [text, other] {
                if let Ok(template) = Template::parse(&text) {
                    template.fill(Encoding::Address, |_| Ok::<_, ()>("ä/")).unwrap();
                }
            }
        }

        #[test]
        fn a_filled_address_holds_no_more_parts_than_its_template(value in any::<String>()) {
            let filled = fill("http://host/{x}/end", &value, Encoding::Address);
            prop_assert_eq!(filled.matches(['/', '?', '#', '@', ':', ' ']).count(), 5);
        }
    }
}
