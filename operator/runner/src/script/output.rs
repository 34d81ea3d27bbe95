//! What a script prints: shown at once, kept in part, in bounded memory whatever it prints.

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use tokio::{io::AsyncReadExt as _, net::unix::pipe};

use crate::{
    ansi::one_line,
    console::{Console, Echo},
    tail::{HeadAndTail, Tail, last_line},
    whole_file::unfinished,
};

/// Bytes of the beginning of the output that the file keeps, and as many of its end.
const KEPT_HALF: usize = 512 * 1024;

/// Bytes of each stream's end among which the last line is looked for.
const LAST_BYTES: usize = 4 * 1024;

/// Bytes read at once.
const CHUNK: usize = 32 * 1024;

/// One of the script's streams.
struct Stream {
    chunk: Box<[u8]>,
    pipe: Option<pipe::Receiver>,
    echo: Echo,
    end: Tail,
}

/// Both streams of a script, in the order in which they are read.
pub struct Output {
    out: Stream,
    err: Stream,
    log: HeadAndTail<File>,
    log_file: PathBuf,
    log_error: Option<io::Error>,
}

impl Output {
    /// Reads from these pipes, and keeps what comes in this file.
    pub fn new(out: OwnedFd, err: OwnedFd, log_file: &Path) -> io::Result<Self> {
        let stream = |pipe: OwnedFd, console| -> io::Result<Stream> {
            let pipe = Some(pipe::Receiver::from_owned_fd(pipe)?);
            Ok(Stream {
                chunk: vec![0; CHUNK].into_boxed_slice(),
                pipe,
                echo: Echo::new(console),
                end: Tail::new(LAST_BYTES),
            })
        };
        Ok(Self {
            out: stream(out, Console::stdout())?,
            err: stream(err, Console::stderr())?,
            log: HeadAndTail::new(File::create(unfinished(log_file))?, KEPT_HALF),
            log_file: log_file.to_owned(),
            log_error: None,
        })
    }

    /// Reads until both streams end. Nothing is lost when this is cancelled.
    pub async fn read_all(&mut self) {
        while self.out.pipe.is_some() || self.err.pipe.is_some() {
            let (stream, read) = tokio::select! {
                read = self.out.read() => (&mut self.out, read),
                read = self.err.read() => (&mut self.err, read),
            };
            let Ok(count @ 1..) = read else {
                stream.pipe = None;
                continue;
            };
            let bytes = stream.chunk.get(..count).unwrap_or_default();
            stream.echo.write(bytes);
            stream.end.push(bytes);
            if self.log_error.is_none() {
                self.log_error = self.log.push(bytes).err();
            }
        }
    }

    /// The last line on stderr, or else on stdout.
    pub fn last_line(&self) -> Option<String> {
        [&self.err, &self.out].iter().find_map(|stream| Some(one_line(last_line(&stream.end.text())?)))
    }

    /// Puts the log file into place.
    ///
    /// # Errors
    /// Why it is incomplete or missing.
    pub fn finish(self) -> io::Result<()> {
        let finished = self.log.finish();
        std::fs::rename(unfinished(&self.log_file), &self.log_file)?;
        self.log_error.map_or(finished, Err)
    }
}

impl Stream {
    /// Reads into the chunk; from a stream that has ended never.
    async fn read(&mut self) -> io::Result<usize> {
        match &mut self.pipe {
            Some(pipe) => pipe.read(&mut self.chunk).await,
            None => std::future::pending().await,
        }
    }
}
