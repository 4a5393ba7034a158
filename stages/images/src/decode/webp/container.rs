//! The chunks of a file, held to what libwebp's demuxer demands of them (`WebPDemux`, `WebPGetFeatures`), and the file of the image
//! that is read alone: `image-webp` reads on where chunks contradict each other.

/// The largest content of a chunk.
const MAX_CONTENT: u32 = u32::MAX - 8 - 1;
/// Bytes of the name and length of a chunk.
const CHUNK_HEAD: usize = 8;
/// Bytes of the extended header.
const EXTENDED: usize = 10;
/// Bytes of an animation's header.
const ANIMATION: usize = 6;
/// Bytes of an animation's frame before its chunks.
const FRAME_HEAD: usize = 16;

/// Flags of the extended header.
const ALPHA: u8 = 0x10;
const ANIMATED: u8 = 0x02;
const KNOWN_FLAGS: u8 = 0x3e;

const DAMAGED: &str = "its chunks contradict each other";

type Result<T> = std::result::Result<T, &'static str>;

/// An image in a file, or a frame of an animation.
#[derive(Debug, Clone, Copy)]
struct Image<'a> {
    /// Its chunk of transparency.
    alpha: Option<&'a [u8]>,
    /// Name and content of its chunk.
    chunk: (&'a [u8; 4], &'a [u8]),
    /// Place on the canvas, and size.
    place: [u32; 2],
    size: [u32; 2],
}

/// The file of the only image, or of the first frame alone; the error says what is wrong.
pub(super) fn first_image(bytes: &[u8]) -> Result<Vec<u8>> {
    const ENDS: &str = "it ends before its last chunk";
    // Lossless, here and below: the crate runs where a usize has at least 32 bits.
    let length = number(bytes.get(4..8).ok_or(ENDS)?);
    if !(CHUNK_HEAD as u32..=MAX_CONTENT).contains(&length) {
        return Err(DAMAGED);
    }
    let file = bytes.get(..length as usize + CHUNK_HEAD).ok_or(ENDS)?;
    let rest = file.get(12..).ok_or(ENDS)?;
    let (name, content, behind) = chunk(rest)?;
    match name {
        b"VP8X" => extended(content, behind),
        b"VP8 " | b"VP8L" => {
            let (image, _) = image(rest)?;
            Ok(riff(&whole_chunk(image.chunk.0, image.chunk.1)))
        }
        _ => Err(DAMAGED),
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// The first chunk: its name, its content, and what lies behind it.
fn chunk(rest: &[u8]) -> Result<(&[u8; 4], &[u8], &[u8])> {
    let (name, tail) = rest.split_first_chunk::<4>().ok_or(DAMAGED)?;
    let (length, tail) = tail.split_first_chunk::<4>().ok_or(DAMAGED)?;
    let length = u32::from_le_bytes(*length);
    if length > MAX_CONTENT {
        return Err(DAMAGED);
    }
    // Chunks start at even places.
    let (content, behind) = tail.split_at_checked((length + length % 2) as usize).ok_or(DAMAGED)?;
    Ok((name, &content[..length as usize], behind))
}

/// The image whose chunks come first, and what lies behind them.
fn image(mut rest: &[u8]) -> Result<(Image<'_>, &[u8])> {
    let (mut alpha, mut found) = (None, None);
    loop {
        let (name, content, behind) = chunk(rest)?;
        match name {
            b"ALPH" if alpha.is_none() && found.is_none() => alpha = Some(content),
            // Transparency behind its image, or of an image that has it within.
            b"ALPH" if alpha.is_none() => return Err(DAMAGED),
            b"VP8L" if alpha.is_some() => return Err(DAMAGED),
            b"VP8 " | b"VP8L" if found.is_none() => found = Some((name, content, size(name, content)?)),
            _ => break,
        }
        rest = behind;
        match rest.len() {
            0 => break,
            1..CHUNK_HEAD => return Err(DAMAGED),
            _ => {}
        }
    }
    let (name, content, size) = found.ok_or(DAMAGED)?;
    Ok((Image { alpha, chunk: (name, content), place: [0, 0], size }, rest))
}

/// The size of an image in its chunk.
fn size(name: &[u8; 4], content: &[u8]) -> Result<[u32; 2]> {
    const HEADER: &str = "it ends within the header of its frame";
    if name == b"VP8L" {
        let header: &[u8; 5] = content.first_chunk().ok_or(HEADER)?;
        let sizes = number(&header[1..]);
        return match (header[0], sizes >> 29) {
            (0x2f, 0) => Ok([(sizes & 0x3fff) + 1, (sizes >> 14 & 0x3fff) + 1]),
            _ => Err("its frame has an unknown version"),
        };
    }
    let header: &[u8; 10] = content.first_chunk().ok_or(HEADER)?;
    let side = |at: usize| number(&header[at..at + 2]) & 0x3fff;
    match (header[3..6] == [0x9d, 0x01, 0x2a], [side(6), side(8)]) {
        (true, size) if !size.contains(&0) => Ok(size),
        _ => Err("its frame has no size"),
    }
}

/// The same for a file with an extended header.
fn extended(header: &[u8], mut rest: &[u8]) -> Result<Vec<u8>> {
    let header: &[u8; EXTENDED] = header.first_chunk().ok_or(DAMAGED)?;
    let (flags, canvas) = (header[0], [number(&header[4..7]) + 1, number(&header[7..10]) + 1]);
    let animated = flags & ANIMATED != 0;
    if flags & !KNOWN_FLAGS != 0 || is_too_large(canvas) {
        return Err(DAMAGED);
    }
    let (mut images, mut animation) = (Vec::new(), None);
    while !rest.is_empty() {
        let (name, content, behind) = chunk(rest)?;
        match name {
            b"ALPH" | b"VP8 " | b"VP8L" => {
                if animated || animation.is_some() || !images.is_empty() {
                    return Err(DAMAGED);
                }
                let (found, behind_image) = image(rest)?;
                images.push(found);
                rest = behind_image;
                continue;
            }
            b"VP8X" => return Err(DAMAGED),
            b"ANIM" if content.len() < ANIMATION => return Err(DAMAGED),
            b"ANIM" => animation = animation.or(Some(content)),
            b"ANMF" => {
                animation.ok_or(DAMAGED)?;
                let (found, behind_image) = frame(content, &rest[CHUNK_HEAD..])?;
                if animated {
                    images.push(found);
                }
                rest = behind_image;
                continue;
            }
            _ => {}
        }
        rest = behind;
    }
    let fits = |image: &Image<'_>| match animated {
        true => (0..2).all(|side| image.place[side] + image.size[side] <= canvas[side]),
        false => image.size == canvas,
    };
    let first = images.first().copied().ok_or(DAMAGED)?;
    if !images.iter().all(fits) {
        return Err("an image does not fit the size of the whole");
    }
    Ok(match (animation, animated) {
        (Some(animation), true) => of_frame(header, animation, &first),
        // Without its flag transparency does not count.
        _ => of_image(if flags & ALPHA != 0 { first } else { Image { alpha: None, ..first } }),
    })
}

fn is_too_large([width, height]: [u32; 2]) -> bool {
    u64::from(width) * u64::from(height) >= 1 << 32
}

/// The frame in the content of a chunk, after which `rest` of the file goes on, and what lies behind its image.
fn frame<'a>(content: &'a [u8], rest: &'a [u8]) -> Result<(Image<'a>, &'a [u8])> {
    let head: &[u8; FRAME_HEAD] = content.first_chunk().ok_or(DAMAGED)?;
    let side = |at: usize| number(&head[at..at + 3]);
    if is_too_large([side(6) + 1, side(9) + 1]) {
        return Err(DAMAGED);
    }
    let parts = &rest[FRAME_HEAD..];
    let (found, behind) = image(parts)?;
    let padded = content.len() + content.len() % 2;
    if parts.len() - behind.len() > padded - FRAME_HEAD {
        return Err(DAMAGED);
    }
    Ok((Image { place: [2 * side(0), 2 * side(3)], ..found }, behind))
}

fn whole_chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    // Lossless: the content of a chunk, or of several of one chunk.
    let mut out = [&name[..], &(content.len() as u32).to_le_bytes(), content].concat();
    out.resize(out.len() + out.len() % 2, 0);
    out
}

fn riff(chunks: &[u8]) -> Vec<u8> {
    whole_chunk(b"RIFF", &[b"WEBP", chunks].concat())
}

/// The chunks of an image.
fn parts(image: &Image<'_>) -> Vec<u8> {
    let alpha = image.alpha.map(|alpha| whole_chunk(b"ALPH", alpha)).unwrap_or_default();
    [alpha, whole_chunk(image.chunk.0, image.chunk.1)].concat()
}

fn of_image(image: Image<'_>) -> Vec<u8> {
    if image.alpha.is_none() {
        return riff(&parts(&image));
    }
    let mut header = [0; EXTENDED];
    header[0] = ALPHA;
    header[4..7].copy_from_slice(&(image.size[0] - 1).to_le_bytes()[..3]);
    header[7..].copy_from_slice(&(image.size[1] - 1).to_le_bytes()[..3]);
    riff(&[whole_chunk(b"VP8X", &header), parts(&image)].concat())
}

fn of_frame(header: &[u8; EXTENDED], animation: &[u8], image: &Image<'_>) -> Vec<u8> {
    let mut header = *header;
    header[0] &= ALPHA | ANIMATED;
    let halves = image.place.map(|place| place / 2);
    let numbers = [halves[0], halves[1], image.size[0] - 1, image.size[1] - 1, 0];
    let mut frame: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()[..3].to_vec()).collect();
    // Not blended with the canvas, which is empty.
    frame.push(2);
    frame.extend(parts(image));
    let chunks = [whole_chunk(b"VP8X", &header), whole_chunk(b"ANIM", &animation[..ANIMATION])];
    riff(&[chunks.concat(), whole_chunk(b"ANMF", &frame)].concat())
}
