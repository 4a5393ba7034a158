//! The kind `download`: from a list, or an address, to files for later stages.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::loopback::{Act, Server, answer, head, ok, sha256, status};
use athanor_cache::{Cache, Digest};
use athanor_stages::artifact::image_set::ImageSetInput;
use athanor_stages::artifact::table::TableInput;
use athanor_stages::context::{CacheAccess, Reporter, StageContext, StageReport};
use athanor_stages::images::encode;
use athanor_stages::images::pixels::Pixels;
use athanor_stages::kind::{RunError, Runner};
use athanor_stages::kinds::download::{DownloadParams, WantedFile, of_list};
use athanor_stages::params;
use athanor_stages::ports::{BoundInputs, BoundOutputs, InputFile, InputValue};
use athanor_stages::registry;
use serde_json::{Value, json};
use tempfile::TempDir;

#[derive(Default)]
struct RecordingReporter {
    reports: Mutex<Vec<StageReport>>,
    stop: Arc<AtomicBool>,
}

impl Reporter for RecordingReporter {
    fn report(&self, report: StageReport) {
        self.reports.lock().unwrap().push(report);
    }
    fn should_stop(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

/// A project folder with a cache.
struct Fixture {
    folder: TempDir,
    cache: Cache,
    /// A folder to be a mirror, inside `folder`.
    mirror: Option<PathBuf>,
    environment: HashMap<String, String>,
    heard: RecordingReporter,
}

impl Fixture {
    fn new() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("cache")).unwrap();
        Fixture { folder, cache, mirror: None, environment: HashMap::new(), heard: RecordingReporter::default() }
    }

    fn list(&self, rows: &str) -> InputFile {
        let path = self.folder.path().join("list.csv");
        std::fs::write(&path, rows).unwrap();
        InputFile { path, label: "list.csv".to_owned() }
    }

    fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join("out").join(name)
    }

    /// Runs the kind with new outputs; gives the names of its outputs.
    fn run(&mut self, params: Value, list: Option<&str>) -> Result<Vec<String>, RunError> {
        let kind = registry::find("download").unwrap();
        let params = kind.check_params(&params).unwrap();
        let Runner::Worker(work) = kind.runner() else { panic!("not a built-in kind") };
        let mirror = self.mirror.clone().map(|path| InputFile { path, label: "mirror".to_owned() });
        let inputs = [("list", list.map(|rows| self.list(rows))), ("mirror", mirror)];
        let inputs: BoundInputs =
            inputs.into_iter().filter_map(|(port, file)| Some((port.to_owned(), vec![file?]))).collect();
        let _ = std::fs::remove_dir_all(self.out(""));
        std::fs::create_dir(self.out("")).unwrap();
        let ports = kind.outputs(&params).unwrap();
        let outputs: BoundOutputs = ports.iter().map(|port| (port.name.clone(), self.out(&port.file))).collect();
        let scratch = self.folder.path().join("scratch");
        let _ = std::fs::remove_dir_all(&scratch);
        std::fs::create_dir(&scratch).unwrap();
        let access = CacheAccess {
            cache: &self.cache,
            fingerprint: Digest::of(params.to_string().as_bytes()),
            contents: HashMap::new(),
            force: false,
            placements: scratch.join("placements"),
        };
        self.heard.reports.lock().unwrap().clear();
        let context = StageContext::new(0, 1, scratch.clone(), &self.heard)
            .with_cache(access)
            .with_environment(self.environment.clone());
        work.run(&params, inputs, outputs, &context)?;
        Ok(ports.into_iter().map(|port| port.name).collect())
    }

    fn logged(&self) -> Vec<String> {
        let heard = self.heard.reports.lock().unwrap();
        let line = |report: &StageReport| match report {
            StageReport::Log { line } => Some(line.clone()),
            _ => None,
        };
        heard.iter().filter_map(line).collect()
    }

    /// Names and contents of the files in an output.
    fn files(&self, output: &str) -> BTreeMap<String, Vec<u8>> {
        let entries = std::fs::read_dir(self.out(output)).unwrap().map(Result::unwrap);
        entries.map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())).collect()
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map_while(Result::ok);
    entries
        .flat_map(|entry| if entry.path().is_dir() { files_below(&entry.path()) } else { vec![entry.path()] })
        .collect()
}

fn image(side: usize, grey: u8) -> Vec<u8> {
    encode::png(&Pixels::grey8(side, side, vec![grey; side * side])).unwrap()
}

/// Serves images whose grey is the length of their path.
fn images() -> Server {
    Server::start(|asked, _| match asked.target.as_str() {
        bad if bad.contains("bad") => status("404 Not Found"),
        page if page.contains("page") => status("200 OK"),
        target => ok(image(4, target.len() as u8)),
    })
}

const PARSE: &str = "{antibody}_{plate}_{well}_{n}";

fn plan(params: &Value, rows: &str) -> Result<Vec<WantedFile>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list.csv");
    std::fs::write(&path, rows).unwrap();
    let list = TableInput::from_file(InputFile { path, label: "list.csv".to_owned() }).read().unwrap();
    let params: DownloadParams = params::parse(params).unwrap();
    of_list(&params, &list).map_err(|error| error.to_string())
}

#[test]
fn the_atlas_is_addressed_by_its_ids() {
    let params = json!({
        "as": "files",
        "url": "http://v18.proteinatlas.org/images/{antibody}/{plate}_{well}_{n}_{channel}.jpg",
        "parse": PARSE,
        "channels": ["red", "green"],
    });
    let wanted = plan(&params, "Id,Target\n10580_1610_C1_1,1 2\n2_3_D_4,0\n").unwrap();
    let urls: Vec<&str> = wanted.iter().map(|wanted| wanted.url.as_str()).collect();
    let images = "http://v18.proteinatlas.org/images";
    assert_eq!(urls[..2], [format!("{images}/10580/1610_C1_1_red.jpg"), format!("{images}/10580/1610_C1_1_green.jpg")]);
    assert_eq!(wanted[3].name, "2_3_D_4_green.jpg");
    let error = plan(&params, "Id\n10580_1610_C1_1\n10580_1610\n").unwrap_err();
    assert_eq!(error, format!("list.csv, row 3: the id `10580_1610` does not fit the pattern `{PARSE}`"));
}

#[test]
fn rows_that_cannot_be_meant_are_named() {
    let error = |params: Value, rows: &str| plan(&params, rows).unwrap_err();
    let files = |url: &str| json!({ "as": "files", "url": url });
    let at = "http://h/{x}.png";
    assert!(
        error(files(at), "Id,y\na,b\n").contains("row 1: there is neither a column nor a field of `parse` for `{x}`")
    );
    assert!(error(files(at), "Id,x\na,b\nc,\n").contains("row 3: `x` is empty"));
    assert!(error(files(at), "Id,x\na,b\na,c\n").contains("row 3: a second file would be called `a.png`"));
    assert!(error(files("http://h/{x}"), "Id,x\na,b\n").contains("row 2: the address `http://h/b` has no extension"));
    assert!(error(files("{+x}"), "Id,x\na,b\n").contains("row 2: `b` is not a URL"));
    assert!(error(files(at), "Id,x\n../a,b\n").contains("row 2: `../a.png` cannot be the name of a file"));
    assert!(error(files(at), "Id,x\n").contains("no rows"));
    let parse = json!({ "as": "files", "url": at, "parse": "{x}_{z}" });
    assert!(error(parse, "Id,x\na,b\n").contains("row 1: the field `x` of `parse` is a column"));
    let sums = json!({ "as": "files", "url": at, "sha256_column": "sum", "size_column": "bytes" });
    assert!(error(sums.clone(), "Id,x,sum,bytes\na,b,12,\n").contains("row 2: `12` is no SHA-256"));
    assert!(error(sums.clone(), "Id,x,sum,bytes\na,b,,many\n").contains("row 2: `many` is not a number of bytes"));
    assert!(error(sums, "Id,x,sum\na,b,\n").contains("row 1: there is no column `bytes`"));
    let images = json!({ "as": "images", "url_column": "u" });
    assert!(error(images.clone(), "Id,u\na,http://h/\n").contains("nothing tells the images' channels"));
    let rows = "Id,channel,u\na,red,http://h/1\na,green,http://h/2\nb,red,http://h/3\n";
    assert!(error(images.clone(), rows).contains("row 4: the id `b` has no row for channel `green`"));
    assert!(
        error(images, "Id,channel,u\na,red,http://h/1\na,red,http://h/2\n")
            .contains("row 3: the id `a` has channel `red` twice")
    );
}

#[test]
fn values_of_a_list_are_encoded_and_checked_by_channel() {
    let sum = "AB".repeat(32);
    let params = json!({
        "as": "files", "url": "http://h/{a b}/{+path}?c={channel}", "channels": ["x-y", "é"],
        "name": "{Id}{channel}-{file}", "sha256_column": "sum {channel}", "size_column": "bytes",
    });
    let rows = format!("Id,a b,path,sum x-y,sum é,bytes\n1,p q/r,s/t.png,{sum},,7\n");
    let wanted = plan(&params, &rows).unwrap();
    assert_eq!(wanted[0].url.as_str(), "http://h/p%20q%2Fr/s/t.png?c=x-y");
    assert_eq!(wanted[1].url.as_str(), "http://h/p%20q%2Fr/s/t.png?c=%C3%A9");
    assert_eq!((wanted[0].sha256.as_deref(), wanted[1].sha256.as_deref()), (Some(sum.to_lowercase().as_str()), None));
    assert_eq!((wanted[0].size, wanted[1].name.as_str()), (Some(7), "1é-t.png"));
}

#[test]
fn parameters_that_contradict_each_other_are_refused() {
    let kind = registry::find("download").unwrap();
    let problems = |value: Value| -> Vec<String> {
        let problems = kind.check_params(&value).err().unwrap_or_default();
        problems.into_iter().map(|problem| problem.path.join(".")).collect()
    };
    assert_eq!(problems(json!({ "as": "images" })), ["url"]);
    assert_eq!(problems(json!({ "as": "files", "url": "a{", "url_column": "b" })), ["url", "url"]);
    assert_eq!(
        problems(json!({ "as": "files", "url": "http://h/", "parse": "{a}{b}", "channels": [] })),
        ["parse", "channels"]
    );
    assert_eq!(problems(json!({ "as": "file", "url": "http://h/{Id}" })), ["url"]);
    assert_eq!(
        problems(json!({ "as": "file", "url": "ftp://h/", "sha256": "12", "channels": ["a"] })),
        ["url", "channels", "sha256"]
    );
    assert_eq!(
        problems(json!({ "as": "images", "url": "http://h/", "name": "x", "sha256": "12", "max_unpacked": 3 })),
        ["sha256", "name", "max_unpacked"]
    );
    assert_eq!(
        problems(json!({ "as": "file", "url": "http://h/", "jobs": 0, "stall_timeout": -1.0 })),
        ["jobs", "stall_timeout"]
    );
    let usual = kind.check_params(&json!({ "as": "file", "url": "http://h/" })).unwrap();
    assert!(usual.get("jobs").is_none(), "the default of how to transfer is no part of what is computed");
    let names: Vec<String> = kind.outputs(&usual).unwrap().into_iter().map(|port| port.name).collect();
    assert_eq!(names, ["file"]);
}

#[test]
fn images_come_as_a_set_and_are_never_fetched_twice() {
    let server = images();
    let mut fixture = Fixture::new();
    let params = json!({ "as": "images", "url": server.url("/{Id}/{channel}.jpg"), "channels": ["red", "green"] });
    let outputs = fixture.run(params.clone(), Some("Id\nbb\na\n")).unwrap();
    assert_eq!(outputs, ["images", "failures"]);
    let names: Vec<String> = fixture.files("images").into_keys().collect();
    assert_eq!(names, ["a_green.png", "a_red.png", "bb_green.png", "bb_red.png", "manifest.csv"]);
    let input = InputFile { path: fixture.out("images"), label: "images".to_owned() };
    let scratch = fixture.folder.path().to_owned();
    let context = StageContext::new(0, 1, scratch, &fixture.heard);
    let set = ImageSetInput::from_file(input).read_whole(&context).unwrap();
    assert_eq!(set.ids, ["a", "bb"]);
    assert_eq!(set.channels, ["red", "green"]);
    assert_eq!(std::fs::read_to_string(fixture.out("failures.csv")).unwrap(), "Id,channel,url,attempts,reason\n");
    assert_eq!(server.asked().len(), 4);

    fixture.run(params, Some("Id\nbb\na\nccc\n")).unwrap();
    assert_eq!(server.asked().len(), 6, "one new id costs one id");
    assert_eq!(fixture.files("images").len(), 7);
}

#[test]
fn every_failure_is_told_and_only_what_failed_is_tried_again() {
    let server = images();
    let mut fixture = Fixture::new();
    let params = |skip: &str| json!({ "as": "images", "url": server.url("/{Id}/{channel}"), "channels": ["red", "green"], "on_bad": skip });
    let rows = "Id\ngood\nbad1\npage\nbad2\n";
    let RunError::Stage(error) = fixture.run(params("error"), Some(rows)).unwrap_err() else { panic!() };
    let message = error.to_string();
    assert!(message.starts_with("6 of 8 files could not be fetched:\n"), "{message}");
    assert!(message.contains("/bad1/red: the server answered 404 Not Found"), "{message}");
    assert!(message.contains("/page/green: the server sent an HTML page titled `200 OK`: "), "{message}");
    assert!(message.contains("and 1 more"), "{message}");
    assert!(error.help().is_some());
    assert_eq!(fixture.logged().iter().filter(|line| line.contains("http://")).count(), 6);
    assert_eq!(server.asked().len(), 8);

    fixture.run(params("skip"), Some(rows)).unwrap();
    assert_eq!(server.asked().len(), 14);
    let names: Vec<String> = fixture.files("images").into_keys().collect();
    assert_eq!(names, ["good_green.png", "good_red.png", "manifest.csv"]);
    let failures = std::fs::read_to_string(fixture.out("failures.csv")).unwrap();
    let failed: Vec<String> =
        failures.lines().map(|line| line.split(',').take(2).collect::<Vec<_>>().join(",")).collect();
    assert_eq!(failed, ["Id,channel", "bad1,red", "bad1,green", "page,red", "page,green", "bad2,red", "bad2,green"]);
    assert!(failures.contains(&format!("{},1,", server.url("/bad1/red"))));

    let error = fixture.run(params("skip"), Some("Id\nbad1\n")).unwrap_err();
    assert!(error.to_string().starts_with("2 of 2 files"), "nothing at all is an error: {error}");
}

#[test]
fn what_a_mirror_has_is_not_fetched_but_checked_alike() {
    let server = images();
    let mut fixture = Fixture::new();
    let mirror = fixture.folder.path().join("mirror");
    std::fs::create_dir(&mirror).unwrap();
    std::fs::write(mirror.join("a_red.jpeg"), image(4, 200)).unwrap();
    fixture.mirror = Some(mirror.clone());
    let params = json!({ "as": "images", "url": server.url("/{Id}/{channel}"), "channels": ["red", "green"] });
    fixture.run(params.clone(), Some("Id\na\n")).unwrap();
    assert_eq!(server.asked().into_iter().map(|asked| asked.target).collect::<Vec<_>>(), ["/a/green"]);
    assert_eq!(fixture.files("images")["a_red.png"], image(4, 200));

    std::fs::write(mirror.join("a_red.jpeg"), image(4, 100)).unwrap();
    fixture.run(params.clone(), Some("Id\na\n")).unwrap();
    assert_eq!(server.asked().len(), 1);
    assert_eq!(fixture.files("images")["a_red.png"], image(4, 100), "another content is another file");

    std::fs::write(mirror.join("a_red.jpeg"), "no image").unwrap();
    let error = fixture.run(params.clone(), Some("Id\na\n")).unwrap_err().to_string();
    assert!(error.starts_with("1 of 2 files could not be fetched:\n") && error.contains("a_red.jpeg"), "{error}");

    std::fs::write(mirror.join("a_red.png"), image(4, 1)).unwrap();
    let error = fixture.run(params, Some("Id\na\n")).unwrap_err().to_string();
    assert_eq!(error, "mirror: has both `a_red.jpeg` and `a_red.png` for one image");
}

#[test]
fn a_file_of_a_mirror_is_found_by_its_name() {
    let server = images();
    let mut fixture = Fixture::new();
    let mirror = fixture.folder.path().join("mirror");
    std::fs::create_dir(&mirror).unwrap();
    std::fs::write(mirror.join("weights.pth"), "weights").unwrap();
    fixture.mirror = Some(mirror);
    let url = server.url("/models/weights.pth");
    fixture.run(json!({ "as": "file", "url": url, "sha256": sha256(b"weights")[..8] }), None).unwrap();
    assert_eq!(std::fs::read_to_string(fixture.out("weights.pth")).unwrap(), "weights");
    fixture.run(json!({ "as": "file", "url": url, "sha256": sha256(b"others") }), None).unwrap_err();
    assert_eq!(server.asked().len(), 0);
}

#[test]
fn an_interrupted_download_keeps_what_it_has() {
    const FILES: usize = 60;
    let mut fixture = Fixture::new();
    let (stop, asked) = (Arc::clone(&fixture.heard.stop), AtomicUsize::new(0));
    let server = Server::start(move |request, _| {
        if asked.fetch_add(1, Ordering::SeqCst) == 20 {
            stop.store(true, Ordering::SeqCst);
            return Act::Hang(Vec::new());
        }
        ok(&request.target)
    });
    let rows = (0..FILES).fold("Id\n".to_owned(), |rows, id| format!("{rows}id{id}\n"));
    let params = json!({ "as": "files", "url": server.url("/{Id}.png"), "jobs": 2 });
    let error = fixture.run(params.clone(), Some(&rows)).unwrap_err();
    assert_eq!(error.to_string(), "the stage was asked to stop");
    let before = server.asked().len();
    assert!(before <= 22, "{before}");

    fixture.heard.stop.store(false, Ordering::SeqCst);
    fixture.run(params, Some(&rows)).unwrap();
    assert_eq!(fixture.files("files").len(), FILES);
    let again = server.asked().len() - FILES;
    assert!(again <= 2, "only what was under way is fetched again");
}

#[test]
fn a_file_that_was_cut_by_an_interruption_is_gone_on_with() {
    let mut fixture = Fixture::new();
    let server = Server::start(|asked, before| {
        let whole = [b'x'; 1000];
        let tag = [("ETag", "\"v\""), ("Content-Range", "bytes 400-999/1000")];
        match before {
            0 => Act::Hang([&head("200 OK", &tag[..1], Some(1000))[..], &whole[..400]].concat()),
            _ => {
                assert_eq!(asked.start(), Some(400));
                Act::Send(answer("206 Partial Content", &tag, &whole[400..]))
            }
        }
    });
    let params = json!({ "as": "file", "url": server.url("/big.bin") });
    let (stop, folder) = (Arc::clone(&fixture.heard.stop), fixture.folder.path().join("cache"));
    let watcher = std::thread::spawn(move || {
        let arrived = |folder: &Path| {
            let parts =
                files_below(folder).into_iter().filter(|path| path.extension().is_some_and(|end| end == "part"));
            parts.filter_map(|path| std::fs::metadata(path).ok()).any(|part| part.len() == 400)
        };
        while !arrived(&folder) {
            std::thread::yield_now();
        }
        stop.store(true, Ordering::SeqCst);
    });
    fixture.run(params.clone(), None).unwrap_err();
    watcher.join().unwrap();
    fixture.heard.stop.store(false, Ordering::SeqCst);
    fixture.run(params, None).unwrap();
    assert_eq!(std::fs::read(fixture.out("big.bin")).unwrap(), [b'x'; 1000]);
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn files_keep_their_bytes_and_the_same_address_is_asked_once() {
    let server = Server::start(|asked, _| ok(&asked.target));
    let mut fixture = Fixture::new();
    let params = json!({ "as": "files", "url_column": "url", "name": "{Id}-{file}" });
    let (one, two) = (server.url("/x/one.txt"), server.url("/two?a=b"));
    let rows = format!("Id,url\n1,{one}\n2,{two}\n3,{one}\n");
    assert_eq!(fixture.run(params, Some(&rows)).unwrap(), ["files", "failures"]);
    let files = fixture.files("files");
    assert_eq!(files["1-one.txt"], b"/x/one.txt");
    assert_eq!(files["2-two"], b"/two?a=b");
    assert_eq!(files["3-one.txt"], b"/x/one.txt");
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn one_file_has_the_name_of_its_address_and_a_checksum_that_holds() {
    let server = Server::start(|_, _| ok("content"));
    let mut fixture = Fixture::new();
    let sum = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";
    let params =
        |sum: &str| json!({ "as": "file", "url": server.url("/models/net%20v1.pth"), "sha256": sum, "size": 7 });
    assert_eq!(fixture.run(params(sum), None).unwrap(), ["file"]);
    assert_eq!(std::fs::read(fixture.out("net v1.pth")).unwrap(), b"content");
    let error = fixture.run(params(&"0".repeat(64)), None).unwrap_err().to_string();
    assert!(error.contains(&format!("the SHA-256 is {sum}, but 000")), "{error}");
    let error = fixture.run(params(sum), Some("Id\na\n")).unwrap_err().to_string();
    assert_eq!(error, "there is a `list`, but `as: file` needs none");
}

#[test]
fn an_archive_is_unpacked_and_not_kept() {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer.start_file("a/b.txt", zip::write::SimpleFileOptions::default()).unwrap();
    writer.write_all(b"inside").unwrap();
    let archive = writer.finish().unwrap().into_inner();
    let server = Server::start(move |asked, before| match asked.target.as_str() {
        "/good" => ok(&archive),
        "/a.tar.xz" => ok(b"\xfd7zXZ\0\0\x04"),
        // Cut, although the length is right.
        _ if before == 0 => ok(&archive[..archive.len() - 4]),
        _ => ok(&archive),
    });
    let mut fixture = Fixture::new();
    let params = |path: &str| json!({ "as": "unpacked", "url": server.url(path) });
    assert_eq!(fixture.run(params("/good"), None).unwrap(), ["unpacked"]);
    assert_eq!(std::fs::read(fixture.out("unpacked/a/b.txt")).unwrap(), b"inside");
    let error = fixture.run(params("/damaged"), None).unwrap_err().to_string();
    assert!(error.contains("/damaged: it is damaged or cut off"), "{error}");
    let error = fixture.run(params("/a.tar.xz"), None).unwrap_err();
    assert!(error.to_string().contains("it is no zip, tar or tar.gz archive, but xz data"), "{error}");
    let RunError::Stage(reason) = error else { panic!("{error:?}") };
    assert!(reason.help().unwrap_or_default().contains("`as: file` keeps a file as it is"), "{reason:?}");
    assert!(!fixture.out("unpacked").exists());
    fixture.run(params("/damaged"), None).unwrap();
    assert_eq!(fixture.files("unpacked/a")["b.txt"], b"inside");
}

#[test]
fn proxies_of_the_environment_are_used() {
    let proxy = Server::start(|asked, _| Act::Send(answer("200 OK", &[], &asked.target)));
    let mut fixture = Fixture::new();
    fixture.environment.insert("http_proxy".to_owned(), format!("http://{}", proxy.address));
    fixture.run(json!({ "as": "file", "url": "http://example.org/x.txt" }), None).unwrap();
    assert_eq!(std::fs::read(fixture.out("x.txt")).unwrap(), b"http://example.org/x.txt");
    fixture.environment.insert("http_proxy".to_owned(), "gopher://x".to_owned());
    let error = fixture.run(json!({ "as": "file", "url": "http://example.org/y.txt" }), None).unwrap_err().to_string();
    assert!(error.contains("`gopher` proxy is not supported"), "{error}");
}
