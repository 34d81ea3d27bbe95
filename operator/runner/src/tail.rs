//! Bounded memory of what a program prints: its end, or its beginning and end.

use std::{
    collections::VecDeque,
    io::{self, Write},
};

/// The last bytes of a stream.
#[derive(Debug)]
pub struct Tail {
    limit: usize,
    kept: VecDeque<u8>,
}

impl Tail {
    /// Keeps at most `limit` bytes.
    pub const fn new(limit: usize) -> Self {
        Self { limit, kept: VecDeque::new() }
    }

    /// Adds what came next; returns how many bytes were dropped for it.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let fresh = bytes.get(bytes.len().saturating_sub(self.limit)..).unwrap_or_default();
        let surplus = (self.kept.len() + fresh.len()).saturating_sub(self.limit);
        self.kept.drain(..surplus);
        self.kept.extend(fresh);
        surplus + bytes.len() - fresh.len()
    }

    /// Forgets what is kept.
    pub fn clear(&mut self) {
        self.kept.clear();
    }

    /// What is kept, as text.
    pub fn text(&self) -> String {
        let (first, second) = self.kept.as_slices();
        String::from_utf8_lossy(&[first, second].concat()).into_owned()
    }

    /// Writes what is kept.
    fn write_to(&self, writer: &mut impl Write) -> io::Result<()> {
        let (first, second) = self.kept.as_slices();
        writer.write_all(first)?;
        writer.write_all(second)
    }
}

/// Writes the head of a stream through at once and its tail at the end; says between them what is missing.
#[derive(Debug)]
pub struct HeadAndTail<W> {
    writer: W,
    head_left: usize,
    tail: Tail,
    dropped: u64,
}

impl<W: Write> HeadAndTail<W> {
    /// Keeps `half` bytes of the beginning and as many of the end.
    pub const fn new(writer: W, half: usize) -> Self {
        Self { writer, head_left: half, tail: Tail::new(half), dropped: 0 }
    }

    /// Adds what came next.
    pub fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (head, rest) = bytes.split_at(bytes.len().min(self.head_left));
        self.head_left -= head.len();
        self.writer.write_all(head)?;
        self.dropped += self.tail.push(rest) as u64;
        Ok(())
    }

    /// Writes the end.
    pub fn finish(mut self) -> io::Result<()> {
        if self.dropped > 0 {
            write!(self.writer, "\n[… {} bytes are left out here …]\n", self.dropped)?;
        }
        self.tail.write_to(&mut self.writer)?;
        self.writer.flush()
    }
}

/// The last line of `text` that is not blank.
pub fn last_line(text: &str) -> Option<&str> {
    text.lines().map(str::trim).rfind(|line| !line.is_empty())
}

/// The last `count` lines of `text` that are not blank, oldest first.
pub fn last_lines(text: &str, count: usize) -> Vec<&str> {
    let mut lines: Vec<&str> =
        text.lines().rev().map(str::trim).filter(|line| !line.is_empty()).take(count).collect();
    lines.reverse();
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head_and_tail(chunks: &[Vec<u8>], half: usize) -> Vec<u8> {
        let mut written = Vec::new();
        let mut log = HeadAndTail::new(&mut written, half);
        for chunk in chunks {
            log.push(chunk).unwrap();
        }
        log.finish().unwrap();
        written
    }

    #[test]
    fn the_middle_is_left_out_and_counted() {
        let written = head_and_tail(&[b"abcdef".to_vec(), b"ghij".to_vec(), b"klm".to_vec()], 4);
        assert_eq!(written, "abcd\n[… 5 bytes are left out here …]\njklm".as_bytes());
    }

    #[test]
    fn lines_are_found_from_the_end() {
        assert_eq!(last_line("a\n  b \n\n \n"), Some("b"));
        assert_eq!(last_line("\n"), None);
        assert_eq!(last_lines("a\nb\n\nc\n", 2), ["b", "c"]);
    }

    proptest! {
        #[test]
        fn a_tail_is_the_end_of_the_stream(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..10),
            limit in 0_usize..30,
        ) {
            let mut tail = Tail::new(limit);
            let dropped: usize = chunks.iter().map(|chunk| tail.push(chunk)).sum();
            let all = chunks.concat();
            prop_assert_eq!(dropped, all.len().saturating_sub(limit));
            let kept: Vec<u8> = tail.kept.iter().copied().collect();
            prop_assert_eq!(kept, all[all.len().saturating_sub(limit)..].to_vec());
        }

        #[test]
        fn what_fits_is_written_unchanged(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..4),
        ) {
            prop_assert_eq!(head_and_tail(&chunks, 40), chunks.concat());
        }
    }
}
