//! OME-XML in the description of the first page: what the pages of a microscope's file are.

/// Facts about the pages in a description.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// The names of the channels in the order of the pages, if all are named.
    pub(crate) channels: Vec<String>,
    /// The stack that the pages are, in words, where they are not channels alone.
    pub(crate) stack: Option<String>,
}

/// Reads a description in OME-XML or of ImageJ. `pages` is the number of pages; the error is what is not supported.
pub(crate) fn read(description: &[u8], pages: usize) -> Result<Told, String> {
    let text = String::from_utf8_lossy(description);
    let Some((_, after)) = text.split_once("<OME") else { return imagej(&text, pages) };
    let Some((_, pixels)) = after.split_once("<Pixels") else { return Ok(Told::default()) };
    let pixels = pixels.split_once("</Pixels").map_or(pixels, |(inside, _)| inside);
    let head = pixels.split_once('>').map_or(pixels, |(head, _)| head);
    let size = |name: &str| attribute(head, name).and_then(|size| size.parse::<usize>().ok()).unwrap_or(1);
    if let Some(stack) = stack(pages, size("SizeZ"), size("SizeT")) {
        return Ok(Told { channels: Vec::new(), stack: Some(stack) });
    }
    let channels =
        pixels.split("<Channel").skip(1).filter(|tag| tag.starts_with(|letter: char| letter.is_whitespace()));
    let names: Option<Vec<String>> =
        channels.map(|tag| attribute(tag.split_once('>').map_or(tag, |(head, _)| head), "Name")).collect();
    Ok(Told { channels: names.unwrap_or_default(), stack: None })
}

/// A stack, if the pages are one.
fn stack(pages: usize, depths: usize, times: usize) -> Option<String> {
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    (pages > 1 && depths.max(times) > 1)
        .then(|| format!("a stack of {depths} depth{} and {times} time{}", plural(depths), plural(times)))
}

/// ImageJ says what the pages are in lines, and writes those of large stacks without directories, behind that of the first.
fn imagej(text: &str, pages: usize) -> Result<Told, String> {
    if !text.starts_with("ImageJ=") {
        return Ok(Told::default());
    }
    let number = |name: &str| {
        let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        values.find_map(|value| value.trim().parse::<usize>().ok())
    };
    match number("images") {
        Some(images) if images > pages => Err(format!("a stack of ImageJ with {images} images in {pages} pages")),
        _ => {
            let stack = stack(pages, number("slices").unwrap_or(1), number("frames").unwrap_or(1));
            Ok(Told { channels: Vec::new(), stack })
        }
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
        let channels = |xml: &str| read(xml.as_bytes(), 2).unwrap().channels;
        assert_eq!(channels(xml), ["DAPI & more", "FITC"]);
        assert!(channels(&xml.replace("Name='FITC'", "")).is_empty());
        let stack = xml.replace("SizeZ='1'", "SizeZ='5'");
        assert_eq!(read(stack.as_bytes(), 10).unwrap().stack.as_deref(), Some("a stack of 5 depths and 1 time"));
    }

    #[test]
    fn other_descriptions_name_none() {
        for text in
            ["made by hand", "slices=2", "ImageJ=1.53\nimages=2\nchannels=2\n", "ImageJ=1.53\nslices=1\nframes=1"]
        {
            assert_eq!(read(text.as_bytes(), 2), Ok(Told::default()));
        }
        assert!(read(b"ImageJ=1.53\nimages=3\n", 1).is_err());
    }

    #[test]
    fn stacks_of_imagej_are_no_channels() {
        let stack = |text: &str| read(text.as_bytes(), 4).unwrap().stack;
        assert_eq!(stack("ImageJ=1.53\nimages=4\nslices=4\n").as_deref(), Some("a stack of 4 depths and 1 time"));
        assert_eq!(stack("ImageJ=1.53\nimages=4\nframes=4\n").as_deref(), Some("a stack of 1 depth and 4 times"));
        assert!(stack("ImageJ=1.11a\nimages=4\nchannels=2\nslices=2\nhyperstack=true\n").is_some());
    }
}
