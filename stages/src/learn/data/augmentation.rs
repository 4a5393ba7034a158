//! The eight ways to flip and transpose a square.

use burn::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One of the eight flips and transposes of a square, named as in the reference solution: flips first, the transpose
/// last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Augmentation {
    /// As it is.
    Default,
    /// Upside down.
    Flipud,
    /// Left and right exchanged.
    Fliplr,
    /// Rows and columns exchanged.
    Transpose,
    /// Both flips: half a turn.
    FlipudLr,
    /// Upside down, then transposed.
    FlipudTranspose,
    /// Left and right exchanged, then transposed.
    FliplrTranspose,
    /// Both flips, then transposed.
    FlipudLrTranspose,
}

impl Augmentation {
    /// All of them, in the order of the reference solution.
    pub const ALL: [Augmentation; 8] = [
        Augmentation::Default,
        Augmentation::Flipud,
        Augmentation::Fliplr,
        Augmentation::Transpose,
        Augmentation::FlipudLr,
        Augmentation::FlipudTranspose,
        Augmentation::FliplrTranspose,
        Augmentation::FlipudLrTranspose,
    ];

    /// The name in pipelines.
    pub fn name(self) -> &'static str {
        match self {
            Augmentation::Default => "default",
            Augmentation::Flipud => "flipud",
            Augmentation::Fliplr => "fliplr",
            Augmentation::Transpose => "transpose",
            Augmentation::FlipudLr => "flipud_lr",
            Augmentation::FlipudTranspose => "flipud_transpose",
            Augmentation::FliplrTranspose => "fliplr_transpose",
            Augmentation::FlipudLrTranspose => "flipud_lr_transpose",
        }
    }

    fn flips_rows(self) -> bool {
        use Augmentation::{Flipud, FlipudLr, FlipudLrTranspose, FlipudTranspose};
        matches!(self, Flipud | FlipudLr | FlipudTranspose | FlipudLrTranspose)
    }

    fn flips_columns(self) -> bool {
        use Augmentation::{Fliplr, FliplrTranspose, FlipudLr, FlipudLrTranspose};
        matches!(self, Fliplr | FlipudLr | FliplrTranspose | FlipudLrTranspose)
    }

    fn transposes(self) -> bool {
        use Augmentation::{FliplrTranspose, FlipudLrTranspose, FlipudTranspose, Transpose};
        matches!(self, Transpose | FlipudTranspose | FliplrTranspose | FlipudLrTranspose)
    }

    /// Writes a square plane of `side` x `side` bytes, flipped and transposed, to `out`.
    pub fn apply(self, plane: &[u8], side: usize, out: &mut [u8]) {
        let mirrored = |at: usize, mirror: bool| if mirror { side - 1 - at } else { at };
        for row in 0..side {
            let out = &mut out[row * side..][..side];
            if self.transposes() {
                let column = mirrored(row, self.flips_columns());
                for (at, out) in out.iter_mut().enumerate() {
                    *out = plane[mirrored(at, self.flips_rows()) * side + column];
                }
            } else {
                out.copy_from_slice(&plane[mirrored(row, self.flips_rows()) * side..][..side]);
                if self.flips_columns() {
                    out.reverse();
                }
            }
        }
    }

    /// Square images `[batch, channel, side, side]`, flipped and transposed.
    pub fn on_device(self, images: Tensor<4>) -> Tensor<4> {
        const ROWS: usize = 2;
        const COLUMNS: usize = 3;
        let images = if self.flips_rows() { images.flip([ROWS]) } else { images };
        let images = if self.flips_columns() { images.flip([COLUMNS]) } else { images };
        if self.transposes() { images.swap_dims(ROWS, COLUMNS) } else { images }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLANE: [u8; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 9];

    /// NumPy's results for `PLANE`: `np.flipud(x)`, `np.fliplr(x)`, `x.T`, `np.flipud(np.fliplr(x))`, `np.flipud(x).T`,
    /// ...
    const BY_NUMPY: [[u8; 9]; 8] = [
        [1, 2, 3, 4, 5, 6, 7, 8, 9],
        [7, 8, 9, 4, 5, 6, 1, 2, 3],
        [3, 2, 1, 6, 5, 4, 9, 8, 7],
        [1, 4, 7, 2, 5, 8, 3, 6, 9],
        [9, 8, 7, 6, 5, 4, 3, 2, 1],
        [7, 4, 1, 8, 5, 2, 9, 6, 3],
        [3, 6, 9, 2, 5, 8, 1, 4, 7],
        [9, 6, 3, 8, 5, 2, 7, 4, 1],
    ];

    #[test]
    fn planes_are_changed_as_numpy_changes_them() {
        for (augmentation, expected) in Augmentation::ALL.into_iter().zip(BY_NUMPY) {
            let mut out = [0; 9];
            augmentation.apply(&PLANE, 3, &mut out);
            assert_eq!(out, expected, "{}", augmentation.name());
        }
    }

    #[test]
    fn images_on_the_device_are_changed_alike() {
        let images = Tensor::<1>::from_floats(PLANE.map(f32::from), &Device::flex()).reshape([1, 1, 3, 3]);
        for (augmentation, expected) in Augmentation::ALL.into_iter().zip(BY_NUMPY) {
            let changed: Vec<f32> = augmentation.on_device(images.clone()).into_data().iter().collect();
            assert_eq!(changed, expected.map(f32::from), "{}", augmentation.name());
        }
    }

    #[test]
    fn names_are_those_of_pipelines() {
        for augmentation in Augmentation::ALL {
            assert_eq!(serde_json::to_value(augmentation).unwrap(), augmentation.name());
        }
    }
}
