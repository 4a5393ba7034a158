//! Settings from files, environment and options, and `athanor config`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::arguments::SettingOptions;
use crate::cli::inspect::print_json;
use crate::cli::{Exit, load, print};
use crate::escape::escape;
use crate::language::suggest::nearest;
use crate::language::{Diagnostic, Diagnostics, SourceText};
use crate::settings::{self, FILE, Layer, Settings, Variable};
use crate::view::text::table;

/// Size limit of a settings file, in bytes.
const LARGEST: u64 = 1 << 20;

/// Sources of settings.
struct SettingSources {
    /// Files, lowest first.
    files: Vec<PathBuf>,
    variables: Vec<(Variable, OsString)>,
    /// Names of variables that look like settings and are none, each with the setting that may be meant.
    misspelt: Vec<(String, &'static str)>,
    /// The home folder, which `~` stands for.
    home: Option<PathBuf>,
}

impl SettingSources {
    /// Sources of this process.
    fn here() -> SettingSources {
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = absolute("HOME");
        let user = absolute("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|home| home.join(".config")));
        let files = std::iter::once(PathBuf::from("/etc")).chain(user).map(|folder| folder.join("athanor/config.yaml"));
        SettingSources {
            files: files.chain([PathBuf::from(FILE)]).collect(),
            variables: Variable::ALL.into_iter().filter_map(|it| Some((it, std::env::var_os(it.name())?))).collect(),
            misspelt: misspelt(std::env::vars_os().map(|(name, _)| name)),
            home,
        }
    }

    /// The settings that hold, and the files that say so.
    fn read(&self, options: &SettingOptions) -> Result<(Settings, Vec<String>), Exit> {
        for (name, meant) in &self.misspelt {
            let name = escape(name);
            // A terminal that is gone needs no notice.
            let _ = writeln!(std::io::stderr(), "note: the variable `{name}` is not read; did you mean `{meant}`?");
        }
        let home = self.home.as_deref();
        let mut texts: Vec<SourceText> = Vec::new();
        let mut problems: Vec<Diagnostic> = Vec::new();
        let mut layers: Vec<Layer> = Vec::new();
        for file in &self.files {
            if let Some(text) = text_of(file)? {
                layers.push(settings::read(&text, texts.len() as u32, home, &mut problems));
                texts.push(text);
            }
        }
        let read = texts.iter().map(|text| text.name.clone()).collect();
        let values = self.variables.iter().map(|(variable, value)| (*variable, value.as_os_str()));
        layers.push(settings::variables(values, home, &mut texts, &mut problems));
        layers.push(settings::options(
            options.cache.as_deref(),
            options.results.as_deref(),
            home,
            &mut texts,
            &mut problems,
        ));
        if problems.is_empty() {
            return Ok((Settings::over(layers), read));
        }
        let mut diagnostics = Diagnostics::new(texts.into());
        diagnostics.extend(problems);
        Err(load::report_in(&diagnostics, "the settings"))
    }
}

/// Those of the variables called `names` that are near to one that is a setting, and are none.
fn misspelt(names: impl Iterator<Item = OsString>) -> Vec<(String, &'static str)> {
    const PREFIX: &str = "ATHANOR_";
    // Variables that are read elsewhere, and are near to settings.
    const OTHERS: [&str; 2] = ["ATHANOR_REMOTE_KEY", "ATHANOR_REMOTE_PROGRAM"];
    let settings = Variable::ALL.map(Variable::name);
    let candidates = settings.iter().filter_map(|name| name.strip_prefix(PREFIX));
    let near = |name: OsString| {
        let name = name.into_string().ok()?;
        let rest = name.strip_prefix(PREFIX).filter(|_| !settings.contains(&&*name) && !OTHERS.contains(&&*name))?;
        let meant = nearest(rest, candidates.clone())?;
        let meant = settings.into_iter().find(|name| name.strip_prefix(PREFIX) == Some(meant))?;
        Some((name, meant))
    };
    names.filter_map(near).collect()
}

/// The text of a settings file; `None` if there is none.
fn text_of(path: &Path) -> Result<Option<SourceText>, Exit> {
    let name = path.display().to_string();
    let wrong = |why: String| Exit::wrong(format!("error: the settings file `{}` {why}", escape(&name)));
    let refused = |error: std::io::Error| {
        wrong(format!("cannot be read: {error}.\n  help: Make it readable, or move it out of the way."))
    };
    match std::fs::metadata(path) {
        // A file where a folder of the path should be, such as `~/.config`, is no settings file either; nor is one behind a
        // folder that only another user may enter, as where `sudo -u` and containers leave `HOME` to be root's.
        Err(error)
            if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(refused(error)),
        // Opening a pipe would wait for a writer.
        Ok(found) if !found.is_file() => return Err(wrong("is not a file. Move it out of the way.".to_owned())),
        Ok(found) if found.len() > LARGEST => return Err(wrong(too_large())),
        Ok(_) => {}
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes)).map_err(refused)?;
    if bytes.len() as u64 > LARGEST {
        return Err(wrong(too_large()));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(SourceText { name, text })),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            Err(wrong(format!("is not UTF-8 text (byte {at}). Save it as UTF-8.")))
        }
    }
}

fn too_large() -> String {
    format!("is larger than {}, and settings are a few lines. Is it another file?", crate::view::text::bytes(LARGEST))
}

/// The settings that hold for this process.
pub(super) fn load(options: &SettingOptions) -> Result<Settings, Exit> {
    SettingSources::here().read(options).map(|(settings, _)| settings)
}

/// Prints the settings that hold.
pub(super) fn config(options: &SettingOptions, as_json: bool) -> Result<u8, Exit> {
    let sources = SettingSources::here();
    let (settings, read) = sources.read(options)?;
    let files = sources.files.iter().map(|file| file.display().to_string());
    if as_json {
        let files: Vec<_> = files.map(|file| json!({ "read": read.contains(&file), "file": file })).collect();
        return print_json(&json!({ "settings": settings.json(), "files": files }));
    }
    let row = |(name, value, origin): (&str, String, &settings::Origin)| {
        vec![name.to_owned(), escape(&value).into_owned(), escape(&origin.to_string()).into_owned()]
    };
    let rows: Vec<Vec<String>> = settings.list().into_iter().map(row).collect();
    let mut text = table(&["SETTING", "VALUE", "FROM"], &rows) + "\nfiles, lowest first:\n";
    for file in files {
        let absent = if read.contains(&file) { "" } else { " (absent)" };
        text += &format!("  {}{absent}\n", escape(&file));
    }
    print(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(folder: &Path, variables: &[(Variable, &str)]) -> SettingSources {
        let files = ["etc", "user", "project"].map(|name| folder.join(name)).into();
        let variables = variables.iter().map(|(variable, value)| (*variable, OsString::from(value))).collect();
        SettingSources { files, variables, misspelt: Vec::new(), home: Some("/home/ann".into()) }
    }

    fn origins(settings: &Settings) -> Vec<String> {
        let list =
            settings.list().into_iter().filter(|(name, ..)| !name.starts_with("slurm") && !name.starts_with("batch"));
        list.map(|(_, value, origin)| format!("{value} {origin}")).collect()
    }

    /// Files of three layers, by name.
    const LAYERS: [(&str, &str); 3] = [
        (
            "etc",
            "cache: /scratch/cache\nlog_limit: 1GiB\nresults: out\ncache.verify_on_use: always\non_no_gpu: cpu\nsandbox: off\nscratch_limit: 1TiB\n",
        ),
        ("user", "\nlog_limit: 2GiB\ncache: { verify_on_use: sample }\nenvironment: inherit\n"),
        ("project", "# mine\n\ncache:\n  dir: ~/cache\n"),
    ];

    const VARIABLES: [(Variable, &str); 9] = [
        (Variable::Cache, "c"),
        (Variable::Environment, "strict"),
        (Variable::Executor, "slurm"),
        (Variable::LogLimit, "3MB"),
        (Variable::OnNoGpu, "fail"),
        (Variable::Remote, "file:///mnt/team"),
        (Variable::RemoteMode, "off"),
        (Variable::Results, ""),
        (Variable::SandboxWrites, "~/a::b"),
    ];

    #[test]
    fn each_layer_lies_over_the_ones_below() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let shown = |name: &str| at(name).display().to_string();
        let read = |variables: &[(Variable, &str)], options: &SettingOptions| {
            origins(&sources(folder.path(), variables).read(options).map_err(|exit| exit.message).unwrap().0)
        };
        let none = SettingOptions::default();
        let defaults =
            ".athanor never strict local none none 64MiB fail none read-only true none results on none none none none"
                .split(' ');
        assert_eq!(read(&[], &none), defaults.map(|value| format!("{value} default")).collect::<Vec<_>>());
        for (name, text) in LAYERS {
            std::fs::write(at(name), text).unwrap();
        }
        let (etc, user, project) = (shown("etc"), shown("user"), shown("project"));
        assert_eq!(
            read(&[], &none),
            [
                format!("/home/ann/cache {project}:4"),
                format!("sample {user}:3"),
                format!("inherit {user}:4"),
                "local default".to_owned(),
                "none default".to_owned(),
                "none default".to_owned(),
                format!("2GiB {user}:2"),
                format!("cpu {etc}:5"),
                "none default".to_owned(),
                "read-only default".to_owned(),
                "true default".to_owned(),
                "none default".to_owned(),
                format!("out {etc}:3"),
                format!("off {etc}:6"),
                "none default".to_owned(),
                "none default".to_owned(),
                "none default".to_owned(),
                format!("1TiB {etc}:7")
            ]
        );
        assert_eq!(
            read(&VARIABLES, &SettingOptions { cache: Some("d".into()), results: None }),
            [
                "d --cache",
                &format!("sample {user}:3"),
                "strict ATHANOR_ENVIRONMENT",
                "slurm ATHANOR_EXECUTOR",
                "none default",
                "none default",
                "3MB ATHANOR_LOG_LIMIT",
                "fail ATHANOR_ON_NO_GPU",
                "file:///mnt/team ATHANOR_REMOTE",
                "off ATHANOR_REMOTE_MODE",
                "true default",
                "none default",
                &format!("out {etc}:3"),
                &format!("off {etc}:6"),
                "none default",
                "/home/ann/a:b ATHANOR_SANDBOX_WRITES",
                "none default",
                &format!("1TiB {etc}:7")
            ]
        );
        assert_eq!(read(&VARIABLES, &none)[0], "c ATHANOR_CACHE");
    }

    #[test]
    fn the_mistakes_of_all_layers_are_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("etc"), "cahce: x\n").unwrap();
        std::fs::write(folder.path().join("project"), "log_limit: 64 parsecs\n").unwrap();
        let variables = [(Variable::VerifyOnUse, "smaple")];
        let exit = sources(folder.path(), &variables)
            .read(&SettingOptions { cache: Some("~bob/c".into()), results: None })
            .unwrap_err();
        assert_eq!(exit.code, crate::cli::WRONG);
        for piece in [
            "unknown key `cahce` in a settings file",
            "did you mean `cache`?",
            "etc:1:1",
            "`64 parsecs` is not a size",
            "project:1:12",
            "the variable `ATHANOR_CACHE_VERIFY_ON_USE`: `smaple` is not one of",
            "did you mean `sample`?",
            "the option `--cache`: `~bob` is not expanded",
            "4 mistakes in the settings",
        ] {
            assert!(exit.message.contains(piece), "{piece}: {}", exit.message);
        }
    }

    #[test]
    fn variables_that_are_near_to_settings_are_noted() {
        let names = [
            "ATHANOR_CACH",
            "ATHANOR_SANDBOXX",
            "ATHANOR_CACHE",
            "ATHANOR_REMOTE_KEY",
            "ATHANOR_STAGE",
            "CACH",
            "ATHANOR_",
        ];
        let found = misspelt(names.into_iter().map(OsString::from));
        let expected = [("ATHANOR_CACH", "ATHANOR_CACHE"), ("ATHANOR_SANDBOXX", "ATHANOR_SANDBOX")];
        assert_eq!(found, expected.map(|(name, meant)| (name.to_owned(), meant)));
    }
}
