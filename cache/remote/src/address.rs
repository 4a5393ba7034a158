//! Addresses of remote caches.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Beginnings of addresses, each with an example.
pub const SCHEMES: [&str; 5] =
    ["file:///mnt/team", "s3://bucket/prefix", "gs://bucket/prefix", "az://container/prefix", "ssh://host/folder"];

/// Address of a remote cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A folder, absolute.
    Folder(PathBuf),
    /// A bucket of an object store.
    Bucket {
        /// Scheme: `s3`, `gs` or `az`.
        scheme: String,
        /// Name of the bucket.
        bucket: String,
        /// Beginning of every key, without slashes around it; may be empty.
        prefix: String,
    },
    /// A folder of another machine.
    Ssh {
        /// Host, as ssh is given it: with a user where there is one.
        host: String,
        /// Port, where it is named.
        port: Option<u16>,
        /// The folder on that machine.
        folder: String,
    },
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        let examples = || SCHEMES.map(|example| format!("`{example}`")).join(", ");
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(format!("`{text}` is no address of a remote cache: expected one like {}", examples()));
        };
        if let Some(odd) = text.chars().find(|character| matches!(character, '?' | '#') || character.is_control()) {
            return Err(format!("`{text}`: an address of a remote cache has no `{odd}` in it"));
        }
        let (first, path) = rest.split_once('/').unwrap_or((rest, ""));
        match scheme {
            "file" if first.is_empty() && !path.is_empty() => Ok(Address::Folder(PathBuf::from(format!("/{path}")))),
            "file" => Err(format!("`{text}`: a folder has an absolute path, as in `file:///mnt/team`")),
            "s3" | "gs" | "az" if first.is_empty() => {
                let bucket = if scheme == "az" { "container" } else { "bucket" };
                Err(format!("`{text}` names no {bucket}: expected `{scheme}://{bucket}/prefix`"))
            }
            "s3" | "gs" | "az" if first.contains(char::is_whitespace) => {
                Err(format!("`{text}`: the name of a bucket or container has no blanks in it"))
            }
            "s3" | "gs" | "az" if first.contains('@') => {
                Err(format!("`{text}`: credentials are no part of an address; docs/remote.md says where they belong"))
            }
            "s3" | "gs" | "az" => {
                let prefix = path.trim_matches('/').to_owned();
                Ok(Address::Bucket { scheme: scheme.to_owned(), bucket: first.to_owned(), prefix })
            }
            "ssh" => ssh(text, first, path),
            _ => Err(format!("`{scheme}://…` is no address of a remote cache: expected one like {}", examples())),
        }
    }
}

fn ssh(text: &str, first: &str, path: &str) -> Result<Address, String> {
    let wrong = |why: &str| Err(format!("`{text}`: {why}, as in `ssh://user@host/folder`"));
    let (host, port) = match first.rsplit_once(':') {
        None => (first, None),
        Some((host, port)) => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => return wrong("the port is not a number"),
        },
    };
    // ssh would take it for an option, and options run commands.
    let is_option = |part: &str| part.starts_with('-');
    if host.is_empty() || is_option(host) || host.split('@').any(|part| part.is_empty() || is_option(part)) {
        return wrong("it names no host");
    }
    if path.is_empty() {
        return wrong("it names no folder");
    }
    let folder = if path.starts_with("~/") { path.to_owned() } else { format!("/{path}") };
    Ok(Address::Ssh { host: host.to_owned(), port, folder })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Folder(path) => write!(f, "file://{}", path.display()),
            Address::Bucket { scheme, bucket, prefix } if prefix.is_empty() => write!(f, "{scheme}://{bucket}"),
            Address::Bucket { scheme, bucket, prefix } => write!(f, "{scheme}://{bucket}/{prefix}"),
            Address::Ssh { host, port, folder } => {
                let port = port.map(|port| format!(":{port}")).unwrap_or_default();
                write!(f, "ssh://{host}{port}/{}", folder.trim_start_matches('/'))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back() {
        for text in [
            "file:///mnt/team",
            "s3://bucket",
            "s3://bucket/a/b",
            "gs://b/p",
            "az://c/p",
            "ssh://host/srv/cache",
            "ssh://ann@host:2222/~/cache",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "/mnt/team",
            "file://mnt/team",
            "file://",
            "s3:///x",
            "s3://key:secret@bucket/x",
            "http://h/x",
            "ssh://host",
            "ssh://-oProxyCommand=x/y",
            "ssh://a@-oProxyCommand=x/y",
            "ssh:///x",
            "ssh://h:x/y",
            "s3://b/x?y",
            "s3://b x/y",
            "file:///a\0b",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
