//! `athanor init`.

use std::io::Write;
use std::path::Path;

use crate::cli::written_file::require_folder;
use crate::cli::{Exit, print, system_message};

/// A pipeline that runs anywhere and shows the language's main ideas.
const TEMPLATE: &str = include_str!("init.yaml");

pub(super) fn init(file: &Path) -> Result<u8, Exit> {
    require_folder(file)?;
    let mut options = std::fs::File::options();
    let created = options.write(true).create_new(true).open(file);
    let mut created = created.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Exit::wrong(format!(
            "error: `{0}` exists already. Name another file: `athanor init NAME.yaml`.",
            file.display()
        )),
        _ => Exit::failed(format!("`{}` cannot be written: {}.", file.display(), system_message(&error))),
    })?;
    created.write_all(TEMPLATE.as_bytes()).map_err(Exit::failed)?;
    let name = file.display();
    print(&format!(
        "wrote {name}\n\n  athanor run {name}      run it\n  athanor status {name}   see what is up to date\n"
    ))
}
