//! OME-XML in the description of the first page: what the pages of a microscope's file are.

/// The names of the channels in the order of the pages, if the description is OME-XML that names them all. `pages` is the
/// number of pages; the error is what is not supported.
pub(crate) fn channels(description: &[u8], pages: usize) -> Result<Vec<String>, String> {
    let text = String::from_utf8_lossy(description);
    let Some((_, after)) = text.split_once("<OME") else { return imagej(&text, pages) };
    let Some((_, pixels)) = after.split_once("<Pixels") else { return Ok(Vec::new()) };
    let pixels = pixels.split_once("</Pixels").map_or(pixels, |(inside, _)| inside);
    let head = pixels.split_once('>').map_or(pixels, |(head, _)| head);
    let size = |name: &str| attribute(head, name).and_then(|size| size.parse::<usize>().ok()).unwrap_or(1);
    let (deep, times) = (size("SizeZ"), size("SizeT"));
    if pages > 1 && deep.max(times) > 1 {
        return Err(format!("a stack of {deep} depths and {times} times, of which no page is a channel alone,"));
    }
    let channels =
        pixels.split("<Channel").skip(1).filter(|tag| tag.starts_with(|letter: char| letter.is_whitespace()));
    let names: Option<Vec<String>> =
        channels.map(|tag| attribute(tag.split_once('>').map_or(tag, |(head, _)| head), "Name")).collect();
    Ok(names.unwrap_or_default())
}

/// ImageJ writes the pages of large stacks without directories, behind that of the first.
fn imagej(text: &str, pages: usize) -> Result<Vec<String>, String> {
    let images = text.lines().filter(|_| text.starts_with("ImageJ=")).find_map(|line| line.strip_prefix("images="));
    match images.and_then(|images| images.trim().parse::<usize>().ok()) {
        Some(images) if images > pages => Err(format!("a stack of ImageJ with {images} images in {pages} pages")),
        _ => Ok(Vec::new()),
    }
}

/// The value of an attribute in the head of a tag.
fn attribute(head: &str, name: &str) -> Option<String> {
    let mut rest = head;
    loop {
        let (before, after) = rest.split_once(name)?;
        let value = after.trim_start().strip_prefix('=').map(str::trim_start);
        let quote = value.and_then(|value| value.chars().next()).filter(|quote| matches!(quote, '"' | '\''));
        if let (true, Some(value), Some(quote)) = (before.ends_with(char::is_whitespace), value, quote) {
            return value[1..].split_once(quote).map(|(value, _)| unescaped(value));
        }
        rest = after;
    }
}

/// Text without the five entities of XML.
fn unescaped(text: &str) -> String {
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    entities.iter().fold(text.to_owned(), |text, (entity, letter)| text.replace(entity, letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_named_in_ome_xml() {
        let xml = r#"<?xml version="1.0"?><OME xmlns="x"><Image ID="a" Name="no"><Pixels ID="P" SizeC="2" SizeZ='1' SizeT = "1"
            Type="uint16"><Channel ID="Channel:0" Name="DAPI &amp; more"/><Channel  ID="1" Name='FITC'><LightPath/></Channel></Pixels>"#;
        assert_eq!(channels(xml.as_bytes(), 2), Ok(vec!["DAPI & more".to_owned(), "FITC".to_owned()]));
        let unnamed = xml.replace("Name='FITC'", "");
        assert_eq!(channels(unnamed.as_bytes(), 2), Ok(Vec::new()));
        let stack = xml.replace("SizeZ='1'", "SizeZ='5'");
        assert!(channels(stack.as_bytes(), 10).unwrap_err().contains("5 depths"));
    }

    #[test]
    fn other_descriptions_name_none() {
        assert_eq!(channels(b"made by hand", 2), Ok(Vec::new()));
        assert_eq!(channels(b"ImageJ=1.53\nimages=2\nchannels=2\n", 2), Ok(Vec::new()));
        assert!(channels(b"ImageJ=1.53\nimages=3\n", 1).is_err());
    }
}
