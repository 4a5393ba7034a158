//! `athanor watch`, and the live page of `athanor run --watch`.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use athanor_cache::Cache;

use crate::cli::arguments::WatchCommand;
use crate::cli::{Exit, UP_TO_DATE, load, print_as_it_is, project, recent_pipeline, system_message};
use crate::report::live::{Feed, LiveServer};
use crate::run::Session;
use crate::settings::Settings;

/// Address of the page of a run: any free port of loopback.
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

pub(super) fn watch(settings: &Settings, command: &WatchCommand) -> Result<u8, Exit> {
    let pipeline = recent_pipeline::choose(settings, &command.pipeline)?;
    let plan = load::plan(settings, &pipeline)?;
    let project = project::inspect(settings)?;
    let session = load::session(&project, &plan, &pipeline, &[])?;
    let server = bind(command.listen, &plan.name)?;
    // As it is: the token in it is for whoever reads this.
    print_as_it_is(&format!("{}\n", server.address().map_err(Exit::failed)?))?;
    let file = pipeline.file.display().to_string();
    let feed = Feed { session: &session, cache: &project.cache, file, controls: command.control };
    server.serve(&feed, &AtomicBool::new(false)).map_err(Exit::failed)?;
    Ok(UP_TO_DATE)
}

fn bind(address: SocketAddr, pipeline: &str) -> Result<LiveServer, Exit> {
    LiveServer::bind(address, format!("{pipeline}: live")).map_err(|error| Exit::failed(not_listening(address, &error)))
}

/// Message about an address that is refused, with a remedy.
fn not_listening(address: SocketAddr, error: &std::io::Error) -> String {
    let help = match error.kind() {
        ErrorKind::AddrInUse => "another program does; name another port, or 0 for any that is free",
        ErrorKind::AddrNotAvailable => "it is no address of this machine; name one of its own, or 127.0.0.1",
        ErrorKind::PermissionDenied => {
            "ports below 1024 are for the superuser; name a larger one, or 0 for any that is free"
        }
        _ => "name another address",
    };
    format!("nothing can listen on {address}: {}.\n  help: {help}", system_message(error))
}

/// Does `work` while a live page is served, whose address is said first.
pub(super) fn beside<T>(session: &Session<'_>, cache: &Cache, file: &str, work: impl FnOnce() -> T) -> Result<T, Exit> {
    let server = bind(LOOPBACK, &session.plan.name)?;
    // A terminal that is gone needs no address.
    let _ = writeln!(std::io::stderr(), "live page: {}", server.address().map_err(Exit::failed)?);
    let stop = AtomicBool::new(false);
    let feed = Feed { session, cache, file: file.to_owned(), controls: false };
    Ok(std::thread::scope(|scope| {
        // A run goes on without its page.
        scope.spawn(|| server.serve(&feed, &stop));
        let done = work();
        stop.store(true, Ordering::SeqCst);
        done
    }))
}
