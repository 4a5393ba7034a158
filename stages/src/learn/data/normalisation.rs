//! Normalisation: from bytes of pixels to the inputs of networks.

use athanor_nn::devices::is_cpu;
use burn::prelude::*;
use burn::tensor::DType;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::artifact::table::TableInput;
use crate::error::StageError;

/// Full scale of a byte.
const WHITE: f32 = 255.0;

/// Mean and standard deviation of each channel, as shares of full scale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// One a channel.
    pub mean: Vec<f32>,
    /// One a channel, above 0.
    pub std: Vec<f32>,
}

impl Normalisation {
    /// Nothing but division by full scale.
    pub fn none(channels: usize) -> Normalisation {
        Normalisation { mean: vec![0.0; channels], std: vec![1.0; channels] }
    }

    /// The figures of a table `color,mean,std`, for these channels in this order.
    ///
    /// # Errors
    /// A channel that the table lacks; cells that are not numbers, or a standard deviation that is not above 0.
    pub fn of_table(table: &TableInput, channels: &[String]) -> Result<Normalisation, StageError> {
        let table = table.read()?;
        let rows = table.index("color")?;
        let (mean, std) = (table.column("mean")?, table.column("std")?);
        let mut normalisation = Normalisation { mean: Vec::new(), std: Vec::new() };
        for channel in channels {
            let row = *rows.get(channel.as_str()).ok_or_else(|| {
                let help = "Measure the same images with `channel_statistics`.";
                StageError::in_file(&table.label, format!("there is no row for the channel `{channel}`"))
                    .with_help(help)
            })?;
            let number = |column: usize| {
                let cell = table.cell(row, column);
                let number = cell.trim().parse::<f32>().ok().filter(|number| number.is_finite());
                number.ok_or_else(|| table.error(row, format!("`{cell}` is not a number")))
            };
            normalisation.mean.push(number(mean)?);
            let deviation = number(std)?;
            if deviation <= 0.0 {
                let message = format!("the standard deviation of `{channel}` is {deviation}");
                return Err(table
                    .error(row, message)
                    .with_help("A channel that never changes cannot be learned from."));
            }
            normalisation.std.push(deviation);
        }
        Ok(normalisation)
    }

    /// Bytes `[batch, channel, side, side]` to a float tensor on `device`: divided by 255, less the mean, by the
    /// standard deviation. The bytes travel to a GPU as they are.
    pub fn images(&self, bytes: Vec<u8>, batch: usize, side: usize, device: &Device) -> Tensor<4> {
        let shape = [batch, self.mean.len(), side, side];
        if is_cpu(device) {
            return Tensor::from_data(TensorData::new(self.looked_up(&bytes, side * side), shape), device);
        }
        self.computed(TensorData::new(bytes, shape), device)
    }

    /// The numbers of bytes, computed by the device.
    fn computed(&self, bytes: TensorData, device: &Device) -> Tensor<4> {
        let images = Tensor::<4, Int>::from_data(bytes, (device, DType::U8)).float();
        let a_channel = |values: &[f32]| Tensor::<1>::from_floats(values, device).reshape([1, values.len(), 1, 1]);
        (images / WHITE - a_channel(&self.mean)) / a_channel(&self.std)
    }

    /// The numbers of bytes `[batch, channel, area]`. There are 256 of them a channel, so that none is computed twice.
    fn looked_up(&self, bytes: &[u8], area: usize) -> Vec<f32> {
        let number = |byte: u8, mean: f32, std: f32| (f32::from(byte) / WHITE - mean) / std;
        let of_channel = |(mean, std): (&f32, &f32)| std::array::from_fn(|byte| number(byte as u8, *mean, *std));
        let numbers: Vec<[f32; 256]> = self.mean.iter().zip(&self.std).map(of_channel).collect();
        let mut images = vec![0.0; bytes.len()];
        images.par_chunks_mut(area).zip(bytes.par_chunks(area)).enumerate().for_each(|(plane, (image, bytes))| {
            let numbers = &numbers[plane % numbers.len()];
            image.iter_mut().zip(bytes).for_each(|(number, byte)| *number = numbers[usize::from(*byte)]);
        });
        images
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_channel_is_normalised_by_its_own_figures() {
        let normalisation = Normalisation { mean: vec![0.0, 0.5], std: vec![1.0, 0.25] };
        let images = normalisation.images(vec![0, 255, 51, 102, 0, 255, 51, 102], 1, 2, &Device::flex());
        let values: Vec<f32> = images.into_data().iter().collect();
        for (value, expected) in values.into_iter().zip([0.0, 1.0, 0.2, 0.4, -2.0, 2.0, -1.2, -0.4]) {
            assert!((value - expected).abs() < 1e-6, "{value} is not {expected}");
        }
    }

    #[test]
    fn cpus_look_up_the_numbers_that_gpus_compute() {
        let normalisation = Normalisation { mean: vec![0.08, 0.5, 0.0], std: vec![0.13, 0.25, 1.0] };
        let bytes: Vec<u8> = (0..2 * 3).flat_map(|_| 0..=255).collect();
        let computed = normalisation.computed(TensorData::new(bytes.clone(), [2, 3, 16, 16]), &Device::flex());
        let looked_up = normalisation.images(bytes, 2, 16, &Device::flex());
        assert_eq!(looked_up.into_data(), computed.into_data());
    }
}
