//! The outputs of the kind `download`.

use std::path::PathBuf;

use super::params::{DownloadParams, OutputForm};
use super::wanted;
use crate::artifact::ArtifactType;
use crate::artifact::table::TableOutput;
use crate::ports::{BindError, BoundOutputs, OutputPort, OutputPorts, OutputValue};

const FAILURES: &str = "failures";

/// Outputs of [`super::Download`]: the files, and for lists the table of failures.
pub struct DownloadOutputs {
    /// Path of the result: a folder, or the one file.
    pub files: PathBuf,
    /// `Id,channel,url,attempts,reason` of the failures.
    pub failures: Option<TableOutput>,
}

fn port(form: OutputForm, file: String) -> OutputPort {
    let (artifact, doc) = match form {
        OutputForm::Images => (ArtifactType::ImageSet, "With `as: images`: the images as `<id>_<channel>`."),
        OutputForm::Files => (ArtifactType::Any, "With `as: files`: a folder of the files."),
        OutputForm::File => (ArtifactType::Any, "With `as: file`: the file."),
        OutputForm::Unpacked => (ArtifactType::Any, "With `as: unpacked`: a folder of what the archive holds."),
    };
    OutputPort {
        name: form.output().to_owned(),
        artifact,
        file,
        optional: false,
        doc: doc.to_owned(),
        group: Vec::new(),
    }
}

fn failures_port() -> OutputPort {
    OutputPort {
        name: FAILURES.to_owned(),
        artifact: ArtifactType::Table,
        file: "failures.csv".to_owned(),
        optional: false,
        doc: "With a list: `Id,channel,url,attempts,reason` of every file that failed.".to_owned(),
        group: Vec::new(),
    }
}

/// The outputs that `params` give.
pub(crate) fn of(params: &DownloadParams) -> Vec<OutputPort> {
    let form = params.form;
    let file = match form {
        OutputForm::File => wanted::single(params).map_or_else(|_| form.output().to_owned(), |wanted| wanted.name),
        _ => form.output().to_owned(),
    };
    let files = port(form, file);
    if form.has_list() { vec![files, failures_port()] } else { vec![files] }
}

impl OutputPorts for DownloadOutputs {
    fn ports() -> Vec<OutputPort> {
        let forms = [OutputForm::Images, OutputForm::Files, OutputForm::File, OutputForm::Unpacked];
        let ports = forms.map(|form| port(form, form.output().to_owned()));
        ports.into_iter().chain([failures_port()]).collect()
    }

    fn bind(mut bound: BoundOutputs) -> Result<Self, BindError> {
        let failures = bound.remove(FAILURES).map(TableOutput::from_path);
        let (_, files) = bound.pop_first().ok_or(BindError { port: OutputForm::Images.output() })?;
        Ok(DownloadOutputs { files, failures })
    }
}
