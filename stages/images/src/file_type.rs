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
}

impl ImageFormat {
    /// The usual file name extension, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            ImageFormat::Png => "png",
            ImageFormat::Jpeg => "jpg",
            ImageFormat::Tiff => "tif",
        }
    }
}

impl std::fmt::Display for ImageFormat {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            ImageFormat::Png => "PNG",
            ImageFormat::Jpeg => "JPEG",
            ImageFormat::Tiff => "TIFF",
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

const SIGNATURES: [(&[u8], FileType); 14] = [
    (b"\x89PNG\r\n\x1a\n", FileType::Image(ImageFormat::Png)),
    (b"\xff\xd8\xff", FileType::Image(ImageFormat::Jpeg)),
    (b"II\x2a\x00", FileType::Image(ImageFormat::Tiff)),
    (b"MM\x00\x2a", FileType::Image(ImageFormat::Tiff)),
    (b"II\x2b\x00", FileType::Image(ImageFormat::Tiff)),
    (b"MM\x00\x2b", FileType::Image(ImageFormat::Tiff)),
    (b"GIF8", FileType::OtherImage("GIF")),
    (b"BM", FileType::OtherImage("BMP")),
    (b"RIFF", FileType::OtherImage("RIFF (WebP)")),
    (b"\x00\x00\x00\x0cjP", FileType::OtherImage("JPEG 2000")),
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
        let head = &head[..head.len().min(Self::HEAD)];
        if head.is_empty() {
            return FileType::Empty;
        }
        if head.iter().all(|&byte| byte == 0) {
            return FileType::Zeros;
        }
        FileType::of_text(head)
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
