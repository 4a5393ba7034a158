//! Images with their classes.

use burn::prelude::*;

use super::ImagePool;
use crate::artifact::labels::{Labels, Target, class_names};
use crate::artifact::matrix::MatrixInput;
use crate::artifact::table::TableInput;
use crate::error::StageError;
use crate::words::counted;

/// Images and their targets.
#[derive(Debug)]
pub struct ClassificationDataset {
    /// Their ids.
    pub ids: Vec<String>,
    /// Their classes.
    pub hard: Vec<Target>,
    /// Their numbers in the pool.
    pub images: Vec<usize>,
    /// Number of classes.
    pub classes: usize,
    /// Names of the classes, or their numbers where the table does not name them.
    pub names: Vec<String>,
    /// Targets, `[image, class]`: 0 or 1, or between where labels are soft.
    pub targets: Vec<f32>,
}

impl ClassificationDataset {
    /// The rows of a table `Id,Target`, whose images are in the pool and at least `side` pixels high and wide.
    ///
    /// # Errors
    /// An empty table, a class that does not exist, an image that is not there or too small.
    pub fn read(
        table: &TableInput,
        pool: &ImagePool,
        classes: usize,
        side: usize,
    ) -> Result<ClassificationDataset, StageError> {
        let table = table.read()?;
        let Labels { ids, targets: hard } = Labels::of(&table, classes)?;
        let numbers = || (0..classes).map(|class| class.to_string()).collect();
        let names = class_names(&table, classes).map_or_else(numbers, <[String]>::to_vec);
        let images = pool.find(&ids, side)?;
        let targets = hard.iter().flat_map(|target| (0..classes).map(|class| f32::from(u8::from(target.has(class)))));
        let targets = targets.collect();
        Ok(ClassificationDataset { ids, hard, images, classes, names, targets })
    }

    /// Puts the rows of a matrix of probabilities, `[id, class]`, in the place of the targets of the same ids.
    ///
    /// # Errors
    /// A matrix without ids, with another number of classes, with ids that no image has, or with values that are not
    /// probabilities.
    pub fn set_soft_targets(&mut self, soft: &MatrixInput) -> Result<(), StageError> {
        let mut soft = soft.read()?;
        soft.require_probabilities()?;
        let ids = soft.take_ids(None)?;
        if soft.columns != self.classes {
            let message = format!("has {}, but there are {} classes", counted(soft.columns, "column"), self.classes);
            return Err(StageError::in_file(&soft.label, message));
        }
        let rows: std::collections::HashMap<&str, usize> =
            self.ids.iter().enumerate().map(|(row, id)| (id.as_str(), row)).collect();
        for (number, id) in ids.iter().enumerate() {
            let row = rows.get(id.as_str()).ok_or_else(|| {
                let message = format!("is of `{id}`, which is not learned from");
                StageError::at_row(&soft.label, number as u64 + 1, message)
                    .with_help("Add its row to the training table, too.")
            })?;
            let targets = &mut self.targets[row * self.classes..][..self.classes];
            targets.iter_mut().zip(soft.row(number)).for_each(|(target, value)| *target = *value as f32);
        }
        Ok(())
    }

    /// The targets of some images, `[image, class]`.
    pub fn targets_of(&self, rows: impl ExactSizeIterator<Item = usize>, device: &Device) -> Tensor<2> {
        let shape = [rows.len(), self.classes];
        let values: Vec<f32> = rows.flat_map(|row| self.row(row)).copied().collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    /// The targets of one image.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.targets[row * self.classes..][..self.classes]
    }
}
