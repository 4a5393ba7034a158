//! The live page, from the first to the last stage of a run.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Stdio};

use crate::chromium::Browser;
use crate::support::Project;

/// A stage that waits for a file, between two others.
const PIPELINE: &str = r#"
athanor: 1
name: live
stages:
  first:
    kind: command
    run: echo 1 > ${{ outputs.o }}
    outputs: { o: o }
  slow:
    kind: command
    inputs: { i: first }
    run: |
      for step in 1 2 3; do
        echo '{"event":"metric","name":"loss","value":'$((10 - step))',"step":'$step'}' >> $ATHANOR_EVENTS
      done
      echo '{"event":"progress","done":3,"total":4,"unit":"steps"}' >> $ATHANOR_EVENTS
      echo 'hello <b>log</b>'
      echo > $ATHANOR_PROJECT/began
      while [ ! -e $ATHANOR_PROJECT/go ]; do sleep 0.05; done
      cat ${{ inputs.i }} > ${{ outputs.o }}
    outputs: { o: o }
  last:
    kind: command
    inputs: { i: slow }
    run: |
      echo '{"event":"metric","name":"score","value":0.5}' >> $ATHANOR_EVENTS
      cat ${{ inputs.i }} > ${{ outputs.o }}
    outputs: { o: o }
"#;

/// A server of the live page, which ends with the test.
struct Watch {
    process: Child,
    address: String,
    _out: BufReader<ChildStdout>,
}

impl Watch {
    fn start(project: &Project, options: &[&str]) -> Watch {
        let arguments = [&["watch", "p.yaml"], options].concat();
        let mut process = project.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let address = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap_or_default().to_owned();
        Watch { process, address, _out: out }
    }

    /// Answer to a request with these lines, `TOKEN` in them replaced.
    fn ask(&self, request: &str) -> String {
        let (host, token) = self.address.strip_prefix("http://").unwrap().split_once("/?token=").unwrap();
        let mut connection = TcpStream::connect(host).unwrap();
        let request = request.replace("TOKEN", token).replace("HOST", host);
        write!(connection, "{}\r\n\r\n", request.replace('\n', "\r\n")).unwrap();
        let mut answer = String::new();
        let _ = connection.read_to_string(&mut answer);
        answer
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_page_follows_a_run_from_its_first_to_its_last_stage() {
    let Some(mut browser) = Browser::start() else { return };
    let project = Project::new(PIPELINE);
    let watch = Watch::start(&project, &[]);
    browser.set_up(1280, 1000, false);
    browser.open(&watch.address, "document.documentElement.dataset.outcome === 'none'");
    let mut run = project.start(&[]);
    crate::support::wait_for(&project.path("began"), &mut run);
    browser.wait("document.getElementById('live').innerText.includes('3 of 4 steps')");
    browser.wait("document.getElementById('live').innerText.includes('loss 7')");
    browser.wait("document.querySelector('#learning-curves .u-wrap canvas') !== null");
    browser.wait("document.getElementById('live').textContent.includes('hello <b>log</b>')");
    browser.screenshot("live-running");
    project.write("go", "");
    assert!(run.wait().unwrap().success());
    browser.wait("document.documentElement.dataset.outcome === 'up_to_date'");
    browser.wait("document.getElementById('main').innerText.includes('score of last')");
    assert_eq!(browser.errors(), [] as [String; 0]);
    let host = watch.address.split("/?").next().unwrap().to_owned();
    let elsewhere: Vec<String> = browser.requests().into_iter().filter(|address| !address.starts_with(&host)).collect();
    assert_eq!(elsewhere, [] as [String; 0]);
    browser.screenshot("live-done");
}

#[test]
fn only_the_own_browser_with_the_token_is_served() {
    let project = Project::new(PIPELINE);
    let watch = Watch::start(&project, &[]);
    assert!(watch.address.starts_with("http://127.0.0.1:"), "{}", watch.address);
    assert!(watch.ask("GET /?token=TOKEN HTTP/1.1\nHost: HOST").starts_with("HTTP/1.1 200 OK"));
    assert!(watch.ask("GET /data?token=TOKEN HTTP/1.1\nHost: HOST").contains("\"pipeline\":\"live\""));
    for request in [
        "GET / HTTP/1.1\nHost: HOST",
        "GET /data?token=0 HTTP/1.1\nHost: HOST",
        "GET /?token=TOKEN HTTP/1.1\nHost: evil.example",
        "GET /data?token=TOKEN HTTP/1.1\nHost: HOST\nOrigin: http://evil.example",
    ] {
        assert!(watch.ask(request).starts_with("HTTP/1.1 403"), "{request}");
    }
    assert!(watch.ask("POST /?token=TOKEN HTTP/1.1\nHost: HOST").starts_with("HTTP/1.1 405"));
    assert!(watch.ask("GET /other?token=TOKEN HTTP/1.1\nHost: HOST").starts_with("HTTP/1.1 404"));
}

/// A training that keeps its state and waits in its third epoch for a file, between two other stages.
const TRAINING: &str = r#"
athanor: 1
name: training
stages:
  data:
    kind: command
    run: seq 6 > ${{ outputs.o }}
    outputs: { o: o }
  model:
    kind: command
    state: true
    inputs: { i: data }
    run: |
      done=0
      [ ! -e $ATHANOR_STATE/epoch ] || done=$(cat $ATHANOR_STATE/epoch)
      for epoch in $(seq $((done + 1)) 6); do
        echo '{"event":"metric","name":"loss","value":'$((10 - epoch))',"step":'$epoch'}' >> $ATHANOR_EVENTS
        echo '{"event":"progress","done":'$epoch',"total":6,"unit":"epochs"}' >> $ATHANOR_EVENTS
        echo $epoch > $ATHANOR_STATE/epoch
        if [ $epoch -eq 3 ]; then
          echo > SIGNS/third
          while [ ! -e SIGNS/go ]; do sleep 0.05; done
        fi
      done
      cat ${{ inputs.i }} > ${{ outputs.o }}
    outputs: { o: o }
  report:
    kind: command
    inputs: { i: model }
    run: |
      echo '{"event":"metric","name":"score","value":0.5}' >> $ATHANOR_EVENTS
      cat ${{ inputs.i }} > ${{ outputs.o }}
    outputs: { o: o }
"#;

/// States of the instances, as the page is told them.
const STATES: &str =
    "fetch('data' + location.search).then((answer) => answer.json()).then((data) => data.instances.state.join())";

#[test]
fn the_page_follows_a_training_over_a_kill() {
    let Some(mut browser) = Browser::start() else { return };
    // Outside of the project: what a script names of it is an input.
    let signs = tempfile::tempdir().unwrap();
    let project = Project::new(&TRAINING.replace("SIGNS", &signs.path().display().to_string()));
    let watch = Watch::start(&project, &[]);
    browser.set_up(1280, 1000, false);
    browser.open(&watch.address, "document.documentElement.dataset.outcome === 'none'");
    assert_eq!(browser.eval(STATES), "waiting,waiting,waiting");
    let mut run = project.start(&[]);
    crate::support::wait_for(&signs.path().join("third"), &mut run);
    browser.wait("document.getElementById('live').innerText.includes('of 6 epochs')");
    browser.wait("document.getElementById('live').innerText.includes('loss 7')");
    browser.wait("document.getElementById('live').innerText.includes('1 instance of 3 up to date')");
    assert_eq!(browser.eval(STATES), "done,running,waiting");
    run.kill().unwrap();
    run.wait().unwrap();
    browser.wait("document.documentElement.dataset.outcome === 'killed'");
    browser.wait("document.getElementById('head').innerText.includes('ended early')");
    assert_eq!(browser.eval(STATES), "done,interrupted,waiting");
    std::fs::write(signs.path().join("go"), "").unwrap();
    assert!(project.run(&[]).code == 0);
    browser.wait("document.documentElement.dataset.outcome === 'up_to_date'");
    browser.wait("document.getElementById('live').innerText.includes('3 instances of 3 up to date')");
    browser.wait("document.getElementById('main').innerText.includes('score of report')");
    assert_eq!(browser.eval(STATES), "cached,done,done");
    let steps =
        "fetch('data' + location.search).then((answer) => answer.json()).then((data) => data.curves[0].x.join())";
    assert_eq!(browser.eval(steps), "1,2,3,4,5,6", "those of both attempts");
    browser.wait("document.querySelector('#learning-curves .u-wrap canvas') !== null");
    assert_eq!(browser.errors(), [] as [String; 0]);
    browser.screenshot("live-resumed");
}

/// Two stages that wait for files, one of which then fails, and one that needs neither.
const CONTROLLED: &str = r#"
athanor: 1
name: live
stages:
  fails:
    kind: command
    run: echo > SIGNS/fails; while [ ! -e SIGNS/go ]; do sleep 0.05; done; exit 3
    outputs: { o: o }
  later:
    kind: command
    run: echo > SIGNS/later; while [ ! -e SIGNS/never ]; do sleep 0.05; done
    outputs: { o: o }
"#;

#[test]
fn buttons_let_a_run_go_on_after_failures_and_stop_it() {
    let Some(mut browser) = Browser::start() else { return };
    let signs = tempfile::tempdir().unwrap();
    let sign = |name: &str| signs.path().join(name);
    let project = Project::new(&CONTROLLED.replace("SIGNS", &signs.path().display().to_string()));
    let watch = Watch::start(&project, &["--control"]);
    browser.set_up(1280, 1000, false);
    browser.open(&watch.address, "document.documentElement.dataset.outcome === 'none'");
    assert_eq!(browser.eval("document.getElementById('controls').hidden"), true, "nothing goes on");
    let mut run = project.start(&["-j", "1"]);
    crate::support::wait_for(&sign("fails"), &mut run);
    browser.wait("!document.getElementById('controls').hidden");
    browser.eval("document.getElementById('keep-going').click()");
    browser.wait("document.getElementById('live').innerText.includes('a failure stops only what depends on it')");
    browser.screenshot("live-control");
    std::fs::write(sign("go"), "").unwrap();
    crate::support::wait_for(&sign("later"), &mut run);
    browser.wait("document.getElementById('stop').textContent === 'Stop the run'");
    browser.eval("document.getElementById('stop').click()");
    browser.wait("document.documentElement.dataset.outcome === 'interrupted'");
    assert_eq!(run.wait().unwrap().code(), Some(130));
    assert_eq!(browser.errors(), [] as [String; 0]);
}

#[test]
fn nothing_is_done_to_a_run_without_control_or_by_another_page() {
    let project = Project::new(PIPELINE);
    let asked = "POST /stop?token=TOKEN HTTP/1.1\nHost: HOST\nOrigin: http://HOST\nContent-Length: 0";
    let watch = Watch::start(&project, &[]);
    assert!(watch.ask(asked).starts_with("HTTP/1.1 404"), "there are no buttons");
    let watch = Watch::start(&project, &["--control"]);
    let answer = watch.ask(asked);
    assert!(answer.starts_with("HTTP/1.1 409") && answer.ends_with("No run is going on."), "{answer}");
    for origin in ["", "\nOrigin: http://evil.example", "\nOrigin: null", "\nOrigin: http://localhost:1"] {
        let request = format!("POST /stop?token=TOKEN HTTP/1.1\nHost: HOST{origin}\nContent-Length: 0");
        assert!(watch.ask(&request).starts_with("HTTP/1.1 403"), "{request}");
    }
    assert!(watch.ask("GET /stop?token=TOKEN HTTP/1.1\nHost: HOST").starts_with("HTTP/1.1 405"));
}
