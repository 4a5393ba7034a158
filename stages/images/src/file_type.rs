//! Types of files by their first bytes.

use serde::{Deserialize, Serialize};

/// The kinds of image file that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageFormat {
    /// Portable Network Graphics.
    Png,
    /// JPEG (JFIF, Exif or bare), baseline or progressive.
    Jpeg,
    /// TIFF or BigTIFF, of either byte order.
    Tiff,
    /// Windows bitmap.
    Bmp,
    /// Graphics Interchange Format.
    Gif,
    /// WebP, lossy or lossless.
    Webp,
    /// Portable any map: PBM, PGM, PPM or PAM.
    Pnm,
    /// Quite OK Image.
    Qoi,
}

impl ImageFormat {
    /// The usual file name extension, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            ImageFormat::Png => "png",
            ImageFormat::Jpeg => "jpg",
            ImageFormat::Tiff => "tif",
            ImageFormat::Bmp => "bmp",
            ImageFormat::Gif => "gif",
            ImageFormat::Webp => "webp",
            ImageFormat::Pnm => "pnm",
            ImageFormat::Qoi => "qoi",
        }
    }
}

impl std::fmt::Display for ImageFormat {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            ImageFormat::Png => "PNG",
            ImageFormat::Jpeg => "JPEG",
            ImageFormat::Tiff => "TIFF",
            ImageFormat::Bmp => "BMP",
            ImageFormat::Gif => "GIF",
            ImageFormat::Webp => "WebP",
            ImageFormat::Pnm => "PNM",
            ImageFormat::Qoi => "QOI",
        })
    }
}

/// The type of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileType {
    /// An image in a format that is read here.
    Image(ImageFormat),
    /// An image in another format.
    OtherImage(&'static str),
    /// A zip archive.
    Zip,
    /// A zip archive without entries.
    EmptyZip,
    /// Data compressed by gzip.
    Gzip,
    /// Data packed by another program, in words.
    Packed(&'static str),
    /// The note that Git LFS leaves in the place of a file that was not fetched.
    LfsPointer,
    /// A PDF document.
    Pdf,
    /// A web page.
    Html,
    /// XML, or another document in markup.
    Xml,
    /// JSON.
    Json,
    /// Other plain text.
    Text,
    /// No bytes at all.
    Empty,
    /// Nothing but zeros, as an interrupted download leaves behind that had reserved its space.
    Zeros,
    /// None of these.
    Unknown,
}

const SIGNATURES: [(&[u8], FileType); 23] = [
    (b"\x89PNG\r\n\x1a\n", FileType::Image(ImageFormat::Png)),
    (b"\xff\xd8\xff", FileType::Image(ImageFormat::Jpeg)),
    (b"II\x2a\x00", FileType::Image(ImageFormat::Tiff)),
    (b"MM\x00\x2a", FileType::Image(ImageFormat::Tiff)),
    (b"II\x2b\x00", FileType::Image(ImageFormat::Tiff)),
    (b"MM\x00\x2b", FileType::Image(ImageFormat::Tiff)),
    (b"GIF87a", FileType::Image(ImageFormat::Gif)),
    (b"GIF89a", FileType::Image(ImageFormat::Gif)),
    (b"qoif", FileType::Image(ImageFormat::Qoi)),
    (b"\x00\x00\x00\x0cjP", FileType::OtherImage("JPEG 2000")),
    (b"\xff\x4f\xff\x51", FileType::OtherImage("JPEG 2000")),
    (b"\x00\x00\x00\x0cJXL ", FileType::OtherImage("JPEG XL")),
    (b"\xff\x0a", FileType::OtherImage("JPEG XL")),
    (b"\xfd7zXZ\x00", FileType::Packed("xz data")),
    (b"\x28\xb5\x2f\xfd", FileType::Packed("zstd data")),
    (b"\x04\x22\x4d\x18", FileType::Packed("LZ4 data")),
    (b"7z\xbc\xaf\x27\x1c", FileType::Packed("a 7-Zip archive")),
    (b"Rar!\x1a\x07", FileType::Packed("a RAR archive")),
    (b"version https://git-lfs.github.com/", FileType::LfsPointer),
    (b"PK\x03\x04", FileType::Zip),
    (b"PK\x05\x06", FileType::EmptyZip),
    (b"\x1f\x8b", FileType::Gzip),
    (b"%PDF", FileType::Pdf),
];

impl FileType {
    /// Number of bytes, from the start of a file, that [`of`](Self::of) looks at; of a shorter file all of them.
    pub const HEAD: usize = 1024;

    /// The type of a file that starts with `head`.
    pub fn of(head: &[u8]) -> FileType {
        if let Some((_, known)) = SIGNATURES.iter().find(|(signature, _)| head.starts_with(signature)) {
            return *known;
        }
        if let Some(format) = FileType::of_weak_signature(head) {
            return FileType::Image(format);
        }
        if let Some(known) = FileType::of_later_signature(head) {
            return known;
        }
        let head = &head[..head.len().min(Self::HEAD)];
        if head.is_empty() {
            return FileType::Empty;
        }
        if head.iter().all(|&byte| byte == 0) {
            return FileType::Zeros;
        }
        FileType::of_text(head)
    }

    /// Formats whose first bytes alone could be those of a text.
    fn of_weak_signature(head: &[u8]) -> Option<ImageFormat> {
        let rest = |from: usize| head.get(from..).unwrap_or_default();
        if head.starts_with(b"RIFF") && rest(8).starts_with(b"WEBP") {
            return Some(ImageFormat::Webp);
        }
        // The length of the second header: 12 to 124 bytes, in steps.
        if head.starts_with(b"BM") && matches!(rest(14), [12 | 16 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0, ..]) {
            return Some(ImageFormat::Bmp);
        }
        // A bitmap of a clipboard, which starts with the second header: its length, two sides, one plane, bits, compression.
        let is_bare = |rest: &[u8]| matches!(rest, [1, 0, 1 | 4 | 8 | 16 | 24 | 32, 0, 0..=3, 0, 0, 0, ..]);
        if head.starts_with(&[40, 0, 0, 0]) && is_bare(rest(12)) {
            return Some(ImageFormat::Bmp);
        }
        match head {
            [b'P', b'1'..=b'6', space, b'0'..=b'9' | b'#' | b'\n' | b'\r' | b' ' | b'\t', ..]
                if space.is_ascii_whitespace() =>
            {
                Some(ImageFormat::Pnm)
            }
            [b'P', b'7', b'\n', ..] => Some(ImageFormat::Pnm),
            _ => None,
        }
    }

    /// Formats that are told by bytes behind the first.
    fn of_later_signature(head: &[u8]) -> Option<FileType> {
        if head.starts_with(b"BZh") && head.get(4..10) == Some(b"1AY&SY") {
            return Some(FileType::Packed("bzip2 data"));
        }
        // ISO's container of media: the length of a list, and the formats in it, the main one first.
        let formats = head.get(8..).filter(|_| head.get(4..8) == Some(b"ftyp"))?;
        let length = head.first_chunk().map_or(0, |length| u32::from_be_bytes(*length) as usize);
        let formats = &formats[..formats.len().min(length.saturating_sub(8))];
        let has = |known: &[&[u8; 4]]| formats.as_chunks::<4>().0.iter().any(|format| known.contains(&format));
        if has(&[b"avif", b"avis"]) {
            return Some(FileType::OtherImage("AVIF"));
        }
        has(&[b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"]).then_some(FileType::OtherImage("HEIC"))
    }

    fn of_text(head: &[u8]) -> FileType {
        let text = String::from_utf8_lossy(head).trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
        let starts = |starts: &[&str]| starts.iter().any(|start| text.starts_with(start));
        if starts(&["<!doctype html", "<html", "<head"]) || text.contains("<head>") {
            return FileType::Html;
        }
        if starts(&["<?xml", "<!doctype", "<!--"]) {
            return FileType::Xml;
        }
        if head.starts_with(b"{") || head.starts_with(b"[") {
            return FileType::Json;
        }
        let printable = |&byte: &u8| !byte.is_ascii_control() || byte.is_ascii_whitespace();
        if head.iter().all(printable) { FileType::Text } else { FileType::Unknown }
    }
}
