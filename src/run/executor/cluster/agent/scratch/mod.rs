//! Attempts in a folder of the node's own (the setting `scratch`): what the run prepared on the shared file system is laid out
//! there again, with copies of the stored inputs that all attempts on the node share. Outputs are stored from there.

mod contents;
mod node_inputs;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use athanor_cache::remove_tree;

use crate::run::executor::access_rules::{AccessRule, AccessRules};

use super::host::AgentHost;
use node_inputs::{NodeInput, NodeInputs};

/// Extension of the file that is locked as long as an agent uses the folder of that name.
const LOCK: &str = "lock";

/// Folder of a node for attempts, and for copies of their inputs.
pub(super) struct NodeScratch {
    inputs: NodeInputs,
    /// Folder of this agent's attempts.
    attempts: PathBuf,
    lock_path: PathBuf,
    _lock: File,
}

/// Attempt on the node.
pub(super) struct LocalAttempt {
    /// Its root folder there.
    pub root: PathBuf,
    /// Its root folder on the shared file system.
    shared: PathBuf,
    /// Copies that it reads.
    inputs: Vec<LinkedInput>,
}

/// Copy of an input on the node, and the link in an attempt's folder that leads there.
struct LinkedInput {
    link: PathBuf,
    copy: NodeInput,
}

impl NodeScratch {
    /// Opens the folder that `written` stands for on this node, for the agent called `name` and the cache in `cache`. Copies of
    /// inputs take `limit` bytes at most.
    ///
    /// # Errors
    /// A sentence that says why attempts cannot work there.
    pub(super) fn open(
        written: &str,
        host: &AgentHost,
        cache: &Path,
        name: &str,
        limit: Option<u64>,
    ) -> Result<NodeScratch, String> {
        let folder = expanded(written, host)?;
        let user = rustix::process::geteuid().as_raw();
        let own = folder.join(format!("athanor-{user}"));
        let refused = |path: &Path, error: io::Error| {
            format!(
                "`scratch` is `{written}`, and `{}` cannot be used: {error}. Name a folder that jobs may write to on every node.",
                path.display()
            )
        };
        make_private(&own, user).map_err(|error| refused(&own, error))?;
        let make = |name: &str| {
            let path = own.join(name);
            fs::create_dir_all(&path).map(|()| path.clone()).map_err(|error| refused(&path, error))
        };
        let (inputs, attempts) = (make("inputs")?, make("attempts")?);
        sweep(&attempts);
        let name = format!("{name}.{}", std::process::id());
        let (attempts, lock_path) = (attempts.join(&name), attempts.join(format!("{name}.{LOCK}")));
        let lock = File::create(&lock_path).and_then(|lock| {
            lock.try_lock()?;
            fs::create_dir(&attempts)?;
            Ok(lock)
        });
        let lock = lock.map_err(|error| refused(&attempts, error))?;
        let inputs = NodeInputs { folder: inputs, cache: cache.to_owned(), limit };
        Ok(NodeScratch { inputs, attempts, lock_path, _lock: lock })
    }

    /// Lays the attempt that was prepared in `shared` out as number `number` of this agent.
    pub(super) fn place(&self, shared: &Path, number: u32) -> io::Result<LocalAttempt> {
        let root = self.attempts.join(number.to_string());
        fs::create_dir(&root)?;
        let mut attempt = LocalAttempt { root, shared: shared.to_owned(), inputs: Vec::new() };
        let laid_out = lay_out(shared, &attempt.root, &self.inputs, &mut attempt.inputs);
        if laid_out.is_err() {
            attempt.remove();
        }
        laid_out.map(|()| attempt)
    }
}

impl Drop for NodeScratch {
    fn drop(&mut self) {
        // What cannot be removed now is swept by the next agent.
        let _ = remove_tree(&self.attempts);
        let _ = fs::remove_file(&self.lock_path);
    }
}

impl LocalAttempt {
    /// Rules of an attempt on the shared file system, for this one.
    pub(super) fn access(&self, rules: &AccessRules) -> AccessRules {
        let moved = |rule: &AccessRule| match rule.path.strip_prefix(&self.shared) {
            Ok(rest) if rest.as_os_str().is_empty() => AccessRule { path: self.root.clone(), ..*rule },
            Ok(rest) => AccessRule { path: self.root.join(rest), ..*rule },
            Err(_) => rule.clone(),
        };
        let mut own: Vec<AccessRule> = rules.own.iter().map(moved).collect();
        own.extend(self.inputs.iter().map(|input| AccessRule::read(input.copy.path().to_owned())));
        AccessRules { shared: rules.shared.clone(), own }
    }

    /// Removes the attempt; returns the first of its inputs that is not what it was, by its path in the attempt. Such a copy is
    /// made anew for the next one.
    pub(super) fn end(mut self) -> Option<PathBuf> {
        let spoilt = self.inputs.iter().filter(|input| input.copy.is_spoilt());
        let within = |link: &Path| link.strip_prefix(&self.root).unwrap_or(link).to_owned();
        // Each of them, so that none is taken again.
        let spoilt: Vec<PathBuf> = spoilt.map(|input| within(&input.link)).collect();
        self.remove();
        spoilt.into_iter().next()
    }

    fn remove(&mut self) {
        self.inputs.clear();
        let _ = remove_tree(&self.root);
    }
}

/// The folder that `written` stands for: its first part may be a variable.
fn expanded(written: &str, host: &AgentHost) -> Result<PathBuf, String> {
    let Some(rest) = written.strip_prefix('$') else { return Ok(written.into()) };
    let (variable, below) = rest.split_once('/').unwrap_or((rest, ""));
    match host.get(variable) {
        Some(value) if value.starts_with('/') => Ok(Path::new(&value).join(below)),
        Some(value) => Err(format!(
            "`scratch` is `{written}`, and `{variable}` is `{value}` on this node, which is not an absolute path."
        )),
        None => Err(format!("`scratch` is `{written}`, and the variable `{variable}` is not set on this node.")),
    }
}

/// Makes a folder that only this user can enter, or sees to it that it is one: other users may write beside it.
fn make_private(path: &Path, user: u32) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    let found = fs::symlink_metadata(path)?;
    if !found.is_dir() || found.uid() != user || found.mode() & 0o022 != 0 {
        return Err(io::Error::other("it is not a folder that only you can write to"));
    }
    Ok(())
}

/// Removes the attempts of agents that are gone.
fn sweep(attempts: &Path) {
    for entry in fs::read_dir(attempts).into_iter().flatten().flatten() {
        let lock_path = entry.path();
        if lock_path.extension().is_none_or(|extension| extension != LOCK) {
            continue;
        }
        if File::open(&lock_path).is_ok_and(|lock| lock.try_lock().is_ok()) {
            let _ = remove_tree(&lock_path.with_extension(""));
            let _ = fs::remove_file(&lock_path);
        }
    }
}

/// Makes in `to` what is in `from`; links into the cache lead to the node's copies.
fn lay_out(from: &Path, to: &Path, inputs: &NodeInputs, used: &mut Vec<LinkedInput>) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            fs::create_dir(&target)?;
            lay_out(&source, &target, inputs, used)?;
            fs::set_permissions(&target, fs::metadata(&source)?.permissions())?;
        } else if kind.is_symlink() {
            let leads_to = fs::read_link(&source)?;
            match inputs.take(&leads_to)? {
                Some(copy) => {
                    symlink(copy.path(), &target)?;
                    used.push(LinkedInput { link: target, copy });
                }
                None => symlink(leads_to, &target)?,
            }
        } else if kind.is_file() {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}
