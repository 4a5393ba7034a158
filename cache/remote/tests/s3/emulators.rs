//! Emulators of object stores: moto's of S3 and Azurite of Azure, each where it is installed. `gcp-storage-emulator` is none for this: it sends no
//! `ETag`, which Google's own service does.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{collections, remote, remote_at, round_trip};

/// Time in which an emulator has to listen.
const START: Duration = Duration::from_secs(120);

/// A running emulator.
struct Emulator {
    process: Child,
    port: u16,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Emulator {
    /// Starts `program`, or what `variable` names; `PORT` in an argument stands for its port.
    /// `None`, and a message, where it is not installed.
    fn start(variable: &str, program: &str, arguments: &[&str]) -> Option<Emulator> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let program = std::env::var(variable).unwrap_or_else(|_| program.to_owned());
        let mut command = Command::new(&program);
        command.args(arguments.iter().map(|argument| argument.replace("PORT", &port.to_string())));
        let Ok(process) = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
            // Seen even if the test passes.
            let message = format!("skipped: `{program}` is not installed; {variable} may name it\n");
            let _ = std::io::stderr().write_all(message.as_bytes());
            return None;
        };
        let mut emulator = Emulator { process, port };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(emulator.process.try_wait().unwrap().is_none(), "{program} ended");
            assert!(begun.elapsed() < START, "{program} does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(emulator)
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Makes a bucket by an empty `PUT` request.
    fn make(&self, target: &str) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let request =
            format!("PUT {target} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
    }
}

#[test]
fn results_go_through_motos_server() {
    let Some(moto) = Emulator::start("ATHANOR_MOTO", "moto_server", &["-H", "127.0.0.1", "-p", "PORT"]) else { return };
    moto.make("/bucket");
    round_trip(&|| remote(&moto.url("")), 40 << 20);
    collections(&|| remote(&moto.url("")));
}

/// Account and key that every Azurite has, and a signature for requests that make a container, made with this key.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const SIGNATURE: &str = "sv=2021-12-02&ss=b&srt=sco&sp=rwdlac&se=2099-01-01T00%3A00%3A00Z&spr=https,http&\
                         sig=jlSI%2B5DohmjtlB2oCr2Vhd9u7l%2F%2FvB9E8D7vhfmKGX4%3D";

#[test]
fn results_go_through_azurite() {
    let arguments =
        ["--blobHost", "127.0.0.1", "--blobPort", "PORT", "--inMemoryPersistence", "--silent", "--skipApiVersionCheck"];
    let Some(azurite) = Emulator::start("ATHANOR_AZURITE", "azurite-blob", &arguments) else { return };
    azurite.make(&format!("/{ACCOUNT}/bucket?restype=container&{SIGNATURE}"));
    let endpoint = azurite.url(&format!("/{ACCOUNT}"));
    let variables = [
        ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT),
        ("AZURE_STORAGE_ACCOUNT_KEY", KEY),
        ("AZURE_STORAGE_ENDPOINT", &*endpoint),
        ("AZURE_ALLOW_HTTP", "true"),
    ];
    let open = || remote_at("az://bucket/some/prefix", &variables);
    round_trip(&open, 40 << 20);
    collections(&open);
}
