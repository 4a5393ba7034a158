//! A headless Chromium, driven over a pipe with its debugging protocol: no library and no port.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};

use crate::support::skips;

/// Time that an answer may take on a machine with much to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// Names of the browser's program.
const NAMES: [&str; 3] = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/// A browser with one page.
pub(crate) struct Browser {
    process: Child,
    requests: File,
    answers: Receiver<Value>,
    session: String,
    last: u64,
    /// Events of the page so far.
    events: Vec<Value>,
    _folder: tempfile::TempDir,
}

/// The browser's program, if this machine has one.
pub(crate) fn program() -> Option<PathBuf> {
    NAMES.iter().map(PathBuf::from).find(|path| path.exists())
}

impl Browser {
    /// Starts the browser; `None`, said aloud, where there is none.
    pub(crate) fn start() -> Option<Browser> {
        let Some(program) = program() else {
            skips("there is no chromium on this machine");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let (to, from) = (folder.path().join("to"), folder.path().join("from"));
        for pipe in [&to, &from] {
            mkfifo(pipe, Mode::from_bits_truncate(0o600)).unwrap();
        }
        let process = Command::new("sh")
            .args(["-c", r#"in=$1 out=$2; shift 2; exec "$@" 3< "$in" 4> "$out""#, "sh"])
            .args([&to, &from])
            .arg(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--remote-debugging-pipe", "--hide-scrollbars"])
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .env("HOME", folder.path())
            .spawn()
            .unwrap();
        // Each waits for the other side.
        let requests = File::options().write(true).open(&to).unwrap();
        let answers = BufReader::new(File::open(&from).unwrap());
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for message in answers.split(0).map_while(Result::ok) {
                if let Ok(message) = serde_json::from_slice(&message)
                    && sender.send(message).is_err()
                {
                    return;
                }
            }
        });
        let mut browser = Browser {
            process,
            requests,
            answers: receiver,
            session: String::new(),
            last: 0,
            events: Vec::new(),
            _folder: folder,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// Calls a method of the protocol and returns its result.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        self.requests.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let answer = self.answers.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{method}: {error}"));
            if answer["id"] == self.last {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.events.push(answer);
        }
    }

    /// Sets width and height of the page, in CSS pixels, and whether it is dark.
    pub(crate) fn set_up(&mut self, width: u32, height: u32, dark: bool) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// Opens an address and waits until `ready`, an expression, is true.
    pub(crate) fn open(&mut self, address: &str, ready: &str) {
        self.events.clear();
        self.call("Page.navigate", json!({ "url": address }));
        self.wait(ready);
    }

    /// Waits until an expression is true.
    pub(crate) fn wait(&mut self, expression: &str) {
        let code = format!(
            "new Promise((done, fail) => {{ const begun = Date.now(); const look = () => {{ let is = false; try {{ is = {expression}; }} catch (error) {{ is = false; }} if (is) done(true); else if (Date.now() - begun > 90000) fail(new Error('never: ' + document.documentElement.outerHTML.slice(0, 400))); else setTimeout(look, 20); }}; look(); }})"
        );
        self.eval(&code);
    }

    /// Value of an expression; a promise is waited for.
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Addresses that the page has asked for since it was opened.
    pub(crate) fn requests(&mut self) -> Vec<String> {
        self.eval("0");
        let sent = self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        sent.map(|event| event["params"]["request"]["url"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Errors that the page has reported since it was opened.
    pub(crate) fn errors(&mut self) -> Vec<String> {
        self.eval("0");
        let is_error = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => event["params"]["type"] == "error",
            Some("Log.entryAdded") => event["params"]["entry"]["level"] == "error",
            _ => false,
        };
        self.events.iter().filter(is_error).map(ToString::to_string).collect()
    }

    /// Picture of the whole page as a PNG file in base64; written to the folder `ATHANOR_SCREENSHOTS`, if that is set.
    pub(crate) fn screenshot(&mut self, name: &str) -> String {
        let params = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.call("Page.captureScreenshot", params)["data"].as_str().unwrap().to_owned();
        if let Some(folder) = std::env::var_os("ATHANOR_SCREENSHOTS") {
            let file = File::create(Path::new(&folder).join(format!("{name}.png"))).unwrap();
            let mut decoder =
                Command::new("base64").arg("--decode").stdin(Stdio::piped()).stdout(file).spawn().unwrap();
            decoder.stdin.take().unwrap().write_all(picture.as_bytes()).unwrap();
            assert!(decoder.wait().unwrap().success());
        }
        picture
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
