//! The page of a report: one HTML file that loads nothing from anywhere.

use std::borrow::Cow;

use athanor_stages::secrets::mask;
use serde::Serialize;
use serde_json::Value;

use crate::escape::escape_lines;
use crate::report::data::ReportData;

/// Page with places for what is put in.
const PAGE: &str = include_str!("page/index.html");

/// Style sheets, in order.
const STYLES: [&str; 2] = [include_str!("vendor/uPlot.min.css"), include_str!("page/style.css")];

/// Libraries with their licences.
const LIBRARIES: [(&str, &str); 1] = [(include_str!("vendor/uPlot.LICENSE"), include_str!("vendor/uPlot.iife.min.js"))];

/// Scripts of the page, in order.
const SCRIPTS: [&str; 7] = [
    include_str!("page/base.js"),
    include_str!("page/graph.js"),
    include_str!("page/gantt.js"),
    include_str!("page/curves.js"),
    include_str!("page/figures.js"),
    include_str!("page/compare.js"),
    include_str!("page/main.js"),
];

/// Script that draws a report once.
const REPORT: &str = include_str!("page/report.js");

/// Policy of a report: it loads only what is in it.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// Beginning of a comment that names a file for debuggers, which is not there.
const SOURCE_MAP: &str = "//# sourceMappingURL=";

/// The page of a report.
pub(crate) fn html(data: &ReportData) -> serde_json::Result<String> {
    let noun = if data.comparison { "comparison" } else { "report" };
    Ok(with(POLICY, &format!("{}: {noun}", data.pipeline), &json(data)?, REPORT))
}

/// Data of a report as JSON for a page: with everything made visible, and safe inside of HTML.
fn json(data: &ReportData) -> serde_json::Result<String> {
    // In JSON it stands in strings alone, and there it means the same when it is escaped.
    Ok(visible_json(data)?.replace('<', "\\u003c"))
}

/// Data as JSON with everything made visible.
pub(crate) fn visible_json(data: &impl Serialize) -> serde_json::Result<String> {
    let mut data = serde_json::to_value(data)?;
    make_visible(&mut data);
    Ok(data.to_string())
}

/// A page with this policy, title, data and last script.
pub(crate) fn with(policy: &str, title: &str, data: &str, last: &str) -> String {
    let libraries = LIBRARIES.iter().map(|(licence, script)| {
        let script: Vec<&str> = script.lines().filter(|line| !line.starts_with(SOURCE_MAP)).collect();
        let licence = licence.replace("/*", "").replace("*/", "");
        format!("/*!\n{}\n*/\n{}\n", licence.trim(), script.join("\n"))
    });
    let own = SCRIPTS.into_iter().chain([last]).map(str::to_owned);
    let script: String = libraries.chain(own).collect();
    let title = mask(&escape_lines(title)).replace('&', "&amp;").replace('<', "&lt;");
    fill(
        PAGE,
        &[("policy", policy), ("title", &title), ("style", &STYLES.concat()), ("data", data), ("script", &script)],
    )
}

/// Puts values in the places `{{name}}` of a text, each once, without looking for places in what was put in.
fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(text.len() + values.iter().map(|(_, value)| value.len()).sum::<usize>());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        out += before;
        out += values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
        rest = after;
    }
    out + rest
}

/// Makes every text in a value visible, without the secrets of addresses.
fn make_visible(value: &mut Value) {
    match value {
        Value::String(text) if !text.starts_with("data:image/") => {
            let visible = match escape_lines(text) {
                Cow::Borrowed(same) => mask(same).into_owned(),
                Cow::Owned(escaped) => mask(&escaped).into_owned(),
            };
            *text = visible;
        }
        Value::Array(list) => list.iter_mut().for_each(make_visible),
        Value::Object(map) => {
            let entries = std::mem::take(map).into_iter().map(|(name, mut value)| {
                make_visible(&mut value);
                (escape_lines(&name).into_owned(), value)
            });
            *map = entries.collect();
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::data::RunData;

    #[test]
    fn nothing_in_the_data_ends_its_place_or_hides() {
        let hostile = "</script><script>alert(1)</script>\u{202e}https://u:secret@host/ {{script}}";
        let run = RunData { id: hostile.to_owned(), ..RunData::default() };
        let data = ReportData { pipeline: hostile.to_owned(), run: Some(run), ..ReportData::default() };
        let page = html(&data).unwrap();
        assert_eq!(page.matches("</script>").count(), 2, "those of the page itself");
        assert!(!page.contains("alert(1)</script>") && !page.contains('\u{202e}') && !page.contains("secret"));
        assert!(page.contains("{{script}}"), "what is put in is no template");
        assert!(!page.contains(SOURCE_MAP));
        assert!(!page.contains("src=\"") && !page.contains("<link"));
    }

    #[test]
    fn the_library_comes_with_its_licence() {
        let page = html(&ReportData::default()).unwrap();
        assert!(page.contains("Leon Sorokin"));
    }
}
