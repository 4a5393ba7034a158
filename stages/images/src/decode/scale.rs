//! From the numbers of a file to 8 or 16 bits.

use super::raster::{NumberType, Raster, RawSamples};
use super::{DecodeError, Options, Scale};
use crate::pixels::{Pixels, Samples};

/// Depths of cameras, among which [`Scale::Bits`] chooses.
const USUAL_BITS: [u8; 9] = [8, 10, 12, 14, 16, 20, 24, 32, 64];

/// The image at 8 or 16 bits.
pub(crate) fn apply(mut raster: Raster, options: &Options) -> Result<Pixels, DecodeError> {
    let raw = std::mem::replace(&mut raster.samples, RawSamples::U8(Vec::new()));
    let samples = match raw {
        RawSamples::U8(samples) => Samples::U8(narrow(samples, options)),
        RawSamples::U16(samples, bits) => Samples::U16(deep(samples, bits, options)?),
        RawSamples::Wide(samples, NumberType::Signed(8)) => Samples::U8(signed_bytes(&samples, options)?),
        RawSamples::Wide(samples, numbers) => Samples::U16(wide(&samples, numbers, options)?),
    };
    Ok(raster.into_pixels(samples))
}

/// Signed numbers of 8 bits stay at 8.
fn signed_bytes(samples: &[f64], options: &Options) -> Result<Vec<u8>, DecodeError> {
    if options.scale == Scale::Bits {
        // What has bits in use is not negative, and the casts below lose nothing.
        refuse_negative(samples.iter().copied().fold(f64::INFINITY, f64::min))?;
        return Ok(samples.iter().map(|sample| *sample as u8).collect());
    }
    Ok(narrow(samples.iter().map(|sample| (sample + 128.0) as u8).collect(), options))
}

/// Refuses samples of which the smallest is negative where bits in use are asked for.
fn refuse_negative(least: f64) -> Result<(), DecodeError> {
    if least >= 0.0 {
        return Ok(());
    }
    let message = format!("the smallest sample is {least}, which has no bits in use; choose `scale: minmax`");
    Err(DecodeError::Range(message))
}

fn narrow(mut samples: Vec<u8>, options: &Options) -> Vec<u8> {
    if options.scale == Scale::Minmax {
        let (least, most) = (samples.iter().min().copied().unwrap_or(0), samples.iter().max().copied().unwrap_or(0));
        let range = u32::from(most - least).max(1);
        // Lossless: at most 255.
        samples.iter_mut().for_each(|sample| *sample = ((u32::from(*sample - least) * 255 + range / 2) / range) as u8);
    }
    samples
}

fn deep(mut samples: Vec<u16>, bits: u8, options: &Options) -> Result<Vec<u16>, DecodeError> {
    let most = samples.iter().max().copied().unwrap_or(0);
    match options.scale {
        Scale::Minmax => {
            let least = samples.iter().min().copied().unwrap_or(0);
            let range = u32::from(most - least).max(1);
            let place = |sample: u16| (u32::from(sample - least) * 65_535 + range / 2) / range;
            // Lossless: at most 65,535.
            samples.iter_mut().for_each(|sample| *sample = place(*sample) as u16);
        }
        Scale::Full => shift_up(&mut samples, 16 - bits),
        Scale::Bits => {
            let used = used_bits(f64::from(most), options)?;
            shift_up(&mut samples, 16u8.saturating_sub(used));
        }
    }
    Ok(samples)
}

fn shift_up(samples: &mut [u16], by: u8) {
    if by > 0 {
        samples.iter_mut().for_each(|sample| *sample <<= by);
    }
}

fn wide(samples: &[f64], numbers: NumberType, options: &Options) -> Result<Vec<u16>, DecodeError> {
    let is_number = |sample: &f64| sample.is_finite() || sample.is_nan() && options.scale == Scale::Minmax;
    if !samples.iter().all(is_number) {
        let message = "the image has samples that are infinite, or NaN, which only `scale: minmax` places";
        return Err(DecodeError::Range(message.to_owned()));
    }
    let least = samples.iter().copied().fold(f64::INFINITY, f64::min);
    let most = samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // What is subtracted, and by what the rest is multiplied; the result is rounded down, as bits are shifted away.
    let (start, factor) = match (options.scale, numbers) {
        (Scale::Minmax, _) => {
            // By halves, since the range of the largest numbers is none. NaN becomes 0 in the cast.
            let above = |sample: f64| sample / 2.0 - least / 2.0;
            let range = above(most).max(f64::MIN_POSITIVE);
            return Ok(samples.iter().map(|sample| (above(*sample) / range * 65_535.0).round() as u16).collect());
        }
        (Scale::Full, NumberType::Unsigned(bits)) => (0.0, power(16, bits)),
        (Scale::Full, NumberType::Signed(bits)) => (-power(bits - 1, 0), power(16, bits)),
        (Scale::Full, NumberType::Float(_)) if least >= 0.0 && most <= 1.0 => {
            return Ok(samples.iter().map(|sample| (sample * 65_535.0).round() as u16).collect());
        }
        (Scale::Full, NumberType::Float(_)) => {
            return Err(DecodeError::Range(format!(
                "the samples are floating-point numbers from {least} to {most}, not from 0 to 1; choose `scale: minmax`"
            )));
        }
        (Scale::Bits, _) => {
            refuse_negative(least)?;
            (0.0, power(16, used_bits(most, options)?))
        }
    };
    // The cast saturates; what is smaller than 0 or larger than 65,535 was refused above.
    Ok(samples.iter().map(|sample| ((sample - start) * factor).floor() as u16).collect())
}

/// 2 to the power of `up - down`.
fn power(up: u8, down: u8) -> f64 {
    2f64.powi(i32::from(up) - i32::from(down))
}

/// The bits that samples up to `most` use.
fn used_bits(most: f64, options: &Options) -> Result<u8, DecodeError> {
    let hold = |bits: &u8| most < power(*bits, 0);
    match options.bits {
        Some(bits) if hold(&bits) => Ok(bits),
        Some(bits) => Err(DecodeError::Range(format!("the largest sample is {most}, which {bits} bits do not hold"))),
        None => USUAL_BITS
            .into_iter()
            .find(hold)
            .ok_or_else(|| DecodeError::Range(format!("the largest sample is {most}, which 64 bits do not hold"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scaled(samples: RawSamples, scale: Scale, bits: Option<u8>) -> Result<Vec<u16>, DecodeError> {
        let raster = Raster { width: 1, height: 1, channels: 1, samples };
        match apply(raster, &Options { scale, bits, ..Options::default() })?.samples {
            Samples::U16(samples) => Ok(samples),
            Samples::U8(samples) => Ok(samples.into_iter().map(u16::from).collect()),
        }
    }

    #[test]
    fn twelve_bits_keep_their_bits() {
        let twelve = || RawSamples::U16(vec![0, 1, 4095], 12);
        assert_eq!(scaled(twelve(), Scale::Full, None), Ok(vec![0, 16, 65_520]));
        let in_sixteen = || RawSamples::U16(vec![0, 1, 4095], 16);
        assert_eq!(scaled(in_sixteen(), Scale::Full, None), Ok(vec![0, 1, 4095]));
        assert_eq!(scaled(in_sixteen(), Scale::Bits, None), Ok(vec![0, 16, 65_520]));
        assert_eq!(scaled(in_sixteen(), Scale::Bits, Some(13)), Ok(vec![0, 8, 32_760]));
        assert_eq!(scaled(in_sixteen(), Scale::Minmax, None), Ok(vec![0, 16, 65_535]));
        let error = scaled(in_sixteen(), Scale::Bits, Some(11)).unwrap_err();
        assert_eq!(error.to_string(), "the largest sample is 4095, which 11 bits do not hold");
    }

    #[test]
    fn other_numbers_are_placed_or_refused() {
        let wide = |samples: &[f64], numbers| RawSamples::Wide(samples.to_vec(), numbers);
        let signed = || wide(&[-32_768.0, 0.0, 32_767.0], NumberType::Signed(16));
        assert_eq!(scaled(signed(), Scale::Full, None), Ok(vec![0, 32_768, 65_535]));
        assert!(scaled(signed(), Scale::Bits, None).is_err());
        let long = wide(&[0.0, 65_536.0, 4_294_967_295.0], NumberType::Unsigned(32));
        assert_eq!(scaled(long, Scale::Full, None), Ok(vec![0, 1, 65_535]));
        let float = |samples: &[f64]| wide(samples, NumberType::Float(32));
        assert_eq!(scaled(float(&[0.0, 0.5, 1.0]), Scale::Full, None), Ok(vec![0, 32_768, 65_535]));
        let error = scaled(float(&[-1.0, 3.0]), Scale::Full, None).unwrap_err().to_string();
        assert!(error.contains("from -1 to 3, not from 0 to 1; choose `scale: minmax`"), "{error}");
        assert_eq!(scaled(float(&[-1.0, 3.0]), Scale::Minmax, None), Ok(vec![0, 65_535]));
        assert_eq!(scaled(float(&[7.0, 7.0]), Scale::Minmax, None), Ok(vec![0, 0]));
        assert_eq!(scaled(float(&[0.0, 1023.0]), Scale::Bits, None), Ok(vec![0, 65_472]));
        assert!(scaled(float(&[f64::NAN, 0.5]), Scale::Full, None).is_err());
        assert!(scaled(float(&[f64::INFINITY, 0.5]), Scale::Minmax, None).is_err());
        assert_eq!(scaled(float(&[2.0, f64::NAN, 4.0]), Scale::Minmax, None), Ok(vec![0, 0, 65_535]));
        assert_eq!(scaled(float(&[f64::NAN]), Scale::Minmax, None), Ok(vec![0]));
        assert_eq!(scaled(float(&[f64::MIN, 0.0, f64::MAX]), Scale::Minmax, None), Ok(vec![0, 32_768, 65_535]));
    }

    #[test]
    fn signed_numbers_of_eight_bits_stay_at_eight() {
        let signed = |samples: &[f64], scale| {
            let raster = Raster {
                width: samples.len(),
                height: 1,
                channels: 1,
                samples: RawSamples::Wide(samples.to_vec(), NumberType::Signed(8)),
            };
            apply(raster, &Options { scale, ..Options::default() }).map(|pixels| pixels.samples)
        };
        let whole = [-128.0, -1.0, 0.0, 127.0];
        assert_eq!(signed(&whole, Scale::Full), Ok(Samples::U8(vec![0, 127, 128, 255])));
        assert_eq!(signed(&[-3.0, 3.0, 9.0], Scale::Minmax), Ok(Samples::U8(vec![0, 128, 255])));
        assert_eq!(signed(&[0.0, 127.0], Scale::Bits), Ok(Samples::U8(vec![0, 127])));
        let error = signed(&whole, Scale::Bits).unwrap_err().to_string();
        assert!(error.contains("the smallest sample is -128, which has no bits in use"), "{error}");
    }

    #[test]
    fn eight_bits_stay() {
        assert_eq!(scaled(RawSamples::U8(vec![3, 9]), Scale::Bits, None), Ok(vec![3, 9]));
        assert_eq!(scaled(RawSamples::U8(vec![3, 4, 5]), Scale::Minmax, None), Ok(vec![0, 128, 255]));
    }
}
