//! Parameters of the kind `download`.

use std::collections::BTreeSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::image_set::OnBad;
use crate::params::{ParamProblem, Parameters};
use athanor_fetch::options::Options;
use athanor_fetch::pattern::Pattern;
use athanor_fetch::request::parse_url;
use athanor_fetch::template::{Encoding, Template};

/// Parameters of [`super::Download`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DownloadParams {
    /// Form of the result; the output has the same name.
    #[serde(rename = "as")]
    pub form: OutputForm,
    /// Address. With a list it is a template for each row, `http://host/{plate}/{well}_{channel}.jpg`: its placeholders
    /// are columns of the list, fields of `parse`, and `channel`. Values are percent-encoded; `{+column}` keeps the
    /// characters that have a meaning in an address.
    #[serde(default)]
    #[schemars(example = "https://example.org/{plate}/{well}_{channel}.jpg")]
    pub url: Option<String>,
    /// Column of the list with the whole address; instead of `url`.
    #[serde(default)]
    pub url_column: Option<String>,
    /// Column of the list with the ids of its rows; ids of images.
    #[serde(default = "id_column")]
    pub id_column: String,
    /// Pattern that splits the ids into fields for `url` and `name`, as in `{antibody}_{plate}_{well}_{n}`. A field
    /// holds neither the text before it nor the text after it.
    #[serde(default)]
    #[schemars(example = "{antibody}_{plate}_{well}_{n}")]
    pub parse: Option<String>,
    /// Values of `{channel}`; every row is fetched once for each of them. The default is the list's column `channel`,
    /// if it has one.
    #[serde(default)]
    pub channels: Option<Vec<String>>,
    /// Template of the file names, with the placeholders of `url`, `{file}` for the last part of the address, and
    /// `{ext}` for its extension. For `files` the default is `{<id column>}_{channel}.{ext}`, or without channels `{<id
    /// column>}.{ext}`; for `file`, `{file}`.
    #[serde(default)]
    pub name: Option<String>,
    /// SHA-256 of the one file, or at least its first 8 digits, as in the file names of torchvision's weights.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Length of the one file, in bytes.
    #[serde(default)]
    pub size: Option<u64>,
    /// Column with each file's SHA-256; with `{channel}` in its name, one column a channel. Empty cells are not
    /// checked.
    #[serde(default)]
    pub sha256_column: Option<String>,
    /// Column with each file's length, in bytes; with `{channel}` in its name, one column a channel. Empty cells are
    /// not checked.
    #[serde(default)]
    pub size_column: Option<String>,
    /// Maximum unpacked size of an archive, in bytes. The default is 200 times the archive's own length, but at least 1
    /// GiB.
    #[serde(default)]
    pub max_unpacked: Option<u64>,
    /// Action for a file that cannot be fetched, or is not an image where one is expected, after everything else was
    /// tried. An image is left out with all channels of its id.
    #[serde(default)]
    pub on_bad: OnBad,
    /// Concurrency, retries and time-outs.
    #[serde(flatten)]
    pub transfer: TransferParams,
}

/// Forms of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputForm {
    /// An image set from a list. Every file must decode; its name is `<id>_<channel>` with the extension of its
    /// real type.
    Images,
    /// A folder of files from a list, byte for byte.
    Files,
    /// One file.
    File,
    /// The content of one archive (zip, tar, tar.gz) as a folder.
    Unpacked,
}

impl OutputForm {
    /// The name of the output.
    pub fn output(self) -> &'static str {
        match self {
            OutputForm::Images => "images",
            OutputForm::Files => "files",
            OutputForm::File => "file",
            OutputForm::Unpacked => "unpacked",
        }
    }

    /// Whether it is made from a list.
    pub fn has_list(self) -> bool {
        matches!(self, OutputForm::Images | OutputForm::Files)
    }
}

/// Concurrency, retries and time-outs of downloads. None of them changes the content of a file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TransferParams {
    /// Number of files fetched at once; 16 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub jobs: Option<usize>,
    /// Number of files fetched at once from one host; 8 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub per_host: Option<usize>,
    /// Number of consecutive attempts after the first that may fail, with growing pauses between them; 5 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Time-out for resolving a host and connecting to it, in seconds; 15 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub connect_timeout: Option<f64>,
    /// Time-out of an attempt that makes no progress, in seconds; 30 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub stall_timeout: Option<f64>,
    /// Time-out of one file with all attempts, in seconds; none by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub total_timeout: Option<f64>,
}

impl TransferParams {
    /// The options of the fetcher.
    pub fn options(&self) -> Options {
        let usual = Options::default();
        let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        Options {
            jobs: self.jobs.unwrap_or(usual.jobs),
            per_host: self.per_host.unwrap_or(usual.per_host),
            retries: self.retries.unwrap_or(usual.retries),
            connect_timeout: self.connect_timeout.map_or(usual.connect_timeout, seconds),
            stall_timeout: self.stall_timeout.map_or(usual.stall_timeout, seconds),
            total_timeout: self.total_timeout.map(seconds),
            ..usual
        }
    }

    fn check(&self, complain: &mut impl FnMut(&str, String)) {
        const MOST_JOBS: usize = 256;
        const LONGEST: f64 = 7.0 * 24.0 * 3600.0;
        for (name, count) in [("jobs", self.jobs), ("per_host", self.per_host)] {
            if count.is_some_and(|count| !(1..=MOST_JOBS).contains(&count)) {
                complain(name, format!("`{name}` is 1 to {MOST_JOBS}"));
            }
        }
        let timeouts = [
            ("connect_timeout", self.connect_timeout),
            ("stall_timeout", self.stall_timeout),
            ("total_timeout", self.total_timeout),
        ];
        for (name, seconds) in timeouts {
            if seconds.is_some_and(|seconds| !(seconds > 0.0 && seconds <= LONGEST)) {
                complain(name, format!("`{name}` is more than 0 and at most {LONGEST} seconds"));
            }
        }
    }
}

fn id_column() -> String {
    "Id".to_owned()
}

impl DownloadParams {
    /// The template of the file names.
    pub fn name_template(&self, with_channels: bool) -> String {
        let id = self.id_column.replace('{', "{{").replace('}', "}}");
        match (&self.name, self.form, with_channels) {
            (Some(name), _, _) => name.clone(),
            (None, OutputForm::Files, true) => format!("{{{id}}}_{{channel}}.{{ext}}"),
            (None, OutputForm::Files, false) => format!("{{{id}}}.{{ext}}"),
            (None, _, _) => "{file}".to_owned(),
        }
    }

    fn check_list(&self, complain: &mut impl FnMut(&str, String)) {
        if self.url.is_some() == self.url_column.is_some() {
            complain("url", "give one of `url` and `url_column`".to_owned());
        }
        if let Some(Err(error)) = self.parse.as_deref().map(Pattern::parse) {
            complain("parse", error.to_string());
        }
        if let Some(channels) = &self.channels {
            let distinct: BTreeSet<&String> = channels.iter().collect();
            let fit = |channel: &String| !channel.is_empty() && !channel.contains('/');
            if channels.is_empty() || distinct.len() < channels.len() || !channels.iter().all(fit) {
                complain("channels", "channels must be different names without `/`".to_owned());
            }
        }
        for (name, given, instead) in
            [("sha256", self.sha256.is_some(), "sha256_column"), ("size", self.size.is_some(), "size_column")]
        {
            if given {
                complain(name, format!("`{name}` is for one file; for a list there is `{instead}`"));
            }
        }
    }

    fn check_single(&self, complain: &mut impl FnMut(&str, String)) {
        match self.url.as_deref().map(Template::parse) {
            None => complain("url", "give the `url`".to_owned()),
            Some(Ok(template)) if template.fields().next().is_none() => {
                let text = template.fill(Encoding::Address, |_| Err(()));
                if let Ok(Err(error)) = text.map(|text| parse_url(&text)) {
                    complain("url", error.to_string());
                }
            }
            Some(Ok(_)) => {
                complain("url", "placeholders like `{Id}` are for lists, `as: images` or `as: files`".to_owned());
            }
            Some(Err(_)) => {}
        }
        let given = [
            ("url_column", self.url_column.is_some()),
            ("parse", self.parse.is_some()),
            ("channels", self.channels.is_some()),
            ("sha256_column", self.sha256_column.is_some()),
            ("size_column", self.size_column.is_some()),
        ];
        for (name, _) in given.iter().filter(|(_, given)| *given) {
            complain(name, format!("`{name}` is for lists, `as: images` or `as: files`"));
        }
        if self.on_bad == OnBad::Skip {
            complain("on_bad", "`on_bad: skip` is for lists, `as: images` or `as: files`".to_owned());
        }
        if self.sha256.as_ref().is_some_and(|text| !is_sha256(text)) {
            complain(
                "sha256",
                "a SHA-256 is 64 hexadecimal digits, of which at least the first 8 are needed".to_owned(),
            );
        }
    }
}

/// Whether a text is a SHA-256 in hexadecimal, or enough of its start.
pub(crate) fn is_sha256(text: &str) -> bool {
    (8..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Parameters for DownloadParams {
    const NOT_IN_FINGERPRINT: &'static [&'static str] =
        &["jobs", "per_host", "retries", "connect_timeout", "stall_timeout", "total_timeout"];

    fn check(&self) -> Vec<ParamProblem> {
        let mut problems = Vec::new();
        let mut complain = |name: &str, message: String| problems.push(ParamProblem::value(name, message));
        if self.form.has_list() {
            self.check_list(&mut complain);
        } else {
            self.check_single(&mut complain);
        }
        for (name, template) in [("url", &self.url), ("name", &self.name)] {
            if let Some(Err(error)) = template.as_deref().map(Template::parse) {
                complain(name, error.to_string());
            }
        }
        if self.name.is_some() && !matches!(self.form, OutputForm::Files | OutputForm::File) {
            complain("name", "`name` is for `as: files` and `as: file`".to_owned());
        }
        if self.max_unpacked.is_some() && self.form != OutputForm::Unpacked {
            complain("max_unpacked", "`max_unpacked` is for `as: unpacked`".to_owned());
        }
        self.transfer.check(&mut complain);
        problems
    }
}
