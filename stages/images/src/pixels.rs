//! A decoded image in memory.

/// One decoded image: interleaved samples, row by row from the top, each row from the left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    /// Pixels a row; at least 1.
    pub width: usize,
    /// Rows; at least 1.
    pub height: usize,
    /// Samples a pixel: 1 (grey), 2 (grey, alpha), 3 (red, green, blue), 4 (red, green, blue, alpha), or more.
    pub channels: usize,
    /// The `width * height * channels` samples.
    pub samples: Samples,
}

/// Samples of 8 or 16 bits, linear in whatever the file stored: no colour profile or gamma is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Samples {
    /// 0 to 255.
    U8(Vec<u8>),
    /// 0 to 65,535.
    U16(Vec<u16>),
}

impl Samples {
    /// Number of samples.
    pub fn len(&self) -> usize {
        match self {
            Samples::U8(samples) => samples.len(),
            Samples::U16(samples) => samples.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Pixels {
    /// A grey image of 8 bits a pixel.
    ///
    /// # Panics
    /// If `samples` does not hold `width * height` values.
    pub fn grey8(width: usize, height: usize, samples: Vec<u8>) -> Pixels {
        assert_eq!(samples.len(), width * height, "one sample a pixel");
        Pixels { width, height, channels: 1, samples: Samples::U8(samples) }
    }

    /// A grey image of 16 bits a pixel.
    ///
    /// # Panics
    /// If `samples` does not hold `width * height` values.
    pub fn grey16(width: usize, height: usize, samples: Vec<u16>) -> Pixels {
        assert_eq!(samples.len(), width * height, "one sample a pixel");
        Pixels { width, height, channels: 1, samples: Samples::U16(samples) }
    }

    /// Bits a sample: 8 or 16.
    pub fn depth(&self) -> u8 {
        match self.samples {
            Samples::U8(_) => 8,
            Samples::U16(_) => 16,
        }
    }

    /// One channel as a grey image; 0 is red where there are colours.
    ///
    /// # Panics
    /// If there is no channel `index`.
    #[must_use]
    pub fn channel(&self, index: usize) -> Pixels {
        assert!(index < self.channels, "channel {index} of an image that has {}", self.channels);
        let samples = match &self.samples {
            Samples::U8(samples) => Samples::U8(every_nth(samples, index, self.channels)),
            Samples::U16(samples) => Samples::U16(every_nth(samples, index, self.channels)),
        };
        Pixels { channels: 1, samples, ..*self }
    }

    /// The image at 8 bits a sample. Of 16 bits the upper 8 are kept (`v >> 8`, so 65,535 becomes 255 and 255 becomes
    /// 0); 8-bit images stay as they are.
    #[must_use]
    pub fn to_u8(self) -> Pixels {
        let samples = match self.samples {
            Samples::U8(samples) => samples,
            // The cast drops nothing: a u16 shifted right by 8 fits.
            Samples::U16(samples) => samples.into_iter().map(|sample| (sample >> 8) as u8).collect(),
        };
        Pixels { samples: Samples::U8(samples), ..self }
    }
}

fn every_nth<T: Copy>(samples: &[T], first: usize, step: usize) -> Vec<T> {
    samples.iter().skip(first).step_by(step).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_every_nth_sample() {
        let pixels = Pixels { width: 2, height: 1, channels: 3, samples: Samples::U16(vec![1, 2, 3, 4, 5, 6]) };
        assert_eq!(pixels.channel(1), Pixels::grey16(2, 1, vec![2, 5]));
    }

    #[test]
    fn the_upper_bits_of_sixteen_are_kept() {
        let pixels = Pixels::grey16(4, 1, vec![0, 255, 256, 65_535]);
        assert_eq!(pixels.to_u8(), Pixels::grey8(4, 1, vec![0, 0, 1, 255]));
    }
}
