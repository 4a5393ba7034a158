//! Attempts that work on a disk of the node's own.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::fake::Cluster;
use crate::pipelines;
use crate::support::skips;

/// Two stages that read one stored file and one stored folder.
const PIPELINE: &str = "athanor: 1
name: p
stages:
  big:
    kind: command
    run: seq 1000 > ${{ outputs.file }}; mkdir d; echo a > d/a; echo b > d/b
    outputs: { file: numbers.txt, folder: d }
  reads:
    kind: command
    matrix: { n: [1, 2] }
    inputs: { numbers: big.file, folder: big.folder }
    run: |
      pwd > where
      readlink -f inputs/numbers/numbers.txt >> where
      dirname $TMPDIR >> where
      echo ${{ matrix.n }} >> where
      cat where inputs/folder/d/* > ${{ outputs.where }}
      tail -n 1 ${{ inputs.numbers }} >> ${{ outputs.where }}
    outputs: { where: out.txt }
results: { out: reads }
";

fn cluster(pipeline: &str, scratch: &str) -> (Cluster, PathBuf) {
    let cluster = Cluster::new(pipeline);
    let disk = cluster.path("disk");
    std::fs::create_dir(&disk).unwrap();
    set_scratch(&cluster, scratch);
    (cluster, disk)
}

fn set_scratch(cluster: &Cluster, scratch: &str) {
    let settings = format!("executor: slurm\nslurm: {{ poll: 1s, idle: 20s, max_jobs: 4 }}\nscratch: {scratch}\n");
    cluster.project.write("athanor.config.yaml", &settings);
}

/// Names in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The folder of this user on the disk of the node.
fn own(disk: &Path) -> PathBuf {
    let names = names(disk);
    assert_eq!(names.len(), 1, "{names:?}");
    disk.join(&names[0])
}

#[test]
fn attempts_work_on_the_node_and_share_copies_of_inputs() {
    let (cluster, disk) = cluster(PIPELINE, "$NODE_DISK/athanor");
    if cluster.lacks_room() {
        return;
    }
    attempts_work_in(&cluster, &disk);
}

/// A folder on another file system than the shared one, as the disks of nodes are; `None`, and a message, where there is none.
fn other_disk(cluster: &Cluster) -> Option<TempDir> {
    let device = |path: &Path| std::fs::metadata(path).unwrap().dev();
    let disk = tempfile::tempdir_in("/dev/shm").ok();
    let disk = disk.filter(|disk| device(disk.path()) != device(&cluster.project.path("")));
    if disk.is_none() {
        skips("`/dev/shm` is no other file system");
    }
    disk
}

#[test]
fn the_disk_of_a_node_is_a_file_system_of_its_own() {
    let (cluster, _) = cluster(PIPELINE, "$NODE_DISK/athanor");
    let Some(disk) = other_disk(&cluster) else { return };
    attempts_work_in(&cluster, disk.path());
    // Kinds that keep what they finish, and that write images, tables and checkpoints.
    let project = pipelines::project();
    let settings = cluster.project.read("athanor.config.yaml");
    project.write("athanor.config.yaml", &settings.replace("$NODE_DISK", &disk.path().display().to_string()));
    pipelines::same(&project, |arguments| cluster.command_in(&project, arguments), &pipelines::SMALL_DEMO);
}

fn attempts_work_in(cluster: &Cluster, disk: &Path) {
    let mut command = cluster.command(&["run", "p.yaml"]);
    command.env("NODE_DISK", disk);
    let outcome = crate::support::Outcome::of(command);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let own = own(&disk.join("athanor"));
    assert_eq!(std::fs::metadata(&own).unwrap().permissions().mode() & 0o777, 0o700);
    for n in [1, 2] {
        let text = cluster.project.read(&format!("results/p/out/n={n}.txt"));
        let lines: Vec<&str> = text.lines().collect();
        let [work, numbers, temporary, number, a, b, last] = lines[..] else { panic!("{text}") };
        assert!(Path::new(work).starts_with(own.join("attempts")), "{work}");
        assert!(Path::new(numbers).starts_with(own.join("inputs")), "{numbers}");
        assert_eq!((temporary, number.parse(), a, b, last), (work, Ok(n), "a", "b", "1000"));
    }
    let copies = names(&own.join("inputs")).into_iter().filter(|name| name.ends_with(".list")).count();
    assert_eq!(copies, 2, "each input is copied once: {:?}", names(&own.join("inputs")));
    assert_eq!(names(&own.join("attempts")), Vec::<String>::new(), "nothing of an attempt is left");
    let again = Cluster::run(cluster, &["--executor", "local", "--json"]);
    assert_eq!((again.code, crate::support::events(&again.out, "started")), (0, Vec::new()), "{again:?}");
}

#[test]
fn a_copy_that_a_stage_changes_is_made_anew() {
    let pipeline = "athanor: 1
name: p
stages:
  big: { kind: command, run: 'seq 10 > ${{ outputs.file }}', outputs: { file: n.txt } }
  spoils:
    kind: command
    inputs: { numbers: big.file }
    run: |
      file=$(readlink -f ${{ inputs.numbers }})
      chmod u+w $file
      echo 11 >> $file
      touch ${{ outputs.o }}
    outputs: { o: o }
    sandbox: off
  reads:
    kind: command
    inputs: { numbers: big.file }
    run: wc -l < ${{ inputs.numbers }} > ${{ outputs.o }}
    outputs: { o: o }
results: { lines: reads }
";
    let (cluster, _) = cluster(pipeline, "$NODE_DISK");
    if cluster.lacks_room() {
        return;
    }
    let run = |arguments: &[&str]| {
        let mut command = cluster.command(&[&["run", "p.yaml"], arguments].concat());
        command.env("NODE_DISK", cluster.path("disk"));
        crate::support::Outcome::of(command)
    };
    let outcome = run(&["spoils"]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.out.contains("It changed its own input `inputs/numbers/n.txt`"), "{}", outcome.out);
    let outcome = run(&["reads"]);
    assert_eq!((outcome.code, cluster.project.read("results/p/lines")), (0, "10\n".to_owned()), "{outcome:?}");
    let verified = crate::support::Outcome::of(cluster.command(&["cache", "verify"]));
    assert_eq!(verified.code, 0, "{verified:?}");
}

#[test]
fn copies_that_were_used_longest_ago_go_when_all_exceed_their_limit() {
    let stage = |name: &str, inputs: &str| {
        format!(
            "  {name}:\n    kind: command\n    inputs: {{ {inputs} }}\n    run: readlink -f inputs/*/* > ${{{{ outputs.o }}}}\n    \
             outputs: {{ o: o }}\n"
        )
    };
    let makes = |name: &str, lines: u32| {
        format!(
            "  {name}: {{ kind: command, run: 'seq {lines} > ${{{{ outputs.o }}}}', outputs: {{ o: {name}.txt }} }}\n"
        )
    };
    // Of 3,893 bytes, of as many and one more, and of more than the limit.
    let pipeline = [
        "athanor: 1\nname: p\nstages:\n".to_owned(),
        makes("a", 1000),
        makes("b", 1001),
        makes("large", 2000),
        stage("first", "a: a"),
        stage("second", "b: b, last: first"),
        stage("both", "a: a, b: b, last: second"),
        stage("third", "large: large, last: both"),
        "results: { first: first, second: second, both: both, third: third }\n".to_owned(),
    ];
    let (cluster, disk) = cluster(&pipeline.concat(), "$NODE_DISK\nscratch_limit: 6kB");
    if cluster.lacks_room() {
        return;
    }
    let mut command = cluster.command(&["run", "p.yaml"]);
    command.env("NODE_DISK", &disk);
    let outcome = crate::support::Outcome::of(command);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    // Whether each input was read from a copy on the node.
    let copied = |result: &str| -> Vec<bool> {
        cluster
            .project
            .read(&format!("results/p/{result}"))
            .lines()
            .map(|line| Path::new(line).starts_with(&disk))
            .collect()
    };
    assert_eq!(copied("first"), [true]);
    assert_eq!(copied("second"), [true, true], "what nobody reads any more made room");
    assert_eq!(copied("both").iter().filter(|is_copied| !**is_copied).count(), 1, "what is read makes no room");
    assert_eq!(copied("third"), [false, true], "what is larger than the limit is read where it lies");
    let lists = names(&own(&disk).join("inputs")).into_iter().filter(|name| name.ends_with(".list"));
    let sizes =
        lists.map(|list| own(&disk).join("inputs").join(list.trim_end_matches(".list")).metadata().unwrap().len());
    assert!(sizes.sum::<u64>() <= 6000);
}

#[test]
fn a_node_without_the_folder_says_so() {
    let (cluster, _) = cluster(PIPELINE, "$NO_SUCH_DISK");
    let outcome = cluster.run(&[]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    let told = "`scratch` is `$NO_SUCH_DISK`, and the variable `NO_SUCH_DISK` is not set on this node.";
    assert!(outcome.out.contains(told), "{}", outcome.out);
}
