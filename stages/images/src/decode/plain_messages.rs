//! Messages of the decoders' crates without the words of a programming language.

/// Ends of files, as the crates and the standard library call them.
const ENDS: [&str; 5] = [
    "failed to fill whole buffer",
    "unexpected end of file",
    "unexpected end of data",
    "unexpected end of pnm header",
    "not enough data was provided",
];

/// A message in plain words.
pub(super) fn plain(message: &str) -> String {
    let lower = message.to_ascii_lowercase();
    if ENDS.iter().any(|end| lower.contains(end)) {
        return "it ends early".to_owned();
    }
    if lower == "limits are exceeded" {
        return "it takes more memory than the limit".to_owned();
    }
    // The format is named before.
    let message = message
        .strip_prefix("Format error decoding ")
        .and_then(|rest| Some(rest.split_once(": ")?.1))
        .unwrap_or(message);
    if let Some((before, name)) = message.split_once("Corrupt deflate stream. ") {
        return format!("{before}the compressed data are corrupt: {}", separate(name));
    }
    let mut out = String::with_capacity(message.len());
    let mut rest = message;
    // The name of a chunk comes with the meaning of its letters.
    while let Some((before, after)) = rest.split_once("ChunkType { type: ") {
        let Some((name, behind)) = after.split_once(',').and_then(|(name, tail)| Some((name, tail.split_once('}')?.1)))
        else {
            break;
        };
        out.push_str(&format!("{before}`{name}`"));
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// The words of a name that joins them by capitals.
fn separate(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 8);
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_functions_are_not_named() {
        let chunk = "CRC error: 0x0 while decoding ChunkType { type: tEXt, critical: false, safecopy: true } chunk.";
        assert_eq!(plain(chunk), "CRC error: 0x0 while decoding `tEXt` chunk.");
        assert_eq!(plain("failed to fill whole buffer"), "it ends early");
        let pnm = "Format error decoding Pnm: Not enough data was provided to the Decoder to decode the image";
        assert_eq!(plain(pnm), "it ends early");
        let header = "Format error decoding Pnm: Unknown header line with identifier \"MA\"";
        assert_eq!(plain(header), "Unknown header line with identifier \"MA\"");
        assert_eq!(plain("limits are exceeded"), "it takes more memory than the limit");
        assert_eq!(plain("ChunkType { type: odd"), "ChunkType { type: odd");
        let corrupt = "the compressed data are corrupt: wrong checksum";
        assert_eq!(plain("Corrupt deflate stream. WrongChecksum"), corrupt);
    }
}
