//! Says what a file is by its first bytes, for messages.

/// Bytes that [`describe`] wants to see, fewer if the file is shorter.
pub const HEAD: usize = 1024;

const MAGIC: &[(&[u8], &str)] = &[
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"GIF8", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x1f\x8b", "gzip data"),
    (b"%PDF", "a PDF document"),
    (b"{", "JSON text"),
    (b"[", "JSON text"),
];

/// What a file is that starts with `head`.
pub fn describe(head: &[u8]) -> String {
    if head.is_empty() {
        return "nothing".to_owned();
    }
    let head = &head[..head.len().min(HEAD)];
    let text = String::from_utf8_lossy(head);
    let lower = text.trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    if lower.starts_with("<!doctype html") || lower.starts_with("<html") || lower.contains("<head>") {
        return match title(&text) {
            Some(title) => format!("an HTML page titled `{title}`"),
            None => "an HTML page".to_owned(),
        };
    }
    if lower.starts_with("<?xml") {
        return "XML text".to_owned();
    }
    if let Some((_, name)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
        return (*name).to_owned();
    }
    if head.iter().all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace()) {
        return format!("the text `{}`", line(&text));
    }
    let start: Vec<String> = head.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("data of an unknown type that starts with {}", start.join(" "))
}

/// The title of an HTML page.
fn title(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let after = lower.find("<title")?;
    let start = after + lower[after..].find('>')? + 1;
    let end = start + lower[start..].find("</title")?;
    let title = line(&text[start..end]);
    (!title.is_empty()).then_some(title)
}

/// The start of a text, on one line.
fn line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    if line.chars().count() > 60 { line.chars().take(57).collect::<String>() + "..." } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_what_servers_send_instead_of_images() {
        assert_eq!(describe(b""), "nothing");
        assert_eq!(
            describe(b"\n<!DOCTYPE html><html><head><title>Not\n found</title>"),
            "an HTML page titled `Not found`"
        );
        assert_eq!(describe(b"<html><body>"), "an HTML page");
        assert_eq!(describe(b"{\"error\": 1}"), "JSON text");
        assert_eq!(describe(b"no such\nimage"), "the text `no such image`");
        assert_eq!(describe(b"\xff\xd8\xff\xe0"), "a JPEG image");
        assert_eq!(describe(&[0, 1, 2]), "data of an unknown type that starts with 00 01 02");
    }

    proptest! {
        #[test]
        fn never_fails(head in proptest::collection::vec(any::<u8>(), 0..64), tail in "(<html>|<TITLE>|İ|</title>|>){0,8}") {
            describe(&[&head[..], tail.as_bytes()].concat());
            describe(tail.as_bytes());
        }
    }
}
