//! Patterns that extract fields: `10580_1610_C1_1` by `{antibody}_{plate}_{well}_{n}`.

use super::template::{Segment, Template, TemplateError};

/// A pattern that extracts the fields of a text.
///
/// A field is one or more characters and holds neither the text before it nor the text after it, so that there is one
/// way to match a text, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// Text in front of all fields.
    start: String,
    /// The fields, each with the text behind it.
    fields: Vec<(String, String)>,
}

impl Pattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Pattern, TemplateError> {
        let mut pattern = Pattern { start: String::new(), fields: Vec::new() };
        for segment in Template::parse(text)?.segments {
            match (segment, pattern.fields.last_mut()) {
                (Segment::Text(text), None) => pattern.start = text,
                (Segment::Text(text), Some((_, after))) => *after = text,
                (Segment::Field { name, reserved: true }, _) => return Err(TemplateError::Reserved(name)),
                (Segment::Field { name, .. }, Some((before, between))) if between.is_empty() => {
                    return Err(TemplateError::Adjacent(before.clone(), name));
                }
                (Segment::Field { name, .. }, _) => {
                    if pattern.names().any(|other| other == name) {
                        return Err(TemplateError::Twice(name));
                    }
                    pattern.fields.push((name, String::new()));
                }
            }
        }
        if pattern.fields.is_empty() { Err(TemplateError::NoFields) } else { Ok(pattern) }
    }

    /// The names of the fields, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_str())
    }

    /// The fields of `text`, in order; none if it does not match.
    pub fn extract<'t>(&self, text: &'t str) -> Option<Vec<&'t str>> {
        let mut rest = text.strip_prefix(self.start.as_str())?;
        let mut before = self.start.as_str();
        let mut values = Vec::with_capacity(self.fields.len());
        for (_, after) in &self.fields {
            let end = if after.is_empty() { rest.len() } else { rest.find(after.as_str())? };
            let value = &rest[..end];
            if value.is_empty() || (!before.is_empty() && value.contains(before)) {
                return None;
            }
            values.push(value);
            rest = &rest[end + after.len()..];
            before = after;
        }
        rest.is_empty().then_some(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HPA: &str = "{antibody}_{plate}_{well}_{n}";

    fn apart<'t>(pattern: &str, text: &'t str) -> Option<Vec<&'t str>> {
        Pattern::parse(pattern).unwrap().extract(text)
    }

    #[test]
    fn ids_of_the_atlas_are_taken_apart() {
        assert_eq!(apart(HPA, "10580_1610_C1_1"), Some(vec!["10580", "1610", "C1", "1"]));
        for wrong in ["10580_1610_C1", "10580_1610_C1_1_2", "10580__C1_1", "", "____", "10580_1610_C1_"] {
            assert_eq!(apart(HPA, wrong), None, "{wrong}");
        }
        assert_eq!(apart("HPA-{n}.png", "HPA-12.png"), Some(vec!["12"]));
        assert_eq!(apart("HPA-{n}.png", "HPA-12.png.png"), None);
        assert_eq!(apart("HPA-{n}.png", "hpa-12.png"), None);
    }

    #[test]
    fn patterns_that_could_mean_two_things_are_refused() {
        let refused = |text: &str| Pattern::parse(text).unwrap_err();
        assert_eq!(refused("{a}{b}"), TemplateError::Adjacent("a".to_owned(), "b".to_owned()));
        assert_eq!(refused("{a}_{a}"), TemplateError::Twice("a".to_owned()));
        assert_eq!(refused("plain"), TemplateError::NoFields);
        assert_eq!(refused("{+a}"), TemplateError::Reserved("a".to_owned()));
    }

    proptest! {
        #[test]
        fn what_was_put_together_comes_apart_again(values in proptest::collection::vec("[^_]{1,5}", 4)) {
            let together = values.join("_");
            prop_assert_eq!(apart(HPA, &together).unwrap(), values);
        }

        #[test]
        fn what_comes_apart_can_be_put_together(pattern in "[{}ab_é]{0,12}", text in "[ab_é]{0,8}") {
            if let Ok(pattern) = Pattern::parse(&pattern)
                && let Some(values) = pattern.extract(&text)
            {
                let fields = values.iter().zip(&pattern.fields);
                let together: String = fields.flat_map(|(value, (_, after))| [value, after.as_str()]).collect();
                prop_assert_eq!(pattern.start + &together, text);
            }
        }
    }
}
