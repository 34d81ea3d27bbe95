//! Result frames: how the `results` sidecar ships files over its own log, one JSON object a line.
//!
//! A log can be cut, rotated or mixed with other lines, so each frame carries its own checksum and a sequence number:
//! what is missing or damaged is noticed and named, and never taken for a result.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Version of [`Frame`]'s format.
pub const SCHEMA_VERSION: i32 = 1;

/// Bytes of a file that one frame holds at most: its base64 stays below the 16 KiB at which container runtimes split lines.
pub const MAX_CHUNK_BYTES: usize = 11 * 1024;

/// One piece of one file.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Frame {
    /// [`SCHEMA_VERSION`]; the name tells frames from other lines of a log.
    pub kfe2e_frame: i32,
    /// Position in the stream, from 0.
    pub sequence: u64,
    /// File name, without folders.
    pub name: String,
    /// Position of this piece in the file, from 0.
    pub part: u32,
    /// Number of pieces of the file.
    pub parts: u32,
    /// SHA-256 of this piece before base64, in hexadecimal.
    pub sha256: String,
    /// The piece, in base64.
    pub data: String,
}

/// What frames of every version have.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    kfe2e_frame: i32,
}

/// Files that a log's frames hold, and what is wrong with the rest.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Unpacked {
    /// Whole files in the order of their last piece: name and content. A name sent again replaces the earlier one.
    pub files: Vec<(String, Vec<u8>)>,
    /// One sentence for each thing that is missing or damaged.
    pub problems: Vec<String>,
}

/// Frames of one file, starting at `sequence`. An empty file is one empty piece.
pub fn pack(name: &str, content: &[u8], sequence: u64) -> Vec<Frame> {
    let pieces: Vec<&[u8]> =
        if content.is_empty() { vec![content] } else { content.chunks(MAX_CHUNK_BYTES).collect() };
    let parts = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
    (0_u32..)
        .zip(pieces)
        .map(|(part, piece)| Frame {
            kfe2e_frame: SCHEMA_VERSION,
            sequence: sequence + u64::from(part),
            name: name.to_owned(),
            part,
            parts,
            sha256: hex(&Sha256::digest(piece)),
            data: STANDARD.encode(piece),
        })
        .collect()
}

/// Reads the frames of a log; lines that are no frames are passed over.
pub fn unpack(log: &str) -> Unpacked {
    let mut unpacked = Unpacked::default();
    let mut expected = 0;
    let mut open: Option<(Frame, Vec<u8>)> = None;
    for line in log.lines().filter(|line| line.starts_with("{\"kfe2eFrame\"")) {
        let (frame, piece) = match read(line) {
            Ok(read) => read,
            Err(problem) => {
                unpacked.problems.push(problem);
                continue;
            }
        };
        if frame.sequence != expected {
            unpacked
                .problems
                .push(format!("frames {expected} to {} are missing", frame.sequence.saturating_sub(1)));
        }
        expected = frame.sequence + 1;
        open = match open.take() {
            Some((head, mut content)) if head.name == frame.name && head.part + 1 == frame.part => {
                content.extend(piece);
                Some((frame, content))
            }
            other => {
                abandon(other, &mut unpacked);
                if frame.part == 0 { Some((frame, piece)) } else { None }
            }
        };
        if let Some((head, content)) = open.take_if(|(head, _)| head.part + 1 == head.parts) {
            unpacked.files.retain(|(name, _)| *name != head.name);
            unpacked.files.push((head.name, content));
        }
    }
    abandon(open, &mut unpacked);
    unpacked
}

/// Notes a file whose last piece never came.
fn abandon(open: Option<(Frame, Vec<u8>)>, unpacked: &mut Unpacked) {
    if let Some((head, _)) = open {
        unpacked.problems.push(format!(
            "{} is cut after part {} of {}",
            head.name,
            head.part + 1,
            head.parts
        ));
    }
}

/// One frame and its verified piece.
fn read(line: &str) -> Result<(Frame, Vec<u8>), String> {
    let damaged = |error: serde_json::Error| format!("a frame is damaged: {error}");
    // The version comes first: of another one nothing else can be judged.
    let Version { kfe2e_frame: version } = serde_json::from_str(line).map_err(damaged)?;
    if version != SCHEMA_VERSION {
        return Err(format!("a frame has schema version {version}, and only {SCHEMA_VERSION} is known"));
    }
    let frame: Frame = serde_json::from_str(line).map_err(damaged)?;
    let place = format!("frame {} ({} part {})", frame.sequence, frame.name, frame.part);
    if frame.name.is_empty() || frame.name.starts_with('.') || frame.name.contains(['/', '\\', '\0']) {
        return Err(format!("{place} does not name a plain file"));
    }
    let piece = STANDARD.decode(&frame.data).map_err(|error| format!("{place} is damaged: {error}"))?;
    if hex(&Sha256::digest(&piece)) != frame.sha256 {
        return Err(format!("{place} is damaged: its checksum differs"));
    }
    Ok((frame, piece))
}

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn log(frames: &[Frame]) -> String {
        frames.iter().map(|frame| serde_json::to_string(frame).unwrap() + "\n").collect()
    }

    #[test]
    fn several_files_round_trip_between_other_lines() {
        let big = vec![7_u8; MAX_CHUNK_BYTES * 2 + 1];
        let mut frames = pack("big.bin", &big, 0);
        frames.extend(pack("empty.txt", b"", 3));
        let text = format!("starting\n{}not a frame\n", log(&frames));
        let unpacked = unpack(&text);
        assert_eq!(unpacked.files, [("big.bin".to_owned(), big), ("empty.txt".to_owned(), Vec::new())]);
        assert_eq!(unpacked.problems, Vec::<String>::new());
    }

    #[test]
    fn a_missing_piece_is_named_and_the_file_not_returned() {
        let mut frames = pack("big.bin", &vec![7_u8; MAX_CHUNK_BYTES * 3], 0);
        frames.remove(1);
        let unpacked = unpack(&log(&frames));
        assert_eq!(unpacked.files, []);
        assert_eq!(unpacked.problems, ["frames 1 to 1 are missing", "big.bin is cut after part 1 of 3"]);
    }

    #[test]
    fn a_frame_of_another_version_is_refused_whatever_it_holds() {
        let unpacked = unpack("{\"kfe2eFrame\":2,\"zstd\":true}");
        assert_eq!(unpacked.files, []);
        assert_eq!(unpacked.problems, ["a frame has schema version 2, and only 1 is known"]);
    }

    #[test]
    fn a_changed_piece_is_refused() {
        let mut frames = pack("a.txt", b"hello", 0);
        frames[0].data = STANDARD.encode(b"hellO");
        assert_eq!(
            unpack(&log(&frames)).problems,
            ["frame 0 (a.txt part 0) is damaged: its checksum differs"]
        );
    }

    #[test]
    fn a_name_cannot_leave_its_folder() {
        for name in ["../x", "/etc/passwd", "", ".hidden", "a/b"] {
            let unpacked = unpack(&log(&pack(name, b"x", 0)));
            assert_eq!(unpacked.files, [], "{name}");
            assert_eq!(unpacked.problems.len(), 1, "{name}");
        }
    }

    #[test]
    fn a_file_sent_again_replaces_the_first() {
        let mut frames = pack("a.txt", b"one", 0);
        frames.extend(pack("a.txt", b"two", 1));
        assert_eq!(unpack(&log(&frames)).files, [("a.txt".to_owned(), b"two".to_vec())]);
    }

    proptest! {
        #[test]
        fn any_content_round_trips(content in proptest::collection::vec(any::<u8>(), 0..40_000)) {
            let unpacked = unpack(&log(&pack("f", &content, 0)));
            prop_assert_eq!(unpacked.files, vec![("f".to_owned(), content)]);
        }

        #[test]
        fn no_log_makes_it_panic(text in "\\PC{0,200}") {
            unpack(&text);
        }
    }
}
