//! A folder of another machine as a storage, through the user's own ssh: keys, jump hosts and host keys are OpenSSH's matter.

use std::io::{self, BufReader, Read, Write};
use std::ops::Range;
use std::os::fd::AsFd;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::protocol::{Answer, Question, VERSION, read, read_content, write};
use super::{Body, Listed, Occupied, PART, Stat, Storage, Stored};
use crate::error::{FailureKind, StorageError};
use crate::options::{Programs, RemoteOptions};

/// Connections at once.
const CONNECTIONS: usize = 4;
/// Seconds that ssh has to connect.
const CONNECT: u64 = 10;
/// Time for which a connection may stand still.
const STANDSTILL: Duration = Duration::from_secs(20);

/// A folder behind ssh.
pub(crate) struct Ssh {
    host: String,
    port: Option<u16>,
    folder: String,
    /// The program on the other machine.
    program: String,
    programs: Programs,
    connections: Mutex<Connections>,
    given_back: Condvar,
}

#[derive(Default)]
struct Connections {
    idle: Vec<Connection>,
    /// Number of connections, idle or not.
    count: usize,
}

/// A running ssh.
struct Connection {
    child: Child,
    ended: fn(u32),
    to: ChildStdin,
    from: BufReader<Watched>,
    /// Whether the program there can list and remove.
    collects: bool,
}

impl Connection {
    /// Ends ssh, and returns its words about errors.
    fn last_words(&mut self) -> String {
        // One that has ended already has said them.
        let _ = self.child.kill();
        self.child.stderr.take().map(words).unwrap_or_default()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // One that has ended already needs neither.
        let _ = self.child.kill();
        let _ = self.child.wait();
        (self.ended)(self.child.id());
    }
}

/// A stream that fails when nothing comes for a while.
struct Watched(ChildStdout);

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        wait(&self.0, PollFlags::IN, STANDSTILL)?;
        self.0.read(buffer)
    }
}

/// Stream to a child that fails when nothing is taken for a while.
struct WatchedWriter<'s>(&'s mut ChildStdin);

impl Write for WatchedWriter<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        // A pipe that is ready takes this much at once.
        const AT_ONCE: usize = 4096;
        wait(&*self.0, PollFlags::OUT, STANDSTILL)?;
        self.0.write(&buffer[..buffer.len().min(AT_ONCE)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn wait(stream: &impl AsFd, what: PollFlags, time: Duration) -> io::Result<()> {
    let until = Instant::now() + time;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: i64::from(left.subsec_nanos()) };
        match poll(&mut [PollFd::new(stream, what)], Some(&left)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Words of a program that has ended. Processes that it has left running, such as the master of shared connections, may keep the stream open.
fn words(mut errors: ChildStderr) -> String {
    const MOST: usize = 2000;
    const PAUSE: Duration = Duration::from_millis(500);
    let (mut said, mut buffer) = (Vec::new(), [0; MOST]);
    while said.len() < MOST && wait(&errors, PollFlags::IN, PAUSE).is_ok() {
        // If they cannot be read, the rest says enough.
        let Ok(read @ 1..) = errors.read(&mut buffer) else { break };
        said.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8_lossy(&said).into_owned()
}

/// The last line of what a program said.
fn last_line(said: &str) -> Option<&str> {
    said.lines().map(str::trim).rfind(|line| !line.is_empty())
}

/// Reason why a connection is of no more use.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => format!("nothing came for {} seconds", STANDSTILL.as_secs()),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => "ssh ended".to_owned(),
        _ => error.to_string(),
    }
}

impl Ssh {
    pub(crate) fn new(host: String, port: Option<u16>, folder: String, options: &RemoteOptions) -> Ssh {
        let (program, programs) = (options.program_there.clone(), options.programs);
        Ssh { host, port, folder, program, programs, connections: Mutex::default(), given_back: Condvar::new() }
    }

    fn connect(&self) -> Stored<Connection> {
        let mut command = Command::new("ssh");
        // No questions: nobody may be there to answer.
        command.args(["-o", "BatchMode=yes", "-o", &format!("ConnectTimeout={CONNECT}")]);
        command.args(["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3", "-T"]);
        if let Some(port) = self.port {
            command.args(["-p", &port.to_string()]);
        }
        command.args(["--", &self.host]);
        command.arg(format!("{} cache serve --stdio {}", self.program, quoted(&self.folder)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let spawned = (self.programs.spawn)(&mut command);
        let mut child = spawned.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                StorageError::new(FailureKind::Other, "cannot be reached without `ssh`: install it.")
            }
            _ => {
                let what = format!("cannot be reached: `ssh` cannot be started: {error}.");
                StorageError::new(FailureKind::Other, what)
            }
        })?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            (self.programs.ended)(child.id());
            return Err(StorageError::new(FailureKind::Other, "cannot be reached: ssh has no standard streams."));
        };
        let (from, ended) = (BufReader::with_capacity(1 << 16, Watched(from)), self.programs.ended);
        let mut connection = Connection { child, ended, to, from, collects: false };
        match read::<Answer>(&mut connection.from) {
            Ok(Some(Answer::Hello { athanor_remote: VERSION, collects })) => {
                connection.collects = collects;
                Ok(connection)
            }
            Ok(Some(Answer::Hello { athanor_remote, .. })) => {
                let what = format!(
                    "speaks version {athanor_remote}, and this program version {VERSION}: upgrade the older one."
                );
                Err(StorageError::new(FailureKind::Other, what))
            }
            Ok(_) => Err(self.no_greeting(connection, "ssh ended without a word")),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let what = format!(
                    "answers with something else than `{} cache serve`: {error}. Start-up files of its shell must print nothing where there is \
                     no terminal.",
                    self.program
                );
                Err(StorageError::new(FailureKind::Unreachable, what))
            }
            Err(error) => Err(self.no_greeting(connection, &reason(&error))),
        }
    }

    /// The failure of a connection that never began, in ssh's own words where it has some.
    fn no_greeting(&self, mut connection: Connection, why: &str) -> StorageError {
        let said = connection.last_words();
        let why = last_line(&said).unwrap_or(why);
        let is_denied = said.contains("Permission denied") || said.contains("Host key verification failed");
        let kind = if is_denied { FailureKind::Denied } else { FailureKind::Unreachable };
        let port = self.port.map(|port| format!("-p {port} ")).unwrap_or_default();
        let help = format!("`ssh {port}{} {} --version` has to work.", self.host, self.program);
        StorageError::new(kind, format!("cannot be reached: {}. {help}", why.trim_end_matches('.')))
    }

    /// Uses a connection. One that failed is not used again.
    fn with<T>(&self, act: impl FnOnce(&mut Connection) -> io::Result<T>) -> Stored<T> {
        let mut connection = match self.take() {
            Some(idle) => idle,
            None => self.connect().inspect_err(|_| self.give_back(None))?,
        };
        match act(&mut connection) {
            Ok(result) => {
                self.give_back(Some(connection));
                Ok(result)
            }
            Err(error) => {
                let said = connection.last_words();
                drop(connection);
                self.give_back(None);
                let why = reason(&error);
                let said = last_line(&said).map(|line| format!(" (it said `{line}`)")).unwrap_or_default();
                Err(StorageError::new(FailureKind::Unreachable, format!("broke off: {why}{said}. Try again later.")))
            }
        }
    }

    /// An idle connection, or `None` for a place to make one.
    fn take(&self) -> Option<Connection> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(idle) = connections.idle.pop() {
                return Some(idle);
            }
            if connections.count < CONNECTIONS {
                connections.count += 1;
                return None;
            }
            connections = self.given_back.wait(connections).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give_back(&self, connection: Option<Connection>) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        match connection {
            Some(connection) => connections.idle.push(connection),
            None => connections.count -= 1,
        }
        drop(connections);
        self.given_back.notify_one();
    }

    /// Asks a question, with what follows it; returns the answer with what follows that.
    fn ask(&self, question: &Question, content: &[u8]) -> Stored<(Answer, Vec<u8>)> {
        self.with(|connection| exchange(connection, question, content))
    }

    /// Asks a question that the first programs did not know.
    fn ask_collector(&self, question: &Question) -> Stored<(Answer, Vec<u8>)> {
        self.with(|connection| match connection.collects {
            true => exchange(connection, question, &[]).map(Ok),
            false => {
                let what = format!("cannot do that: `{}` there is older than this one. Upgrade it.", self.program);
                Ok(Err(StorageError::new(FailureKind::Other, what)))
            }
        })?
    }

    fn content(&self, question: &Question) -> Stored<Option<Vec<u8>>> {
        match self.ask(question, &[])? {
            (Answer::Nothing, _) => Ok(None),
            (Answer::Content { .. }, content) => Ok(Some(content)),
            (other, _) => Err(other.into_error()),
        }
    }
}

fn exchange(connection: &mut Connection, question: &Question, content: &[u8]) -> io::Result<(Answer, Vec<u8>)> {
    write(&mut WatchedWriter(&mut connection.to), question, content)?;
    let answer: Answer = read(&mut connection.from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let content = match answer {
        Answer::Content { bytes } if bytes > 4 * PART.max(64 << 20) => {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "more was sent than was asked for"));
        }
        Answer::Content { bytes } => read_content(&mut connection.from, bytes)?,
        _ => Vec::new(),
    };
    Ok((answer, content))
}

impl Storage for Ssh {
    fn get(&self, key: &str, limit: u64) -> Stored<Option<Vec<u8>>> {
        self.content(&Question::Get { key: key.to_owned(), limit })
    }

    fn get_range(&self, key: &str, range: Range<u64>) -> Stored<Option<Vec<u8>>> {
        self.content(&Question::Range { key: key.to_owned(), start: range.start, end: range.end })
    }

    fn stat(&self, key: &str) -> Stored<Option<Stat>> {
        match self.ask(&Question::Size { key: key.to_owned() }, &[])?.0 {
            Answer::Nothing => Ok(None),
            Answer::Size { bytes, put } => Ok(Some(Stat { bytes, put })),
            other => Err(other.into_error()),
        }
    }

    fn list(&self, area: &str) -> Stored<Vec<Listed>> {
        match self.ask_collector(&Question::List { area: area.to_owned() })? {
            (Answer::Content { .. }, content) => serde_json::from_slice(&content).map_err(|_| {
                StorageError::new(
                    FailureKind::Damaged,
                    "answered with a list that cannot be read. Upgrade the older of the two programs.",
                )
            }),
            (other, _) => Err(other.into_error()),
        }
    }

    fn remove(&self, key: &str, put: i64) -> Stored<bool> {
        match self.ask_collector(&Question::Remove { key: key.to_owned(), put })?.0 {
            Answer::Done { stored } => Ok(stored),
            other => Err(other.into_error()),
        }
    }

    fn put(&self, key: &str, content: Vec<u8>, occupied: Occupied) -> Stored<bool> {
        let question = Question::Put { key: key.to_owned(), bytes: content.len() as u64, occupied };
        match self.ask(&question, &content)?.0 {
            Answer::Done { stored } => Ok(stored),
            other => Err(other.into_error()),
        }
    }

    fn put_file(&self, key: &str, body: &mut Body<'_>) -> Stored<()> {
        let begin = Question::Begin { key: key.to_owned(), bytes: body.bytes, digest: body.digest.to_string() };
        let mut cannot_go_on = None;
        let sent = self.with(|connection| {
            let (answer, _) = exchange(connection, &begin, &[])?;
            if !matches!(answer, Answer::Done { .. }) {
                return Ok(Err(answer.into_error()));
            }
            loop {
                let part = match body.next_part() {
                    Ok(Some(part)) => part,
                    Ok(None) => return Ok(Ok(())),
                    // The server waits for parts that will not come: the connection is of no more use.
                    Err(error) => {
                        cannot_go_on = Some(error);
                        return Err(io::ErrorKind::Interrupted.into());
                    }
                };
                let (answer, _) = exchange(connection, &Question::Part { bytes: part.len() as u64 }, &part)?;
                if !matches!(answer, Answer::Done { .. }) {
                    return Ok(Err(answer.into_error()));
                }
                body.sent(part.len() as u64);
            }
        });
        cannot_go_on.map_or_else(|| sent?, Err)
    }
}

/// A word as the shell of the other machine reads it. A `~` at its start stays what it is there.
fn quoted(word: &str) -> String {
    let (home, rest) = word.strip_prefix("~/").map_or(("", word), |rest| ("~/", rest));
    format!("{home}'{}'", rest.replace('\'', r"'\''"))
}
