//! Credentials for S3, and its address: from variables, or from the files that Amazon's own tools write.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{FailureKind, StorageError};
use crate::storage::Stored;

/// Variables with the address of a server, in lower case.
const ADDRESSES: [&str; 6] = [
    "aws_endpoint",
    "aws_endpoint_url",
    "aws_endpoint_url_s3",
    "azure_endpoint",
    "azure_storage_endpoint",
    "google_base_url",
];

/// Values for the client.
#[derive(Debug, Default, PartialEq)]
pub(super) struct S3Values {
    /// Settings by their names.
    pub(super) config: BTreeMap<String, String>,
    /// Whether the server is asked without encryption: only where the user's address of it says so.
    pub(super) allow_http: bool,
    /// Whether there are credentials, or a service that gives them.
    pub(super) is_known: bool,
}

/// Values from variables; what they lack comes from `~/.aws`.
pub(super) fn of_s3(variables: &[(String, String)]) -> S3Values {
    let all: BTreeMap<&str, &str> =
        variables.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (&**name, &**value)).collect();
    let aws = all.iter().filter(|(name, _)| name.starts_with("AWS_"));
    let mut config: BTreeMap<String, String> =
        aws.map(|(name, value)| (name.to_ascii_lowercase(), (*value).to_owned())).collect();
    let profile = all.get("AWS_PROFILE").copied().unwrap_or("default");
    let file = |variable: &str, name: &str| {
        let named = all.get(variable).map(PathBuf::from);
        named.or_else(|| all.get("HOME").map(|home| Path::new(home).join(".aws").join(name)))
    };
    if !config.contains_key("aws_access_key_id") {
        let found = section(file("AWS_SHARED_CREDENTIALS_FILE", "credentials"), profile);
        let names = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"];
        config.extend(found.into_iter().filter(|(name, _)| names.contains(&name.as_str())));
    }
    let heading = if profile == "default" { profile.to_owned() } else { format!("profile {profile}") };
    let found = section(file("AWS_CONFIG_FILE", "config"), &heading);
    for (name, key) in [("region", "aws_region"), ("endpoint_url", "aws_endpoint_url")] {
        if let Some(value) = found.get(name)
            && !config.contains_key(key)
            && !(key == "aws_region" && config.contains_key("aws_default_region"))
        {
            config.insert(key.to_owned(), value.clone());
        }
    }
    let allow_http = config.get("aws_endpoint_url").is_some_and(|url| url.starts_with("http://"));
    let sources = [
        "aws_access_key_id",
        "aws_web_identity_token_file",
        "aws_container_credentials_relative_uri",
        "aws_container_credentials_full_uri",
        "aws_skip_signature",
    ];
    let is_known = sources.iter().any(|name| config.contains_key(*name));
    S3Values { config, allow_http, is_known }
}

/// A value, if a request can be made of it; `name` is that of its variable.
pub(super) fn checked<'v>(name: &str, value: &'v str) -> Stored<&'v str> {
    let shown = name.to_ascii_uppercase();
    let what = if ADDRESSES.contains(&&*name.to_ascii_lowercase()) && !is_address(value) {
        let value = value.escape_debug();
        format!(
            "cannot be used: `{shown}` is `{value}`, and not the address of a server, as `https://minio.lab:9000` is."
        )
    } else if value.chars().any(char::is_control) && !shown.starts_with("GOOGLE_") {
        // Google's key is a file's text. The value may be a secret.
        format!(
            "cannot be used: the value of `{shown}` has a line break in it, or another character that is no text. Is it a file's?"
        )
    } else {
        return Ok(value);
    };
    Err(StorageError::new(FailureKind::Other, what))
}

/// Whether this is the address of a server: a scheme, a host, and a port that is one, if it is there.
fn is_address(text: &str) -> bool {
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
        && !host.is_empty()
        && port.is_none_or(|port| port.parse::<u16>().is_ok())
        && text.chars().all(|character| character.is_ascii_graphic())
}

/// Entries under a heading of a file of `name = value` lines; none if there is no such file.
fn section(file: Option<PathBuf>, heading: &str) -> BTreeMap<String, String> {
    let text = file.and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
    let mut is_in = false;
    let mut entries = BTreeMap::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            is_in = name.trim() == heading;
        } else if let Some((name, value)) = line.split_once('=')
            && is_in
            && !line.starts_with(['#', ';'])
        {
            entries.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_no_request_can_be_made_of_are_refused() {
        for address in ["http://127.0.0.1:9000", "https://minio.lab", "HTTPS://[::1]:9000/path", "http://[::1]"] {
            checked("aws_endpoint_url", address).unwrap();
        }
        for address in [
            "minio.lab",
            "127.0.0.1:9000",
            "ftp://h",
            "http://",
            "http://:1",
            "http://h:99999",
            "http://h/ x",
            "http://h\n",
        ] {
            assert!(checked("aws_endpoint_url", address).is_err(), "{address}");
            assert!(checked("GOOGLE_BASE_URL", address).is_err(), "{address}");
        }
        let refused = checked("AWS_SECRET_ACCESS_KEY", "secret\n").unwrap_err();
        assert!(
            refused.what.contains("`AWS_SECRET_ACCESS_KEY`") && !refused.what.contains("secret\n"),
            "{}",
            refused.what
        );
        checked("GOOGLE_SERVICE_ACCOUNT_KEY", "{\n}").unwrap();
    }

    #[test]
    fn variables_come_first_and_files_of_amazons_tools_fill_in() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(".aws")).unwrap();
        std::fs::write(
            folder.path().join(".aws/credentials"),
            "[default]\naws_access_key_id = a\naws_secret_access_key=b\n[lab]\naws_access_key_id=c\naws_secret_access_key = d\n",
        )
        .unwrap();
        std::fs::write(folder.path().join(".aws/config"), "[profile lab]\nregion = eu-north-1\n# region = x\n")
            .unwrap();
        let variables = |more: &[(&str, &str)]| -> Vec<(String, String)> {
            let home = ("HOME", folder.path().to_str().unwrap());
            more.iter().chain([&home]).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let values = of_s3(&variables(&[]));
        assert_eq!(values.config["aws_access_key_id"], "a");
        assert!(values.is_known && !values.allow_http);
        let values = of_s3(&variables(&[("AWS_PROFILE", "lab"), ("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")]));
        assert_eq!((&*values.config["aws_secret_access_key"], &*values.config["aws_region"]), ("d", "eu-north-1"));
        assert!(values.allow_http);
        let values = of_s3(&variables(&[("AWS_ACCESS_KEY_ID", "e"), ("AWS_SECRET_ACCESS_KEY", "f")]));
        assert_eq!(values.config["aws_access_key_id"], "e");
        assert!(!of_s3(&[]).is_known);
    }
}
