//! Words for the type of a file, by its first bytes.

use athanor_images::file_type::FileType;

/// A phrase for a file that starts with `head`, of which [`FileType::HEAD`] bytes are enough.
pub fn describe(head: &[u8]) -> String {
    let head = &head[..head.len().min(FileType::HEAD)];
    let text = || String::from_utf8_lossy(head);
    let phrase = match FileType::of(head) {
        FileType::Image(format) => return format!("a {format} image"),
        FileType::OtherImage(name) => {
            let article = if name.starts_with('A') { "an" } else { "a" };
            return format!("{article} {name} image");
        }
        FileType::Zip => "a zip archive",
        FileType::EmptyZip => "an empty zip archive",
        FileType::Gzip => "gzip data",
        FileType::Packed(name) => name,
        FileType::LfsPointer => "the pointer of Git LFS to a file",
        FileType::Pdf => "a PDF document",
        FileType::Html => {
            let titled = |title| format!("an HTML page titled `{title}`");
            return title(&text()).map_or_else(|| "an HTML page".to_owned(), titled);
        }
        FileType::Xml => "XML text",
        FileType::Json => "JSON text",
        FileType::Text => return format!("the text `{}`", line(&text())),
        FileType::Empty => "nothing",
        FileType::Zeros => "nothing but zeros",
        FileType::Unknown => {
            let start: Vec<String> = head.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            return format!("data of an unknown type that starts with {}", start.join(" "));
        }
    };
    phrase.to_owned()
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
        assert_eq!(describe(b"\xfd7zXZ\0\0"), "xz data");
        assert_eq!(describe(b"BZh91AY&SY"), "bzip2 data");
        assert_eq!(describe(b"BZh91 is a text"), "the text `BZh91 is a text`");
        assert_eq!(describe(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic"), "a HEIC image");
        assert_eq!(describe(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf"), "an AVIF image");
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
