//! Settings, from outside: where they are read from, what holds, and what is said of those that are wrong.

mod support;

use std::os::unix::fs::PermissionsExt;

use support::{Outcome, Project};

const PIPELINE: &str =
    "athanor: 1\nname: p\nstages:\n  a: { kind: command, run: \"echo x > ${{ outputs.o }}\", outputs: { o: o.txt } }\n";

#[test]
fn every_value_is_shown_with_its_origin() {
    let project = Project::new(PIPELINE);
    let defaults = Outcome::of(project.sandboxed(&["config"]));
    for piece in [
        "cache                .athanor   default\n",
        "cache.verify_on_use  never      default\n",
        "environment          strict     default\n",
        "hooks.on_success     none       default\n",
        "log_limit            64MiB      default\n",
        "on_no_gpu            fail       default\n",
        "remote               none       default\n",
        "remote.mode          read-only  default\n",
        "results              results    default\n",
        "sandbox              on         default\n",
        "sandbox.writes       none       default\n",
        "  /etc/athanor/config.yaml",
        "  athanor.config.yaml (absent)\n",
    ] {
        assert!(defaults.out.contains(piece), "{piece}: {}", defaults.out);
    }
    project.write("config/athanor/config.yaml", "log_limit: 1GiB\nresults: ~/out\n");
    project.write("athanor.config.yaml", "# ours\ncache: store\ncache.verify_on_use: sample\n");
    let mut command = project.command(&["config", "--json", "--cache", "other"]);
    let output = command.env("HOME", "/home/ann").env("ATHANOR_LOG_LIMIT", "5MB").output().unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let settings = &shown["settings"];
    assert_eq!(
        settings["cache"],
        serde_json::json!({ "value": "other", "from": { "source": "option", "name": "--cache" } })
    );
    let sample = &settings["cache.verify_on_use"];
    assert_eq!(
        (&sample["value"], &sample["from"]["file"], &sample["from"]["line"]),
        (&"sample".into(), &"athanor.config.yaml".into(), &3.into())
    );
    assert_eq!(settings["log_limit"]["from"]["name"], "ATHANOR_LOG_LIMIT");
    assert_eq!(settings["results"]["value"], "/home/ann/out");
    assert!(settings["results"]["from"]["file"].as_str().unwrap().ends_with("config/athanor/config.yaml"));
    assert_eq!(shown["files"].as_array().unwrap().len(), 3);
}

#[test]
fn the_cache_is_where_the_settings_say_and_nothing_reruns_for_a_setting() {
    let project = Project::new(PIPELINE);
    project.write("athanor.config.yaml", "cache: store/of/mine\n");
    assert_eq!(project.made(&[]), ["a"]);
    assert!(project.path("store/of/mine/objects").is_dir() && !project.path(".athanor").exists());
    assert!(project.athanor(&["cache", "ls"]).out.contains("1 result"));
    project.write("athanor.config.yaml", "cache: { dir: store/of/mine, verify_on_use: always }\nlog_limit: 1MiB\n");
    assert_eq!(project.made(&[]), [""; 0]);
    let output = project.command(&["run", "p.yaml", "--json"]).env("ATHANOR_CACHE", "another").output().unwrap();
    assert_eq!(support::events(&String::from_utf8(output.stdout).unwrap(), "finished"), ["a"]);
    assert!(project.path("another").is_dir());
}

#[test]
fn mistakes_are_shown_where_they_are() {
    let project = Project::new(PIPELINE);
    project.write("athanor.config.yaml", "# ours\ncahce: store\nlog_limit: 64 parsecs\n");
    for arguments in [&["run", "p.yaml"][..], &["status", "p.yaml"], &["config"], &["cache", "ls"]] {
        let outcome = project.athanor(arguments);
        assert_eq!(outcome.code, 2, "{outcome:?}");
        for piece in [
            "unknown key `cahce` in a settings file",
            "athanor.config.yaml:2:1",
            "did you mean `cache`?",
            "2 │ cahce: store",
            "athanor.config.yaml:3:12",
            "`64 parsecs` is not a size",
            "2 mistakes in the settings",
        ] {
            assert!(outcome.err.contains(piece), "{piece}: {}", outcome.err);
        }
    }
    assert!(!project.path(".athanor").exists() && !project.path("store").exists());
    let project = Project::new(PIPELINE);
    let output = project.command(&["check", "p.yaml"]).env("ATHANOR_CACHE_VERIFY_ON_USE", "smaple").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said.contains("the variable `ATHANOR_CACHE_VERIFY_ON_USE`") && said.contains("did you mean `sample`?"),
        "{said}"
    );
}

/// What the program says of a settings file that is no such file.
fn refusal(prepare: impl FnOnce(&Project)) -> Outcome {
    let project = Project::new(PIPELINE);
    prepare(&project);
    let outcome = project.athanor(&["check", "p.yaml"]);
    assert_eq!(outcome.code, 2, "{outcome:?}");
    assert!(outcome.err.contains("athanor.config.yaml"), "{outcome:?}");
    assert!(outcome.err.len() < 5_000, "{} bytes of complaint", outcome.err.len());
    outcome
}

#[test]
fn what_is_no_settings_file_is_refused() {
    let write = |text: &'static [u8]| {
        move |project: &Project| std::fs::write(project.path("athanor.config.yaml"), text).unwrap()
    };
    assert!(refusal(write(b"cache: [a")).err.contains("not valid YAML"));
    assert!(refusal(write(b"cache:\n\t- a\n")).err.contains("athanor.config.yaml:"));
    assert!(refusal(write(b"\xff\xfe")).err.contains("not UTF-8"));
    assert!(refusal(write(b"cache: \"a\\0b\"\n")).err.contains("NUL"));
    assert!(refusal(write(b"a: &a [*a]\ncache: *a\n")).code == 2);
    assert!(
        refusal(|project| project.write("athanor.config.yaml", &"# x\n".repeat(5 << 19)))
            .err
            .contains("larger than 1.0 MiB")
    );
    assert!(
        refusal(|project| std::fs::create_dir(project.path("athanor.config.yaml")).unwrap()).err.contains("not a file")
    );
    let fifo = refusal(|project| {
        nix::unistd::mkfifo(&project.path("athanor.config.yaml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    });
    assert!(fifo.err.contains("not a file"));
    let bomb: String = (1..30)
        .map(|level| format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", ")))
        .collect();
    assert!(
        refusal(|project| project.write("athanor.config.yaml", &format!("a0: &a0 [x]\n{bomb}")))
            .err
            .contains("aliases")
    );
}

#[test]
fn a_settings_file_that_may_not_be_read_is_refused() {
    if rustix::process::geteuid().is_root() {
        support::skips("root may read every file");
        return;
    }
    let refused = refusal(|project| {
        project.write("athanor.config.yaml", "cache: x\n");
        std::fs::set_permissions(project.path("athanor.config.yaml"), std::fs::Permissions::from_mode(0o000)).unwrap();
    });
    assert!(refused.err.contains("cannot be read"), "{}", refused.err);
}

#[test]
fn a_home_that_only_another_user_may_enter_has_no_settings() {
    let project = Project::new(PIPELINE);
    let home = project.path("home");
    std::fs::create_dir(&home).unwrap();
    let set_mode = |mode| std::fs::set_permissions(&home, std::fs::Permissions::from_mode(mode)).unwrap();
    set_mode(0o000);
    let mut command = project.command(&["check", "p.yaml"]);
    let output = command.env("XDG_CONFIG_HOME", &home).output().unwrap();
    set_mode(0o755);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn there_is_a_schema_for_editors() {
    let outcome = Project::new(PIPELINE).athanor(&["schema", "--config"]);
    let schema: serde_json::Value = serde_json::from_str(&outcome.out).unwrap();
    assert_eq!(schema["title"], "Athanor settings");
    assert!(schema["properties"]["cache.verify_on_use"]["enum"].is_array());
}

#[test]
fn commands_that_need_no_settings_do_not_read_them() {
    let project = Project::new(PIPELINE);
    project.write("athanor.config.yaml", "[\n");
    for arguments in [&["kinds"][..], &["schema", "--config"], &["completions", "bash"], &["init", "new.yaml"]] {
        assert_eq!(project.athanor(arguments).code, 0, "{arguments:?}");
    }
}
