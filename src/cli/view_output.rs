//! Standard output of a run's view: a view never stops a run, and what it could not write is said at the end.

use std::io::{self, ErrorKind, Stdout, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// First failure to write, which the view and its run share.
#[derive(Clone, Default)]
pub(super) struct LostOutput(Arc<Mutex<Option<io::Error>>>);

impl LostOutput {
    /// The failure, if there was one.
    pub(super) fn take(&self) -> Option<io::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note<T>(&self, written: io::Result<T>) -> io::Result<T> {
        written.map_err(|error| {
            let kind = error.kind();
            if !matches!(kind, ErrorKind::BrokenPipe | ErrorKind::Interrupted) {
                self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
            kind.into()
        })
    }
}

/// Standard output whose failures are noted. A reader that has gone away (`| head`) is none.
pub(super) struct ViewOutput {
    out: Stdout,
    lost: LostOutput,
}

impl ViewOutput {
    /// Standard output that notes failures in `lost`.
    pub(super) fn new(lost: LostOutput) -> ViewOutput {
        ViewOutput { out: io::stdout(), lost }
    }
}

impl Write for ViewOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lost.note(self.out.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lost.note(self.out.flush())
    }
}
