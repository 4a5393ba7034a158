//! From the rows of a list to the files that are wanted. Does no I/O.

use std::collections::{HashMap, HashSet};

use athanor_cache::Digest;
use reqwest::Url;

use super::params::{DownloadParams, OutputForm, is_sha256};
use crate::artifact::table::Table;
use crate::error::StageError;
use athanor_fetch::error::shown;
use athanor_fetch::pattern::Pattern;
use athanor_fetch::request::parse_url;
use athanor_fetch::secrets::mask;
use athanor_fetch::template::{Encoding, Template, TemplateError};

/// Longest name of a file.
const NAME_MAX: usize = 255;
/// The column that tells the channels of rows apart where no `channels` are given.
const CHANNEL: &str = "channel";
/// Maximum length of an extension.
const EXTENSION_MAX: usize = 10;

/// A file that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedFile {
    /// The row's id; empty if the list has none.
    pub id: String,
    /// The channel; empty if there are none.
    pub channel: String,
    /// Its address.
    pub url: Url,
    /// Name of the file; empty for images, whose content decides it.
    pub name: String,
    /// Its length, if known.
    pub size: Option<u64>,
    /// Its SHA-256 in lower case, if known.
    pub sha256: Option<String>,
    /// The content it has in a mirror, if it is taken from there.
    pub mirrored: Option<Digest>,
}

/// The one file of a download without a list.
pub fn single(params: &DownloadParams) -> Result<WantedFile, StageError> {
    let no_gaps = |field: &str| StageError::mismatch(format!("`{{{field}}}` needs a list"));
    let url = template(params.url.as_deref().unwrap_or_default())?;
    let url = url.fill(Encoding::Address, |field| Err(no_gaps(field)))?;
    let url = parse_url(&url).map_err(|error| StageError::mismatch(error.to_string()))?;
    let (file, extension) = (file_of(&url), extension_of(&url));
    let name = template(&params.name_template(false))?.fill(Encoding::Plain, |field| match field {
        "file" => Ok(file.as_str()),
        "ext" => Ok(extension.as_str()),
        field => Err(no_gaps(field)),
    })?;
    let name = if fit_for_file(&name) { name } else { "file".to_owned() };
    let sha256 = params.sha256.as_ref().map(|sum| sum.to_lowercase());
    Ok(WantedFile { id: String::new(), channel: String::new(), url, name, size: params.size, sha256, mirrored: None })
}

/// The files that a list asks for, row by row and within a row by channel.
///
/// # Errors
/// Names the row: an id that does not fit the pattern or is there twice, an empty cell where a value is needed,
/// an invalid address, two files of one name; for images also an id without all channels.
pub fn of_list(params: &DownloadParams, list: &Table) -> Result<Vec<WantedFile>, StageError> {
    list.require_rows()?;
    let reader = Reader::new(params, list)?;
    let mut wanted = Vec::new();
    let mut rows = Vec::new();
    for row in 0..list.len() {
        let values = reader.row(row)?;
        for channel in reader.channels_of(row)? {
            wanted.push(reader.wanted(row, &values, channel)?);
            rows.push(row);
        }
    }
    match params.form {
        OutputForm::Images => whole_images(list, &wanted, &rows)?,
        _ => distinct_names(list, &wanted, &rows)?,
    }
    Ok(wanted)
}

/// Reads the rows of a list.
struct Reader<'a> {
    params: &'a DownloadParams,
    list: &'a Table,
    id: Option<usize>,
    pattern: Option<Pattern>,
    url: Template,
    name: Option<Template>,
    channel_column: Option<usize>,
}

/// The fields that a row's id is made of.
type Parsed<'a> = HashMap<String, &'a str>;

impl<'a> Reader<'a> {
    fn new(params: &'a DownloadParams, list: &'a Table) -> Result<Self, StageError> {
        let pattern = params.parse.as_deref().map(Pattern::parse).transpose().map_err(broken)?;
        let needs_id = pattern.is_some() || params.form == OutputForm::Images;
        let id = if needs_id { Some(list.column(&params.id_column)?) } else { list.find(&params.id_column) };
        if let Some(name) = pattern.iter().flat_map(Pattern::names).find(|name| list.find(name).is_some()) {
            let message = format!("the field `{name}` of `parse` is a column of the list as well");
            return Err(StageError::at_row(&list.label, 1, message).with_help("Give the field another name."));
        }
        let url = match &params.url_column {
            Some(column) => {
                list.column(column)?;
                Template::of_address(column)
            }
            None => template(params.url.as_deref().unwrap_or_default())?,
        };
        let channel_column = if params.channels.is_some() { None } else { list.find(CHANNEL) };
        let with_channels = params.channels.is_some() || channel_column.is_some();
        if params.form == OutputForm::Images && !with_channels {
            let help = "Give `channels`, or a column `channel`.";
            return Err(StageError::in_file(&list.label, "nothing tells the images' channels").with_help(help));
        }
        let name = match params.form {
            OutputForm::Images => None,
            _ => Some(template(&params.name_template(with_channels))?),
        };
        let reader = Reader { params, list, id, pattern, url, name, channel_column };
        reader.check_fields()?;
        Ok(reader)
    }

    /// Every placeholder must have a column or field.
    fn check_fields(&self) -> Result<(), StageError> {
        let parsed: Vec<&str> = self.pattern.iter().flat_map(Pattern::names).collect();
        let channels = self.params.channels.is_some();
        let known =
            |field: &str| self.list.find(field).is_some() || parsed.contains(&field) || (channels && field == CHANNEL);
        let of_name = |field: &str| matches!(field, "file" | "ext");
        let name_fields = self.name.iter().flat_map(Template::fields).filter(|field| !of_name(field));
        match self.url.fields().chain(name_fields).find(|field| !known(field)) {
            None => Ok(()),
            Some(field) => {
                let message = format!("there is neither a column nor a field of `parse` for `{{{field}}}`");
                let header = self.list.header().join("`, `");
                let help = format!("The header has `{header}`.");
                Err(StageError::at_row(&self.list.label, 1, message).with_help(help))
            }
        }
    }

    fn id_of(&self, row: usize) -> &'a str {
        self.id.map_or("", |column| self.list.cell(row, column))
    }

    /// The fields that the row's id is made of.
    fn row(&self, row: usize) -> Result<Parsed<'a>, StageError> {
        let Some(pattern) = &self.pattern else { return Ok(Parsed::new()) };
        let id = self.id_of(row);
        let values = pattern.extract(id).ok_or_else(|| {
            let text = self.params.parse.as_deref().unwrap_or_default();
            let help = "Fields are not empty and hold neither the text before nor the text after them.";
            self.list.error(row, format!("the id `{id}` does not fit the pattern `{text}`")).with_help(help)
        })?;
        Ok(pattern.names().map(str::to_owned).zip(values).collect())
    }

    fn channels_of(&self, row: usize) -> Result<Vec<&'a str>, StageError> {
        if let Some(channels) = &self.params.channels {
            return Ok(channels.iter().map(String::as_str).collect());
        }
        match self.channel_column.map(|column| self.list.cell(row, column)) {
            None => Ok(vec![""]),
            Some(channel) if channel.is_empty() || channel.contains('/') => {
                Err(self.list.error(row, format!("`{channel}` is no name of a channel")))
            }
            Some(channel) => Ok(vec![channel]),
        }
    }

    fn wanted(&self, row: usize, parsed: &Parsed<'a>, channel: &'a str) -> Result<WantedFile, StageError> {
        let wrong = |message: String| self.list.error(row, message);
        let value = |field: &str| -> Result<&'a str, StageError> {
            let cell = || self.list.find(field).map_or("", |column| self.list.cell(row, column));
            let value = match parsed.get(field) {
                Some(value) => value,
                None if field == CHANNEL => channel,
                None => cell(),
            };
            if value.is_empty() { Err(wrong(format!("`{field}` is empty"))) } else { Ok(value) }
        };
        let url = self.url.fill(Encoding::Address, value)?;
        let url = parse_url(&url).map_err(|error| wrong(error.to_string()))?;
        let id = self.id_of(row).to_owned();
        let name = match &self.name {
            None if fit_for_file(&id) => String::new(),
            None => return Err(wrong(format!("the id `{}` cannot be part of a file's name", mask(&id)))),
            Some(template) => self.name(row, template, &url, value)?,
        };
        let size = match self.cell_of(row, self.params.size_column.as_deref(), channel)? {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| wrong(format!("`{text}` is not a number of bytes")))?),
        };
        let sha256 = match self.cell_of(row, self.params.sha256_column.as_deref(), channel)? {
            Some(text) if !is_sha256(text) => return Err(wrong(format!("`{text}` is no SHA-256 in hexadecimal"))),
            text => text.map(str::to_lowercase),
        };
        Ok(WantedFile { id, channel: channel.to_owned(), url, name, size, sha256, mirrored: None })
    }

    fn name<'v>(
        &self,
        row: usize,
        template: &Template,
        url: &Url,
        value: impl Fn(&str) -> Result<&'v str, StageError>,
    ) -> Result<String, StageError> {
        let (file, extension) = (file_of(url), extension_of(url));
        let filled = template.fill(Encoding::Plain, |field| match field {
            "file" if self.list.find(field).is_none() => Ok(file.as_str()),
            "ext" if self.list.find(field).is_none() && extension.is_empty() => {
                let message = format!("the address `{}` has no extension", shown(url));
                Err(self.list.error(row, message).with_help("Give a `name` without `{ext}`."))
            }
            "ext" if self.list.find(field).is_none() => Ok(extension.as_str()),
            field => value(field),
        })?;
        if fit_for_file(&filled) {
            return Ok(filled);
        }
        Err(self.list.error(row, format!("`{}` cannot be the name of a file", mask(&filled))))
    }

    /// The cell of a column that may be one of several, one a channel; nothing if it is empty.
    fn cell_of(&self, row: usize, column: Option<&str>, channel: &str) -> Result<Option<&'a str>, StageError> {
        let Some(column) = column else { return Ok(None) };
        let column = self.list.column(&column.replace("{channel}", channel))?;
        Ok(Some(self.list.cell(row, column).trim()).filter(|cell| !cell.is_empty()))
    }
}

/// Every id has every channel once.
fn whole_images(list: &Table, wanted: &[WantedFile], rows: &[usize]) -> Result<(), StageError> {
    let mut channels: Vec<&str> = Vec::new();
    let mut seen: HashMap<&str, (usize, HashSet<&str>)> = HashMap::new();
    for (wanted, row) in wanted.iter().zip(rows) {
        if !channels.contains(&wanted.channel.as_str()) {
            channels.push(&wanted.channel);
        }
        let (_, of_id) = seen.entry(&wanted.id).or_insert_with(|| (*row, HashSet::new()));
        if !of_id.insert(&wanted.channel) {
            let message = format!("the id `{}` has channel `{}` twice", wanted.id, wanted.channel);
            return Err(list.error(*row, message));
        }
    }
    let lacking = seen.iter().filter(|(_, (_, of_id))| of_id.len() < channels.len());
    let Some((id, (row, of_id))) = lacking.min_by_key(|(_, (row, _))| row) else { return Ok(()) };
    let missing = channels.iter().find(|channel| !of_id.contains(**channel)).copied().unwrap_or_default();
    Err(list.error(*row, format!("the id `{id}` has no row for channel `{missing}`")))
}

fn distinct_names(list: &Table, wanted: &[WantedFile], rows: &[usize]) -> Result<(), StageError> {
    let mut seen = HashSet::new();
    match wanted.iter().zip(rows).find(|(wanted, _)| !seen.insert(&wanted.name)) {
        None => Ok(()),
        Some((wanted, row)) => {
            let help = "Give a `name` that tells the files apart.";
            Err(list.error(*row, format!("a second file would be called `{}`", wanted.name)).with_help(help))
        }
    }
}

fn template(text: &str) -> Result<Template, StageError> {
    Template::parse(text).map_err(broken)
}

fn broken(error: TemplateError) -> StageError {
    StageError::mismatch(error.to_string())
}

/// The last part of an address's path.
fn file_of(url: &Url) -> String {
    let last = url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
    percent_encoding::percent_decode_str(last).decode_utf8_lossy().into_owned()
}

/// The extension of an address, in lower case; empty if there is none.
fn extension_of(url: &Url) -> String {
    let file = file_of(url);
    let extension = file.rsplit_once('.').map(|(_, extension)| extension).unwrap_or_default();
    let like_one = extension.len() <= EXTENSION_MAX && extension.chars().all(|letter| letter.is_ascii_alphanumeric());
    if like_one { extension.to_ascii_lowercase() } else { String::new() }
}

/// Whether a text can be the name of a file.
fn fit_for_file(name: &str) -> bool {
    let odd = |letter: char| letter == '/' || letter.is_control();
    !name.is_empty() && name != "." && name != ".." && name.len() <= NAME_MAX && !name.contains(odd)
}
