//! The compressions of TIFF.

use fdeflate::Decompressor;
use weezl::{BitOrder, LzwStatus};

/// Compression of a strip or tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// Not at all.
    Raw,
    /// Lempel-Ziv-Welch with TIFF's early change of the code's length.
    Lzw,
    /// zlib.
    Deflate,
    /// Runs of equal bytes.
    PackBits,
}

impl Compression {
    /// The compression with this number in the directory; the error is an unsupported number.
    pub(crate) fn of_tag(number: usize) -> Result<Compression, usize> {
        match number {
            1 => Ok(Compression::Raw),
            5 => Ok(Compression::Lzw),
            // The official number, and the one from before there was one.
            8 | 32_946 => Ok(Compression::Deflate),
            32_773 => Ok(Compression::PackBits),
            other => Err(other),
        }
    }
}

/// The `length` bytes that `packed` holds, in `buffer` if they had to be unpacked; what comes after them is left alone,
/// as other readers do.
///
/// # Errors
/// Reason for the missing bytes.
pub(crate) fn unpack<'a>(
    compression: Compression,
    packed: &'a [u8],
    length: usize,
    buffer: &'a mut Vec<u8>,
) -> Result<&'a [u8], String> {
    let short = |held: usize| format!("a strip or tile holds {held} of {length} bytes");
    if compression != Compression::Raw {
        buffer.resize(length, 0);
    }
    let filled = match compression {
        Compression::Raw => return packed.get(..length).ok_or_else(|| short(packed.len())),
        Compression::Lzw => lzw(packed, buffer)?,
        Compression::Deflate => deflate(packed, buffer)?,
        Compression::PackBits => pack_bits(packed, buffer),
    };
    if filled < length { Err(short(filled)) } else { Ok(buffer) }
}

fn lzw(packed: &[u8], out: &mut [u8]) -> Result<usize, String> {
    let mut decoder =
        weezl::decode::Configuration::with_tiff_size_switch(BitOrder::Msb, 8).with_yield_on_full_buffer(true).build();
    let (mut read, mut written) = (0, 0);
    while written < out.len() {
        let step = decoder.decode_bytes(&packed[read..], &mut out[written..]);
        read += step.consumed_in;
        written += step.consumed_out;
        match step.status {
            Ok(LzwStatus::Done) => break,
            Ok(_) if step.consumed_in == 0 && step.consumed_out == 0 => break,
            Ok(_) => {}
            Err(error) => return Err(format!("LZW: {error}")),
        }
    }
    Ok(written)
}

fn deflate(packed: &[u8], out: &mut [u8]) -> Result<usize, String> {
    let mut decoder = Decompressor::new();
    let (mut read, mut written) = (0, 0);
    // Also when `out` is full: the checksum comes last.
    while !decoder.is_done() {
        let (consumed, produced) =
            decoder.read(&packed[read..], out, written, true).map_err(|_| "its deflated data are damaged")?;
        read += consumed;
        written += produced;
        if consumed == 0 && produced == 0 {
            break;
        }
    }
    Ok(written)
}

/// A byte n below 128 says that n + 1 bytes follow, one above that the next byte comes 257 - n times; 128 says nothing.
fn pack_bits(packed: &[u8], out: &mut [u8]) -> usize {
    let (mut rest, mut written) = (packed, 0);
    while let [lead, tail @ ..] = rest {
        let lead = usize::from(*lead);
        let room = out.len() - written;
        let step = match lead {
            128 => (0, 0),
            0..128 => {
                let count = (lead + 1).min(tail.len()).min(room);
                out[written..written + count].copy_from_slice(&tail[..count]);
                (count, count)
            }
            _ => {
                let Some(&byte) = tail.first() else { break };
                let count = (257 - lead).min(room);
                out[written..written + count].fill(byte);
                (1, count)
            }
        };
        rest = &tail[step.0..];
        written += step.1;
        if written == out.len() {
            break;
        }
    }
    written
}
