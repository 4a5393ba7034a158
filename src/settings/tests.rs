//! Tests of settings files.

use std::path::Path;

use super::*;
use crate::language::{Diagnostic, SourceText};
use crate::settings::file::NAMES;

fn read_text(text: &str) -> (Layer, Vec<Diagnostic>) {
    let file = SourceText { name: FILE.to_owned(), text: text.to_owned() };
    let mut problems = Vec::new();
    let layer = read(&file, 0, Some(Path::new("/home/ann")), &mut problems);
    (layer, problems)
}

fn settings(text: &str) -> Vec<String> {
    let (layer, problems) = read_text(text);
    assert_eq!(problems, [], "{text}");
    let settings = Settings::over([layer]);
    // Those of Slurm have a test of their own.
    let list =
        settings.list().into_iter().filter(|(name, ..)| !name.starts_with("slurm") && !name.starts_with("batch"));
    list.map(|(_, value, origin)| format!("{value} {origin}")).collect()
}

#[test]
fn the_ways_to_write_the_cache_mean_the_same() {
    for text in [
        "cache: ~/c\ncache.verify_on_use: sample\n",
        "cache.verify_on_use: sample\ncache: ~/c\n",
        "cache: { dir: ~/c, verify_on_use: sample }\n",
        "cache.dir: ~/c\ncache.verify_on_use: sample\n",
        "cache: { dir: ~/c }\ncache.verify_on_use: sample\n",
        "{\"cache\": \"~/c\", \"cache.verify_on_use\": \"sample\"}",
    ] {
        let shown: Vec<String> = settings(text).iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
        let rest = "strict local none none 64MiB fail none read-only true none results on none none none none";
        assert_eq!(shown.join(" "), format!("/home/ann/c sample {rest}"), "{text}");
    }
    assert_eq!(settings("cache.verify_on_use: always")[0], ".athanor default");
    for nothing in ["", "# nothing\n", "---\n", "{}"] {
        assert_eq!(settings(nothing), settings(""));
    }
}

#[test]
fn the_ways_to_write_the_sandbox_mean_the_same() {
    for text in [
        "sandbox: off\nsandbox.writes: [~/runs, out]\nsandbox.reads: shared",
        "sandbox: false\nsandbox.writes: [~/runs, out]\nsandbox.reads: [shared]",
        "sandbox: { mode: off, writes: [~/runs, out], reads: shared }",
        "sandbox.reads: shared\nsandbox: { mode: off, writes: [~/runs, out] }",
    ] {
        let shown: Vec<String> = settings(text).iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
        assert_eq!(shown[13..16], ["off", "shared", "/home/ann/runs:out"], "{text}");
    }
}

#[test]
fn the_ways_to_write_options_of_jobs_mean_the_same() {
    for text in [
        "slurm: { partition: gpu, time: 4h, max_jobs: 7, extra: --nice }",
        "slurm.partition: gpu\nslurm.time: 4h\nslurm: { max_jobs: 7, extra: [--nice] }",
    ] {
        let (layer, problems) = read_text(text);
        assert_eq!(problems, [], "{text}");
        let settings = Settings::over([layer]);
        let list = settings.list().into_iter().filter(|(name, ..)| name.starts_with("slurm"));
        let shown: Vec<String> = list.map(|(name, value, _)| format!("{} {value}", &name[6..])).collect();
        let expected =
            "account none,extra --nice,gpus gres,idle 1m,max_jobs 7,partition gpu,poll 20s,qos none,setup none,time 4h";
        assert_eq!(shown.join(","), expected, "{text}");
    }
}

#[test]
fn the_ways_to_write_the_remote_cache_mean_the_same() {
    for text in [
        "remote: s3://lab/team\nremote.mode: read-write\nremote.key_file: ~/key",
        "remote: { url: s3://lab/team, mode: read-write, key_file: ~/key }",
        "remote.url: s3://lab/team\nremote: { mode: read-write, key_file: ~/key }",
    ] {
        let shown: Vec<String> = settings(text).iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
        assert_eq!(shown[8..12], ["s3://lab/team", "read-write", "true", "/home/ann/key"], "{text}");
    }
    assert_eq!(settings("remote: none")[8], format!("none {FILE}:1"));
    for off in ["off", "false"] {
        assert_eq!(settings(&format!("remote.mode: {off}"))[9], format!("off {FILE}:1"));
    }
}

#[test]
fn each_mistake_is_told_where_it_is() {
    let cases = [
        ("cach: x\n", "unknown key `cach` in a settings file", "did you mean `cache`?"),
        ("verify_on_use: x\n", "unknown key `verify_on_use` in a settings file", "did you mean `cache.verify_on_use`?"),
        ("remote: http://x\n", "`http://…` is no address of a remote cache", ""),
        ("remote: /mnt/team\n", "`/mnt/team` is no address of a remote cache", ""),
        ("remote: ssh://-oProxyCommand=x/y\n", "it names no host", ""),
        (
            "remote: { mode: read-writ }\n",
            "`read-writ` is not one of `read-only`, `read-write`, `off`; did you mean `read-write`?",
            "",
        ),
        ("on_no_gpu: gpu\n", "`gpu` is not one of `fail`, `cpu`; did you mean `cpu`?", ""),
        ("environment: all\n", "`all` is not one of `strict`, `inherit`", ""),
        ("cache.verify: always\n", "unknown key `verify` in `cache`", "did you mean `verify_on_use`?"),
        (
            "cache: { verify_on_use: alwys }\n",
            "`alwys` is not one of `never`, `sample`, `always`; did you mean `always`?",
            "",
        ),
        ("cache.verify_on_use: true\n", "expected one of `never`, `sample`, `always`, not a truth value", ""),
        ("cache: [a]\n", "`cache` is a folder or a mapping, not a list", "write `cache: DIR`"),
        ("cache: ''\n", "expected the path of a folder, not an empty text", ""),
        ("cache: ~bob/x\n", "`~bob` is not expanded", ""),
        ("results: $SCRATCH/results\n", "`$SCRATCH` is not expanded", ""),
        ("sandbox.writes: [out, $HOME/runs]\n", "`$HOME` is not expanded", ""),
        ("cache: a\ncache.dir: b\n", "`cache.dir` is there twice", ""),
        ("cache: 7\ncache.dir: b\n", "`cache` is a folder or a mapping, not a number", ""),
        ("log_limit: 64\n", "expected a size with its unit", ""),
        ("log_limit: 1B\n", "`1B` is too little", ""),
        ("results: 7\n", "expected a path, not a number", ""),
        ("results: ${{ vars.x }}\n", "there are no expressions here", ""),
        ("executor: slrum\n", "`slrum` is not one of `local`, `slurm`, `batch`; did you mean `slurm`?", ""),
        ("slurm: { partitoin: x }\n", "unknown key `partitoin` in `slurm`", "did you mean `partition`?"),
        ("slurm: { max_jobs: 0 }\n", "expected a number of jobs, from 1", ""),
        ("slurm.extra: constraint=a100\n", "`constraint=a100` is not an option", ""),
        ("scratch: tmp\n", "expected an absolute path, or one that begins with a variable of the nodes", ""),
        ("scratch: /tmp/$USER\n", "expected an absolute path, or one that begins with a variable of the nodes", ""),
        ("scratch_limit: 200\n", "expected a size with its unit", ""),
        ("scratch: [a]\n", "expected the path of a folder on the nodes, not a list", ""),
        ("sandbox: of\n", "`of` is neither `on` nor `off`", ""),
        ("sandbox: [a]\n", "expected `on` or `off`, not a list", ""),
        ("sandbox.writes: 3\n", "expected a path or a list of paths, not a number", ""),
        ("sandbox.writes: [a, '']\n", "expected a path, not an empty text", ""),
        ("sandbox.write: a\n", "unknown key `write` in `sandbox`", "did you mean `writes`?"),
        ("sandbox: off\nsandbox.mode: on\n", "`sandbox.mode` is there twice", ""),
        ("a b\n", "a settings file is a mapping, not text", ""),
        ("cache: x\n\tresults: y\n", "this is not valid YAML", ""),
        ("cache: x\ncache: y\n", "the key `cache` is there twice", ""),
    ];
    for (text, message, help) in cases {
        let (_, problems) = read_text(text);
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        assert!(problems[0].message.contains(message), "{text}: {}", problems[0].message);
        assert!(problems[0].help.clone().unwrap_or_default().contains(help), "{text}: {:?}", problems[0].help);
    }
}

#[test]
fn the_schema_has_every_name_with_its_documentation() {
    let schema = schema();
    for name in NAMES {
        assert!(schema["properties"][name]["description"].is_string(), "{name}");
    }
    assert_eq!(schema["additionalProperties"], false);
}
