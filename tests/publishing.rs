//! What Athanor puts into a folder of results is right, known as its own wherever it goes, and never in the place of what is the
//! user's.

mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use support::Project;

const PIPELINE: &str = "athanor: 1\nname: p\nvars: { word: one }\nstages:\n  a: { kind: command, run: \"echo ${{ vars.word }} > ${{ outputs.o }}\", outputs: { o: o.txt } }\n  \
    d: { kind: command, inputs: { i: a }, run: \"mkdir out && cp ${{ inputs.i }} out/x\", outputs: { d: out } }\nresults: { o.txt: a, folder: d }\n";

fn ran() -> Project {
    let project = Project::new(PIPELINE);
    assert_eq!(project.made(&[]), ["a", "d"]);
    project
}

fn objects(project: &Project) -> Vec<PathBuf> {
    let shards = std::fs::read_dir(project.path(".athanor/objects")).unwrap();
    shards
        .flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .collect()
}

/// A bit of the stored files with this content flips.
fn rot(project: &Project, content: &str) {
    let is = |path: &PathBuf| std::fs::read_to_string(path).is_ok_and(|found| found == content);
    let rotten: Vec<PathBuf> = objects(project).into_iter().filter(is).collect();
    assert!(!rotten.is_empty());
    for path in rotten {
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        std::fs::write(&path, content.to_uppercase()).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444)).unwrap();
    }
}

/// Nothing but the results and the note lies in their folder.
fn assert_only(project: &Project, expected: &[&str]) {
    let entries = std::fs::read_dir(project.path("results/p")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, [&[".athanor.json"], expected].concat());
}

#[test]
fn what_has_rotted_in_the_cache_never_reaches_the_user_and_keeps_nothing_else_back() {
    let text = PIPELINE.replace("cp ${{ inputs.i }} out/x", "echo other > out/x");
    for (content, lost, kept) in [("one\n", "o.txt", "folder/x"), ("other\n", "folder", "o.txt")] {
        let project = Project::new(&text);
        project.made(&[]);
        rot(&project, content);
        std::fs::remove_dir_all(project.path("results")).unwrap();
        let outcome = project.run(&[]);
        // It may be found before it is copied, and made again.
        if outcome.code != 0 {
            assert!(outcome.out.contains(&format!("results/p/{lost} is damaged in the cache")), "{}", outcome.out);
            assert!(!project.path("results/p").join(lost).exists());
            assert!(project.path("results/p").join(kept).exists());
            assert_eq!(project.made(&[]).len(), 1);
        }
        assert_eq!(project.read("results/p/o.txt") + &project.read("results/p/folder/x"), "one\nother\n");
        assert!(project.made(&[]).is_empty());
    }
}

#[test]
fn one_refused_result_keeps_no_other_from_its_place() {
    let project = Project::new(&PIPELINE.replace("folder: d", "sub/folder: d"));
    project.write("results/p/sub", "in the way");
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.out.contains("results/p/sub/folder cannot be put in place: `"), "{}", outcome.out);
    assert!(outcome.out.contains("results/p/sub` is no folder.\n  help: It is in the cache"), "{}", outcome.out);
    assert_eq!(project.read("results/p/o.txt"), "one\n");
    assert_eq!(project.read("results/p/sub"), "in the way");
    std::fs::remove_file(project.path("results/p/sub")).unwrap();
    assert!(project.made(&[]).is_empty());
    assert_eq!(project.read("results/p/sub/folder/x"), "one\n");
}

#[test]
fn what_is_in_the_way_of_a_result_is_named() {
    let project = ran();
    std::fs::remove_dir_all(project.path("results/p")).unwrap();
    std::fs::create_dir_all(project.path("results/p/.athanor.json")).unwrap();
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.out.contains("/results/p/.athanor.json` away and run again."), "{}", outcome.out);
    let outcome = project.run(&["--results", "/proc"]);
    assert!(outcome.out.contains("no folder could be made in `/proc`. Put results elsewhere"), "{}", outcome.out);
}

#[test]
fn a_file_of_the_users_in_the_place_of_the_note_is_kept() {
    let puts: [&dyn Fn(&std::path::Path); 2] =
        [&|path| std::fs::write(path, r#"{"version": 1, "theme": "mine"}"#).unwrap(), &|path| {
            std::os::unix::fs::symlink("/nowhere/at/all", path).unwrap();
        }];
    for put in puts {
        for project in [Project::new(PIPELINE), ran()] {
            let note = project.path("results/p/.athanor.json");
            std::fs::create_dir_all(project.path("results/p")).unwrap();
            let _ = std::fs::remove_file(&note);
            put(&note);
            let before = note.symlink_metadata().unwrap().ino();
            let outcome = project.run(&[]);
            let told = "results/p/.athanor.json is new; the edited one that was there is now results";
            assert!(outcome.code == 0 && outcome.out.contains(told), "{outcome:?}");
            assert_eq!(before, note.with_extension("json.edited").symlink_metadata().unwrap().ino());
            assert!(project.read("results/p/.athanor.json").contains("\"seal\""));
            assert_eq!(project.run(&["--set", "word=two"]).code, 0);
            assert_only(&project, &[".athanor.json.edited", "folder", "o.txt"]);
        }
    }
}

#[test]
fn a_run_with_nothing_to_do_writes_nothing_into_the_results() {
    let project = ran();
    let stat = |name: &str| {
        let metadata = std::fs::metadata(project.path(name)).unwrap();
        (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
    };
    let all = ["results", "results/p", "results/p/.athanor.json", "results/p/o.txt", "results/p/folder"];
    let before = all.map(stat);
    assert!(project.made(&[]).is_empty());
    assert_eq!(all.map(stat), before);
    assert_only(&project, &["folder", "o.txt"]);
}

#[test]
fn without_a_note_what_equals_the_cache_is_ours_and_everything_else_is_the_users() {
    let damages: [fn(&Project); 3] = [
        |project| std::fs::remove_file(project.path("results/p/.athanor.json")).unwrap(),
        |project| project.write("results/p/.athanor.json", "{"),
        // A note that says something else without being broken.
        |project| {
            let digit = |note: &str, from: &str, to: &str| {
                note.replace(&format!("\"digest\": \"{from}"), &format!("\"digest\": \"{to}"))
            };
            let note = project.read("results/p/.athanor.json");
            let other = (0..16).map(|digit| format!("{digit:x}")).fold(note, |note, from| digit(&note, &from, "0"));
            project.write("results/p/.athanor.json", &other);
        },
    ];
    for damage in damages {
        let project = ran();
        damage(&project);
        let outcome = project.run(&["--set", "word=two"]);
        assert!(!outcome.out.contains("edited"), "{}", outcome.out);
        assert_eq!(project.read("results/p/o.txt"), "two\n");
        assert_only(&project, &["folder", "o.txt"]);
        damage(&project);
        project.write("results/p/folder/mine", "mine");
        let outcome = project.run(&["--set", "word=three"]);
        assert!(outcome.out.contains("is now results/p/folder.edited\n"), "{}", outcome.out);
        assert_eq!(project.read("results/p/folder.edited/mine"), "mine");
        assert_eq!(project.read("results/p/o.txt"), "three\n");
        assert_only(&project, &["folder", "folder.edited", "o.txt"]);
    }
}

#[test]
fn results_that_move_with_their_project_or_share_its_path_are_known_wherever_they_are() {
    let place = tempfile::tempdir().unwrap();
    let cache = place.path().join("cache");
    let [here, aside] = ["here", "aside"].map(|name| place.path().join(name));
    let run = |word: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_athanor"));
        command.current_dir(&here).args(["run", "p.yaml", "--set", &format!("word={word}"), "--cache"]).arg(&cache);
        let output = command.env_remove("ATHANOR_CACHE").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && !text.contains("edited"), "{text}");
        assert_eq!(std::fs::read_to_string(here.join("results/p/o.txt")).unwrap(), format!("{word}\n"));
        assert_eq!(std::fs::read_to_string(here.join("results/p/folder/x")).unwrap(), format!("{word}\n"));
    };
    let make = || {
        std::fs::create_dir(&here).unwrap();
        std::fs::write(here.join("p.yaml"), PIPELINE).unwrap();
    };
    // Two projects take turns at one path, as they would in two containers.
    let turn = |other: &std::path::Path| {
        let third = place.path().join("third");
        std::fs::rename(&here, &third).unwrap();
        std::fs::rename(other, &here).unwrap();
        std::fs::rename(third, other).unwrap();
    };
    make();
    run("one");
    std::fs::rename(&here, &aside).unwrap();
    make();
    run("two");
    run("three");
    for (one, other) in [("four", "five"), ("six", "one"), ("two", "six")] {
        turn(&aside);
        run(one);
        turn(&aside);
        run(other);
    }
    // What was dropped from the cache meanwhile is known by the note.
    std::fs::remove_dir_all(cache.join("pipelines")).unwrap();
    turn(&aside);
    run("seven");
}

#[test]
fn whatever_the_user_puts_in_a_results_place_stays_what_it_is() {
    let outside = tempfile::tempdir().unwrap();
    let mine = outside.path().join("mine");
    std::fs::create_dir(&mine).unwrap();
    std::fs::write(mine.join("file"), "mine").unwrap();
    let fifo = |path: &std::path::Path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let link = |path: &std::path::Path, to: &std::path::Path| std::os::unix::fs::symlink(to, path).unwrap();
    let puts: [&dyn Fn(&std::path::Path); 7] = [
        &|path| link(path, &mine),
        &|path| link(path, &mine.join("file")),
        &|path| link(path, std::path::Path::new("/nowhere/at/all")),
        &|path| link(path, path),
        &fifo,
        &|path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
        &|path| {
            std::fs::create_dir(path).unwrap();
            fifo(&path.join("inside"));
        },
    ];
    for (number, put) in puts.iter().enumerate() {
        for result in ["o.txt", "folder"] {
            let project = ran();
            let place = project.path("results/p").join(result);
            std::fs::remove_file(&place).or_else(|_| std::fs::remove_dir_all(&place)).unwrap();
            put(&place);
            let kind = std::fs::symlink_metadata(&place).unwrap();
            let outcome = project.run(&[]);
            assert!(
                outcome.out.contains(&format!("results/p/{result} was edited and is left")),
                "{number}: {}",
                outcome.out
            );
            let outcome = project.run(&["--set", "word=two"]);
            assert!(outcome.out.contains(&format!("is now results/p/{result}.edited")), "{number}: {}", outcome.out);
            let aside = std::fs::symlink_metadata(project.path(&format!("results/p/{result}.edited"))).unwrap();
            assert_eq!((aside.ino(), aside.file_type()), (kind.ino(), kind.file_type()), "{number}");
            assert_eq!(project.read("results/p/o.txt") + &project.read("results/p/folder/x"), "two\ntwo\n");
            assert_eq!(std::fs::read_to_string(mine.join("file")).unwrap(), "mine");
        }
    }
}

#[test]
fn a_link_of_the_users_inside_a_folder_is_an_edit_even_if_its_content_is_the_same() {
    let project = ran();
    project.write("elsewhere", "one\n");
    std::fs::remove_file(project.path("results/p/folder/x")).unwrap();
    std::os::unix::fs::symlink(project.path("elsewhere"), project.path("results/p/folder/x")).unwrap();
    assert!(!project.run(&[]).out.contains("edited"), "it holds what it should");
    let outcome = project.run(&["--set", "word=two"]);
    assert!(outcome.out.contains("is now results/p/folder.edited\n"), "{}", outcome.out);
    assert_eq!(project.read("elsewhere"), "one\n");
    assert_eq!(project.read("results/p/folder/x"), "two\n");
}

#[test]
fn results_may_lie_on_another_disk() {
    let elsewhere = match tempfile::tempdir_in("/dev/shm") {
        Ok(folder) => folder,
        Err(error) => return support::skips(&format!("no second file system: {error}")),
    };
    for linked in ["results", "results/p", "results/p/sub"] {
        let project = Project::new(&PIPELINE.replace("folder: d", "sub/folder: d"));
        let there = elsewhere.path().join(linked.replace('/', "-"));
        std::fs::create_dir(&there).unwrap();
        std::fs::create_dir_all(project.path(linked).parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&there, project.path(linked)).unwrap();
        for word in ["one", "two", "three"] {
            let outcome = project.run(&["--set", &format!("word={word}")]);
            assert!(outcome.code == 0 && !outcome.out.contains("edited"), "{linked}: {outcome:?}");
            assert_eq!(project.read("results/p/o.txt"), format!("{word}\n"));
            assert_eq!(project.read("results/p/sub/folder/x"), format!("{word}\n"));
            assert_only(&project, &["o.txt", "sub"]);
        }
        assert!(project.path(linked).is_symlink());
        let names = std::fs::read_dir(&there).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert!(names.into_iter().all(|name| !name.starts_with(".athanor-")));
    }
}

/// A folder of 200 files, of which `change` makes others.
fn many(change: &str) -> String {
    format!(
        "athanor: 1\nname: p\nstages:\n  a: {{ kind: command, run: \"mkdir out; for i in $(seq 200); do echo $i > out/$i; done; {change}\", outputs: {{ d: out }} }}\nresults: {{ d: a }}\n"
    )
}

#[test]
fn of_a_large_folder_only_what_differs_is_replaced() {
    let project = Project::new(&many("mkdir out/old out/keep; echo x > out/old/x"));
    project.made(&[]);
    let inode = |name: &str| std::fs::metadata(project.path(name)).unwrap().ino();
    let before = [inode("results/p/d"), inode("results/p/d/1"), inode("results/p/d/7")];
    project.write(
        "p.yaml",
        &many("echo seven > out/7; rm out/8; mkdir -p out/new/deep; echo y > out/new/deep/y; mkdir out/keep"),
    );
    let outcome = project.run(&[]);
    assert!(outcome.code == 0 && outcome.out.contains("result       results/p/d\n"), "{outcome:?}");
    let after = [inode("results/p/d"), inode("results/p/d/1"), inode("results/p/d/7")];
    assert_eq!(before[..2], after[..2]);
    assert_ne!(before[2], after[2]);
    assert_eq!(project.read("results/p/d/7") + &project.read("results/p/d/new/deep/y"), "seven\ny\n");
    for (name, exists) in [("8", false), ("old", false), ("keep", true), ("9", true)] {
        assert_eq!(project.path("results/p/d").join(name).exists(), exists, "{name}");
    }
    // With an edit of the user's in it, all of it is set aside.
    project.write("results/p/d/9", "mine");
    project.write("p.yaml", &many("echo eight > out/8"));
    assert!(project.run(&[]).out.contains("is now results/p/d.edited\n"));
    assert_eq!(project.read("results/p/d.edited/9") + &project.read("results/p/d/9"), "mine9\n");
    // A file in the place of a folder.
    project.write("p.yaml", &many("rm out/5; mkdir out/5; echo five > out/5/5"));
    assert!(!project.run(&[]).out.contains("edited"));
    assert_eq!(project.read("results/p/d/5/5"), "five\n");
    assert_only(&project, &["d", "d.edited"]);
}

#[test]
fn an_executable_bit_that_the_user_sets_is_no_edit() {
    let project = ran();
    for name in ["results/p/o.txt", "results/p/folder/x"] {
        std::fs::set_permissions(project.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    assert!(!project.run(&[]).out.contains("result"));
    assert!(!project.run(&["--set", "word=two"]).out.contains("edited"));
    assert_only(&project, &["folder", "o.txt"]);
}

#[test]
fn results_have_the_permissions_that_the_umask_leaves() {
    let project = Project::new(&PIPELINE.replace("out/x", "out/x && chmod +x out/x"));
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "umask 027; exec \"$0\" run p.yaml", env!("CARGO_BIN_EXE_athanor")]);
    assert!(command.current_dir(project.path("")).env_remove("ATHANOR_CACHE").output().unwrap().status.success());
    let modes = [
        ("results", 0o750),
        ("results/p", 0o750),
        ("results/p/o.txt", 0o640),
        ("results/p/.athanor.json", 0o640),
        ("results/p/folder", 0o750),
        ("results/p/folder/x", 0o750),
    ];
    for (name, mode) in modes {
        assert_eq!(std::fs::metadata(project.path(name)).unwrap().permissions().mode() & 0o777, mode, "{name}");
    }
}

#[test]
fn what_an_earlier_version_noted_in_the_cache_is_still_known() {
    let project = ran();
    std::fs::remove_file(project.path("results/p/.athanor.json")).unwrap();
    let artifact = |content: &str| {
        let digest = athanor_cache::Digest::of(content.as_bytes());
        serde_json::json!({ "kind": "file", "digest": digest, "bytes": content.len(), "files": 1 })
    };
    // Not in the cache any more.
    project.write("results/p/o.txt", "dropped\n");
    let note = serde_json::json!({ "artifacts": { "results/p/o.txt": artifact("dropped\n") } });
    let folder = project.path("").canonicalize().unwrap();
    let identity = serde_json::json!({ "project": folder, "results": "results/p" });
    let key = athanor_cache::hash_value("athanor results 1", &identity).short();
    project.write(&format!(".athanor/pipelines/results-{key}.json"), &note.to_string());
    assert!(!project.run(&["--set", "word=two"]).out.contains("edited"));
    assert_eq!(project.read("results/p/o.txt"), "two\n");
    // It is read once.
    project.write("results/p/o.txt", "dropped\n");
    assert!(project.run(&["--set", "word=three"]).out.contains("is now results/p/o.txt.edited"));
}

/// In a private place of mounts; needs root.
#[test]
fn on_an_overlay_file_system_results_of_a_lower_layer_are_replaced_as_root() {
    let project = Project::new(&PIPELINE.replace("out/x", "out/x && mkdir out/deep && cp out/x out/deep/y"));
    project.made(&[]);
    // On an overlay file system its layers cannot lie.
    let layers = match tempfile::tempdir_in("/dev/shm") {
        Ok(folder) => folder,
        Err(error) => return support::skips(&format!("no place for layers: {error}")),
    };
    let script = r#"
        mount -t overlay overlay -o lowerdir="$1",upperdir="$2/upper",workdir="$2/work" "$1" || exit 77
        cd "$1" && "$0" run p.yaml --set word=two && cat results/p/o.txt results/p/folder/deep/y &&
        "$0" run p.yaml --set word=three && echo mine > results/p/folder/mine && "$0" run p.yaml --set word=four &&
        cat results/p/o.txt results/p/folder/x results/p/folder.edited/mine && ls -A results/p
    "#;
    for name in ["upper", "work"] {
        std::fs::create_dir(layers.path().join(name)).unwrap();
    }
    let mut command = std::process::Command::new("unshare");
    command
        .args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_athanor")])
        .arg(project.path("").canonicalize().unwrap());
    let output = match command.arg(layers.path()).env_remove("ATHANOR_CACHE").output() {
        Ok(output) if output.status.code() == Some(77) || output.stdout.is_empty() => {
            return support::skips(&format!("nothing can be mounted: {}", String::from_utf8_lossy(&output.stderr)));
        }
        Err(error) => return support::skips(&format!("nothing can be mounted: {error}")),
        Ok(output) => output,
    };
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{out}{}", String::from_utf8_lossy(&output.stderr));
    assert!(out.contains("\ntwo\ntwo\n"), "{out}");
    assert!(out.ends_with("four\nfour\nmine\n.athanor.json\nfolder\nfolder.edited\no.txt\n"), "{out}");
    assert_eq!(out.matches("edited").count(), 3, "said, once, of what the user did, and listed: {out}");
}

/// A pipeline whose result lies at `key` and has this value of an axis in its name, if it has one.
fn named(key: &str, value: &str) -> String {
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    format!(
        "athanor: 1\nname: p\nstages:\n  a: {{ kind: command, matrix: {{ m: [{}, b] }}, run: \"echo x > ${{{{ outputs.x }}}}\", outputs: {{ x: x.txt }} }}\nresults:\n  {}: a\n",
        quoted(value),
        quoted(key)
    )
}

#[test]
fn names_that_no_file_system_takes_are_mistakes() {
    let long = "L".repeat(300);
    for (key, value, expected) in [
        ("all", long.as_str(), "the result `all` would have the name `m=LLLL"),
        (long.as_str(), "c", "300 bytes long; names of files have at most 255"),
        ("a\nb", "c", "the result `a\\nb` would have \\n in its name"),
        (".athanor.json", "c", "no result can be called `.athanor.json`"),
        ("x/.athanor-draft", "c", "no result can be called `.athanor-draft`"),
    ] {
        let project = Project::new(&named(key, value));
        let outcome = project.run(&[]);
        assert!(outcome.code == 2 && outcome.err.contains(expected), "{expected}\n{}{}", outcome.out, outcome.err);
        assert!(outcome.err.contains("p.yaml:6:3"), "{}", outcome.err);
    }
    // As long as it may be: `m=`, 249 letters, `.txt`.
    let outcome = Project::new(&named("all", &"L".repeat(249))).run(&[]);
    assert_eq!(outcome.code, 0, "{}{}", outcome.out, outcome.err);
}

#[test]
fn holes_of_a_file_are_in_no_copy_of_it() {
    let script = "truncate -s 64M o; printf middle | dd of=o bs=1 seek=30000000 conv=notrunc status=none; ln o link; rm o; mv link o; cp -r --sparse=always o p; ln p q";
    let pipeline = format!(
        "athanor: 1\nname: p\nstages:\n  a: {{ kind: command, run: \"{script}\", outputs: {{ o: o, p: p }} }}\n  \
         b:\n    kind: command\n    inputs: {{ i: {{ from: a.p, writable: true }} }}\n    \
         run: stat -c %b ${{{{ inputs.i }}}} > ${{{{ outputs.blocks }}}}\n    outputs: {{ blocks: b }}\n\
         results: {{ o: a.o, p: a.p, blocks: b }}\n"
    );
    let project = Project::new(&pipeline);
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let hole = std::fs::File::create(project.path("hole")).unwrap();
    hole.set_len(1 << 20).unwrap();
    if hole.metadata().unwrap().blocks() != 0 {
        return support::skips("the file system has no holes");
    }
    // A file with a hole before, and one behind its content.
    let few = 1 << 10;
    for result in ["results/p/o", "results/p/p"] {
        let found = project.path(result).metadata().unwrap();
        assert_eq!(found.len(), 64 << 20);
        assert!(found.blocks() < few, "{result}: {} blocks", found.blocks());
        assert_eq!(&std::fs::read(project.path(result)).unwrap()[30_000_000..30_000_006], b"middle");
    }
    for object in objects(&project) {
        let blocks = object.metadata().unwrap().blocks();
        assert!(blocks < few, "{}: {blocks} blocks", object.display());
    }
    let blocks: u64 = project.read("results/p/blocks").trim().parse().unwrap();
    assert!(blocks < few, "{blocks} blocks of a private copy");
}
