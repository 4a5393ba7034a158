//! `classification_report`: metrics of predictions of labelled rows.

use crate::artifact::figure::{Cell, Figure, FigureData};
use crate::artifact::labels::{Labels, Target, class_names};
use crate::artifact::matrix::{Matrix, MatrixInput, given_ids};
use crate::artifact::packed_images::PackedImagesInput;
use crate::artifact::table::{TableInput, TableOutput};
use crate::kinds::submission::{predict, read_thresholds};
use crate::kinds::thresholds::targets_of_rows;

use crate::classification::shown_rows::JudgedRows;
use crate::classification::threshold_params::ThresholdParams;
use crate::context::StageContext;
use crate::error::StageError;
use crate::kind::StageKind;
use crate::learn::data::ImagePool;
use crate::{input_ports, output_ports};

/// The kind `classification_report`.
pub struct ClassificationReport;

/// Probabilities are kept this far from 0 and 1 before a logarithm is taken.
const EPSILON: f64 = 1e-15;

input_ports! {
    /// Inputs of [`ClassificationReport`].
    pub struct ClassificationReportInputs {
        /// Probabilities, `[row, class]`.
        probabilities: MatrixInput,
        /// Labelled rows `Id,Target`; every row of the probabilities must be among them.
        labels: TableInput,
        /// `class,threshold`.
        thresholds: Option<TableInput>,
        /// Table whose column `Id` names the rows of a matrix that has no ids of its own.
        ids: Option<TableInput>,
        /// Packed images of the rows, of which the report shows the best, the worst and the most uncertain ones. They are looked
        /// at for that alone; rows without an image are not shown.
        images: Option<PackedImagesInput>,
    }
}

output_ports! {
    /// Outputs of [`ClassificationReport`].
    pub struct ClassificationReportOutputs {
        /// `class,f1,precision,recall,predicted,actual`, one row a class; and its `name`, where `labels` is a table of `label_table`.
        report: TableOutput = "report.csv",
        /// `metric,value`: accuracy, macro F1, focal loss.
        summary: TableOutput = "summary.csv",
    }
}

impl StageKind for ClassificationReport {
    type Params = ThresholdParams;
    type Inputs = ClassificationReportInputs;
    type Outputs = ClassificationReportOutputs;

    const NAME: &'static str = "classification_report";
    const REVISION: u32 = 2;
    const DOC: &'static str = "Compares predictions with labels: accuracy over all (row, class) decisions, macro F1, focal loss (gamma 2, summed over classes, mean over rows), and F1, precision, recall and counts of each class.\n\nA row is predicted every class above its threshold, and always the most probable one. A class that is neither predicted nor present has F1, precision and recall 0, as in scikit-learn with `zero_division=0`.";

    fn run(
        params: ThresholdParams,
        inputs: ClassificationReportInputs,
        outputs: ClassificationReportOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let mut matrix = inputs.probabilities.read()?;
        matrix.require_probabilities()?;
        let ids = matrix.take_ids(given_ids(inputs.ids.as_ref())?.as_deref())?;
        let table = inputs.labels.read()?;
        let labels = Labels::of(&table, matrix.columns)?;
        let names = class_names(&table, matrix.columns);
        let actual = targets_of_rows(&ids, &labels, &matrix.label)?;
        let thresholds = match &inputs.thresholds {
            Some(table) => read_thresholds(&table.read()?, matrix.columns)?,
            None => vec![params.threshold; matrix.columns],
        };
        let predicted: Vec<Target> = (0..matrix.rows()).map(|row| predict(matrix.row(row), &thresholds)).collect();
        let scores: Vec<ClassScore> =
            (0..matrix.columns).map(|class| ClassScore::of(class, &predicted, &actual)).collect();
        let decisions = (matrix.rows() * matrix.columns) as f64;
        let wrong: usize = scores.iter().map(|score| score.predicted + score.actual - 2 * score.hits).sum();
        let summary = [
            ("accuracy", 1.0 - wrong as f64 / decisions),
            ("macro_f1", scores.iter().map(ClassScore::f1).sum::<f64>() / matrix.columns as f64),
            ("focal_loss", focal_loss(&matrix, &actual)),
        ];
        for (name, value) in summary {
            context.metric(name, value);
        }
        let shown: Vec<String> = match names {
            Some(names) => names.to_vec(),
            None => (0..matrix.columns).map(|class| class.to_string()).collect(),
        };
        context.figure("classes", class_table(&scores, &shown));
        if let Some(images) = &inputs.images {
            let (matrix, actual, predicted) = (&matrix, &actual[..], &predicted[..]);
            let rows = JudgedRows { ids: &ids, matrix, actual, predicted, names: &shown };
            rows.show(&ImagePool::open(std::slice::from_ref(images))?, context);
        }
        context.figure("decisions", decisions_matrix(&predicted, &actual, shown));
        let header = ["class", "f1", "precision", "recall", "predicted", "actual"].into_iter();
        let header: Vec<&str> = header.chain(names.map(|_| "name")).collect();
        let rows = scores.iter().enumerate().map(|(class, score)| {
            let name = names.map(|names| names[class].clone());
            score.cells(class).into_iter().chain(name).collect::<Vec<_>>()
        });
        outputs.report.write(&header, rows)?;
        outputs.summary.write(&["metric", "value"], summary.map(|(name, value)| [name.to_owned(), value.to_string()]))
    }
}

/// Counts of one class.
struct ClassScore {
    hits: usize,
    predicted: usize,
    actual: usize,
}

impl ClassScore {
    fn of(class: usize, predicted: &[Target], actual: &[&Target]) -> ClassScore {
        let hits = predicted.iter().zip(actual).filter(|(ours, theirs)| ours.has(class) && theirs.has(class)).count();
        let predicted = predicted.iter().filter(|target| target.has(class)).count();
        let actual = actual.iter().filter(|target| target.has(class)).count();
        ClassScore { hits, predicted, actual }
    }

    fn f1(&self) -> f64 {
        ratio(2 * self.hits, self.predicted + self.actual)
    }

    fn cells(&self, class: usize) -> [String; 6] {
        [
            class.to_string(),
            self.f1().to_string(),
            ratio(self.hits, self.predicted).to_string(),
            ratio(self.hits, self.actual).to_string(),
            self.predicted.to_string(),
            self.actual.to_string(),
        ]
    }
}

/// Scores of each class as a figure.
fn class_table(scores: &[ClassScore], names: &[String]) -> Figure {
    let columns = ["class", "f1", "precision", "recall", "predicted", "actual"].map(str::to_owned).to_vec();
    let row = |(name, score): (&String, &ClassScore)| -> Vec<Cell> {
        let shares = [score.f1(), ratio(score.hits, score.predicted), ratio(score.hits, score.actual)];
        let counts = [score.predicted, score.actual].map(Cell::from);
        std::iter::once(name.clone().into()).chain(shares.map(Cell::from)).chain(counts).collect()
    };
    let rows = names.iter().zip(scores).map(row).collect();
    Figure::new("Classes", FigureData::Table { columns, rows })
}

/// Numbers of rows that have one class and are predicted another.
fn decisions_matrix(predicted: &[Target], actual: &[&Target], names: Vec<String>) -> Figure {
    let classes = names.len();
    let mut counts = vec![vec![0_u32; classes]; classes];
    for (ours, theirs) in predicted.iter().zip(actual) {
        for row in (0..classes).filter(|class| theirs.has(*class)) {
            for column in (0..classes).filter(|class| ours.has(*class)) {
                counts[row][column] += 1;
            }
        }
    }
    let values = counts.into_iter().map(|row| row.into_iter().map(|count| Some(f64::from(count))).collect()).collect();
    let data = FigureData::Matrix {
        rows: names.clone(),
        columns: names,
        row_title: "actual class".to_owned(),
        column_title: "predicted class".to_owned(),
        values,
    };
    let caption = "Number of rows with both; a row with several classes counts for each pair.";
    Figure::new("Predicted beside actual classes", data).with_caption(caption)
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Mean over rows of the sum over classes of (1 - q)^2 * -ln q, with q the probability given to what is the case.
fn focal_loss(matrix: &Matrix, actual: &[&Target]) -> f64 {
    let of_row = |(row, target): (usize, &&Target)| {
        let of_class = |(class, probability): (usize, &f64)| {
            let right = if target.has(class) { *probability } else { 1.0 - probability };
            let right = right.clamp(EPSILON, 1.0 - EPSILON);
            -(1.0 - right).powi(2) * right.ln()
        };
        matrix.row(row).iter().enumerate().map(of_class).sum::<f64>()
    };
    actual.iter().enumerate().map(of_row).sum::<f64>() / actual.len() as f64
}
