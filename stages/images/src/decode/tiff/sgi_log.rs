//! SGI's logarithms of light (LogL, and LogLuv of 32 bits): rows of runs for each byte of the samples, the highest first.
//!
//! They become 8 bits as in libtiff's RGBA interface: square roots of linear light, of which 1 is the most that is shown. The form
//! of 24 bits, whose colours are places in a table of their own, is left out.

use std::f64::consts::LN_2;

use super::super::{DecodeError, damaged};
use super::FORMAT;

/// Parts of the range of the numbers of colour, u' and v' of CIE 1976.
const COLOUR_PARTS: f64 = 410.0;

/// Runs of one byte have this bit, and two pixels more than the other bits say.
const RUN: u8 = 0x80;

/// Unpacks rows of `width` pixels into grey or, of samples of 32 bits, RGB.
pub(crate) fn unpack(mut bytes: &[u8], width: usize, in_colour: bool, out: &mut [u8]) -> Result<(), DecodeError> {
    let (planes, channels) = if in_colour { (4, 3) } else { (2, 1) };
    let mut row = vec![0u32; width];
    for pixels in out.chunks_exact_mut(width * channels) {
        row.fill(0);
        for _ in 0..planes {
            bytes = plane(bytes, &mut row).ok_or_else(|| damaged(FORMAT, "a strip or tile ends too early"))?;
        }
        for (pixel, sample) in pixels.chunks_exact_mut(channels).zip(&row) {
            match in_colour {
                true => pixel.copy_from_slice(&rgb(*sample)),
                false => pixel[0] = shown(light(*sample)),
            }
        }
    }
    Ok(())
}

/// Appends a byte to each sample of a row; the bytes behind.
fn plane<'b>(mut bytes: &'b [u8], row: &mut [u32]) -> Option<&'b [u8]> {
    let mut at = 0;
    while at < row.len() {
        let (&head, behind) = bytes.split_first()?;
        let left = row.len() - at;
        let (count, used, is_run) = match head {
            // A run that reaches beyond the row ends with it, and so do single bytes.
            RUN.. => (usize::from(head - RUN + 2).min(left), 1, true),
            _ => (usize::from(head).min(left), usize::from(head).min(left), false),
        };
        let (values, behind) = behind.split_at_checked(used)?;
        for (place, sample) in row[at..at + count].iter_mut().enumerate() {
            *sample = *sample << 8 | u32::from(values[if is_run { 0 } else { place }]);
        }
        at += count;
        bytes = behind;
    }
    Some(bytes)
}

/// The light of a sample of 16 bits: a sign, and a logarithm to the base of 2 in 256ths.
fn light(sample: u32) -> f64 {
    match sample & 0x7fff {
        0 => 0.0,
        logarithm if sample & 0x8000 == 0 => (LN_2 / 256.0 * (f64::from(logarithm) + 0.5) - LN_2 * 64.0).exp(),
        // Light below 0, which is shown as none.
        _ => 0.0,
    }
}

/// The colour of a sample of 32 bits.
fn rgb(sample: u32) -> [u8; 3] {
    let light = light(sample >> 16);
    if light <= 0.0 {
        return [0; 3];
    }
    let part = |byte: u32| (f64::from(byte & 0xff) + 0.5) / COLOUR_PARTS;
    let (u, v) = (part(sample >> 8), part(sample));
    let scale = 1.0 / (6.0 * u - 16.0 * v + 12.0);
    let (x, y) = (9.0 * u * scale, 4.0 * v * scale);
    // As rounded as in libtiff.
    let [x, y, z] = [x / y * light, light, (1.0 - x - y) / y * light].map(|part| f64::from(part as f32));
    [2.690 * x + -1.276 * y + -0.414 * z, -1.022 * x + 1.978 * y + 0.044 * z, 0.061 * x + -0.224 * y + 1.163 * z]
        .map(shown)
}

/// The square root of light, from 0 to 255.
fn shown(light: f64) -> u8 {
    match light {
        light if light <= 0.0 => 0,
        light if light >= 1.0 => 255,
        // Lossless: below 256.
        light => (256.0 * light.sqrt()) as u8,
    }
}
